from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from legoloop.core.errors import PluginError
from legoloop.loop.plugin import TrainingPlugin
from legoloop.loop.stages import Stage, collect_hooks, misspelt_stage
from tests.loop.tiny_plugins import Trace


def a_plugin(**methods):
    return type("Mine", (), methods)()


def test_stages_are_the_methods_of_the_base_class():
    methods = {name for name, _ in inspect.getmembers(TrainingPlugin, inspect.isfunction)}
    assert methods == set(Stage)


def test_batch_stages_take_the_step_and_the_others_nothing():
    for stage in Stage:
        taken = list(inspect.signature(getattr(TrainingPlugin, stage)).parameters)
        assert taken == (["self", "step"] if stage.takes_step else ["self"])


def test_all_ten_are_collected_as_bound_methods():
    trace = Trace()
    hooks = collect_hooks("trace", trace)
    assert list(hooks) == list(Stage)
    hooks[Stage.EPOCH]()
    assert trace.stages == [Stage.EPOCH]


def test_the_empty_methods_of_the_base_class_are_no_hooks():
    class Mine(TrainingPlugin):
        def batch_end(self, step):
            pass

    assert list(collect_hooks("mine", Mine())) == [Stage.BATCH_END]


def test_inherited_and_decorated_methods_are_hooks():
    class Base:
        def epoch_end(self):
            pass

    class Mine(Base):
        @torch.no_grad()
        def train_end(self):
            pass

        @staticmethod
        def epoch_start():
            pass

    assert set(collect_hooks("mine", Mine())) == {"epoch_start", "epoch_end", "train_end"}


class Module(nn.Module):
    def epoch_end(self):
        pass


class Frozen(Module):
    def train(self, mode=True):
        return super().train(False)


@pytest.mark.parametrize("module", [Module(), Frozen()])
def test_the_train_of_a_module_is_no_stage(module):
    assert list(collect_hooks("module", module)) == [Stage.EPOCH_END]


@pytest.mark.parametrize(
    ("method", "meant"),
    {
        "on_train_start": "train_start",
        "on_fit_end": "train_end",
        "on_train_epoch_end": "epoch_end",
        "on_train_batch_start": "batch_start",
        "on_step_end": "batch_end",
        "on_epoch_begin": "epoch_start",
        "on_batch": "batch",
        "on_train": "train",
        "before_batch": "batch_start",
        "after_batch": "batch_end",
        "before_train_epoch": "epoch_start",
        "after_train_iter": "batch_end",
        "after_training": "train_end",
        "epoch_begin": "epoch_start",
        "epoch_finish": "epoch_end",
        "epoch_finished": "epoch_end",
        "train_stop": "train_end",
        "training_start": "train_start",
        "step_start": "batch_start",
        "iteration_end": "batch_end",
        "train_begin": "train_start",
        "epoch_strat": "epoch_start",
        "epoch_satrt": "epoch_start",
        "epoch_strt": "epoch_start",
        "epoch_starts": "epoch_start",
        "epochs_start": "epoch_start",
        "eopch_strat": "epoch_start",
        "trian_end": "train_end",
        "train_edn": "train_end",
        "train_ends": "train_end",
        "bach_end": "batch_end",
        "batch_nd": "batch_end",
        "batchend": "batch_end",
        "trainstart": "train_start",
        "Epoch_End": "epoch_end",
    }.items(),
)
def test_a_misspelt_stage_is_refused_with_the_stage_meant(method, meant):
    plugin = a_plugin(**{method: lambda self: None})
    with pytest.raises(PluginError) as refused:
        collect_hooks("loud", plugin)
    assert str(refused.value) == (
        f"plugin 'loud': Mine.{method} is not a stage; did you mean {meant}?"
    )


@pytest.mark.parametrize(
    "method",
    [
        "train_feed",
        "train_step",
        "train_batch",
        "train_epoch",
        "train_state",
        "train_len",
        "training_step",
        "batches",
        "batch_size",
        "batch_sizes",
        "batch_stats",
        "batch_len",
        "batch_std",
        "batch_add",
        "epoch_size",
        "epoch_state",
        "epoch_stats",
        "epoch_len",
        "epoch_one",
        "step",
        "steps",
        "start",
        "end",
        "stop",
        "fit",
        "close",
        "finish",
        "trained",
        "epochs",
        "starting",
        "on_log",
        "before",
        "_epoch_strat",
        "state_dict",
        "scalars",
        *Stage,
    ],
)
def test_a_name_of_its_own_is_no_misspelling(method):
    if not method.startswith("_"):
        assert misspelt_stage(method) is None
    assert collect_hooks("quiet", a_plugin(**{method: lambda self, step=None: None})).keys() <= {
        method
    }


def test_a_misspelt_attribute_that_is_no_method_is_left_alone():
    plugin = a_plugin(epoch_ends=3, batch_nd=property(lambda self: 1 / 0))
    assert collect_hooks("quiet", plugin) == {}


@pytest.mark.parametrize(
    ("stage", "method", "wanted"),
    [
        ("batch", lambda self: None, "batch(self, step)"),
        ("batch_end", lambda self, step, more: None, "batch_end(self, step)"),
        ("batch_start", lambda self, *, step: None, "batch_start(self, step)"),
        ("epoch_end", lambda self, step: None, "epoch_end(self)"),
        ("train", lambda self, mode: None, "train(self)"),
    ],
)
def test_a_wrong_arity_is_refused_with_the_right_one(stage, method, wanted):
    with pytest.raises(PluginError, match=r"^plugin 'odd': Mine\.") as refused:
        collect_hooks("odd", a_plugin(**{stage: method}))
    assert str(refused.value).endswith(f"define it as {wanted}")


@pytest.mark.parametrize("method", [lambda *given: None, lambda self, step, more=1: None])
def test_more_parameters_than_needed_are_fine_if_they_can_be_left_out(method):
    assert list(collect_hooks("easy", a_plugin(batch=method))) == [Stage.BATCH]


@pytest.mark.parametrize("stage", list(Stage))
def test_an_instance_attribute_that_shadows_a_stage_is_refused(stage):
    trace = Trace()
    setattr(trace, stage, 3)
    with pytest.raises(PluginError) as refused:
        collect_hooks("trace", trace)
    assert str(refused.value) == (
        f"plugin 'trace': the attribute '{stage}' of this Trace shadows the stage of that name; "
        "rename it"
    )


def test_a_stage_that_is_no_method_is_refused():
    with pytest.raises(PluginError, match=r"Mine\.epoch is a int, but that name is a stage"):
        collect_hooks("mine", a_plugin(epoch=3))


def test_a_class_in_place_of_an_instance_is_refused():
    with pytest.raises(PluginError) as refused:
        collect_hooks("trace", Trace)
    assert str(refused.value) == "plugin 'trace' is the class Trace, not an instance of it"
