"""Whatever ships is trained together with others, to the same losses, or says why it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import legoloop as ll
from legoloop.app.hydra_bridge.shipped_config import shipped_config_dir
from legoloop.app.sweep.grouping import grouped
from legoloop.loop.member_support import why_alone
from legoloop.loop.rank_support import STEP_STAGES
from legoloop.loop.stages import hooks_of
from legoloop.training.members.support import difference, why_not_a_row
from tests.app.composed import ASKED_FOR, blueprint_of
from tests.training.members.grouped import (
    TensorModel,
    run_of,
    train_alone,
    train_together,
    worst_difference,
)

SMALL = ("plugins=[default]", "data=digits", "model=mlp", "loggers=[]")
OF_DATA = {
    "breast_cancer": "loss=binary_cross_entropy metrics=binary",
    "diabetes": "loss=mean_squared_error metrics=regression",
    "xor": "loss=binary_cross_entropy metrics=binary",
}
ALONE = {
    "debug=anomaly": "sets a mode of the process",
    "debug=determinism": "compares the run with one that is trained alone",
    "debug=overfit": "its training stream, a RepeatedBatches, has no peek",
    "loggers=[mlflow]": "reports to a service whose client may know one run a process",
    "loggers=[trackio]": "reports to a service whose client may know one run a process",
    "loggers=[wandb]": "reports to a service whose client may know one run a process",
    "optimizer=adadelta": "its optimizer is a Adadelta, none of SGD, Adam, AdamW",
    "optimizer=adagrad": "its optimizer is a Adagrad, none of SGD, Adam, AdamW",
    "optimizer=lbfgs": "it has no GradientDescent, or several",
    "optimizer=lion": "its optimizer is a Lion, none of SGD, Adam, AdamW",
    "optimizer=nadam": "its optimizer is a NAdam, none of SGD, Adam, AdamW",
    "optimizer=rmsprop": "its optimizer is a RMSprop, none of SGD, Adam, AdamW",
    "plugins=[default,freeze]": "changes which parameters are trained",
    "plugins=[default,phases]": "changes what is trained",
    "plugins=[default,mixup]": "draws random numbers in a step",
    "precision=amp_fp16": "its gradients are scaled (precision=amp_fp16)",
}
"""The options that are not trained together, and why."""
GROUPS = ("debug", "loggers", "loss", "model", "optimizer", "param_groups", "plugins", "precision")
ASKED_HERE = {
    "adapted": [
        f"model.module={{_target_:{TensorModel.__module__}.TensorModel}}",
        "model.inputs=[image]",
    ],
}
"""What an option asks for where that must have weights."""
NOT_TRIED = {
    "plugins=[default,pruning]",  # needs a study
    "plugins=[default,system]",  # needs an extra
    "loss=binary_cross_entropy",  # with the data that it is for
    "loss=mean_squared_error",
}


def options() -> Iterator[str]:
    """The overrides that choose each option."""
    for group in (*GROUPS, "scheduler"):
        for file in sorted((shipped_config_dir() / group).glob("*.yaml")):
            option = file.stem
            choice = f"{group}={option}"
            if group == "plugins":
                choice = (
                    "plugins=[default]" if option == "default" else f"plugins=[default,{option}]"
                )
            elif group == "loggers":
                choice = f"loggers=[{option}]"
            if choice not in NOT_TRIED:
                yield " ".join([choice, *{**ASKED_FOR, **ASKED_HERE}.get(option, [])])
    for data, others in {"digits": "", **OF_DATA}.items():
        yield f"data={data} {others}".strip()


FAST = ("data=xor", "plugins=[default,ema]", "plugins=[default,mixup]", "optimizer=rmsprop")


@pytest.mark.parametrize(
    "option",
    [
        pytest.param(each, marks=() if each.startswith(FAST) else pytest.mark.slow)
        for each in options()
    ],
)
def test_an_option_is_trained_together_or_says_why_not(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    overrides = [*SMALL, *option.split()]
    blueprints = {seed: blueprint_of(*overrides, f"seed={seed}") for seed in range(2)}
    found = grouped(blueprints, most=16)
    choice = option.split()[0]
    if found.alone:
        assert ALONE[choice] in found.alone[0]
        return
    alone = [run_of(*overrides, "epoch_size=96", f"seed={seed}") for seed in range(2)]
    reason = why_not_a_row(alone[0].host)
    if choice in ALONE:
        assert reason is not None
        assert ALONE[choice] in reason
        return
    assert reason is None
    together = [run_of(*overrides, "epoch_size=96", f"seed={seed}") for seed in range(2)]
    assert difference(together[0].host, together[1].host) is None
    train_alone(alone)
    train_together(together)
    for one, other in zip(alone, together, strict=True):
        assert other.error is None
        assert other.host.stop_reason == one.host.stop_reason
        draws = "dropout" in option or choice == "model=simple_cnn"
        steps = 1 if "amp" in option or "auto" in option else 3
        if not draws:
            assert worst_difference(one, other, steps) < (2e-2 if steps == 1 else 1e-4)


def test_all_that_sees_steps_says_whether_it_may_be_in_a_group() -> None:
    classes = {each for each in vars(ll).values() if isinstance(each, type)}
    classes |= {getattr(ll, name) for name in ll.__all__ if isinstance(getattr(ll, name), type)}
    sees = [
        each
        for each in classes
        if each not in (ll.TrainingPlugin, ll.Step) and set(STEP_STAGES) & set(hooks_of(each))
    ]
    assert len(sees) > 10
    assert [each for each in sees if "does not say" in (why_alone(each) or "")] == []
