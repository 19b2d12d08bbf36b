from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import legoloop as ll
from tests.tiny import Noisy, accuracy, tiny, weights


def test_a_loader_pass_has_every_sample_once() -> None:
    parts = tiny(batch_size=4)
    acc = parts.loaders_acc()

    assert acc.collect("train")["idx"].tolist() == list(range(22))
    assert acc.collect("val")["idx"].tolist() == list(range(9))
    assert acc.evaluated == 31


def test_a_dataloader_of_tuples_is_given_names() -> None:
    values = torch.arange(5.0)
    pairs = DataLoader(TensorDataset(values, values > 2), batch_size=2)
    model = ll.adapted_model(torch.nn.Flatten(0), inputs=["x"], output="y")
    factory = ll.CompositeFactory(y=ll.NumpyAccumulator, target=ll.NumpyAccumulator)
    given: Any = {"val": pairs}, model, factory, ll.Feed(model, "cpu")
    found = ll.LoadersAcc(*given, names=["x", "target"]).collect("val")
    assert found["y"].tolist() == values.tolist()
    assert found["target"].tolist() == [False, False, False, True, True]
    with pytest.raises(ll.DataError, match="a batch of 'val' is a list of 2; give the names"):
        ll.LoadersAcc(*given).collect("val")
    with pytest.raises(ll.ArgumentError, match="names is 3"):
        ll.LoadersAcc(*given, names=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(("limit", "samples"), [(None, 22), (1, 1), (4, 4), (6, 6), (100, 22)])
def test_a_loop_pass_has_at_most_one_pass_and_the_limit(limit: int | None, samples: int) -> None:
    parts = tiny(batch_size=4)
    acc = parts.loops_acc(samples_limit=limit)

    idx = acc.collect("train")["idx"]

    assert len(idx) == len(set(idx)) == samples
    assert acc.evaluated == samples


def test_a_loop_pass_begins_at_the_loops_own_beginning_and_leaves_its_position() -> None:
    parts, untouched = tiny(), tiny()
    first = torch.cat([next(untouched.loops["train"])["idx"] for _ in range(2)])
    next(parts.loops["train"])

    idx = parts.loops_acc(samples_limit=8).collect("train")["idx"]

    assert idx.tolist() == first.tolist()
    assert parts.loops["train"].position == 1
    expected = next(iter(untouched.loops["train"]))["idx"]
    next(parts.loops["train"])
    assert torch.equal(next(parts.loops["train"])["idx"], expected)


def test_evaluates_with_the_model_in_evaluation_mode() -> None:
    parts = tiny()
    parts.model.train()
    before = weights(parts.model)

    first = parts.loaders_acc().collect("val")["logits"]
    second = parts.loaders_acc().collect("val")["logits"]

    np.testing.assert_array_equal(first, second)
    assert weights(parts.model) == before
    assert parts.model.training


def test_passes_over_augmented_data_are_all_the_same() -> None:
    parts = tiny(dataset=Noisy())
    first = parts.loaders_acc().collect("train")["logits"]
    random.random(), torch.rand(1)
    np.testing.assert_array_equal(first, parts.loaders_acc().collect("train")["logits"])


class Asks:
    """Asks an evaluation at one stage, twice, and notes what it was told."""

    def __init__(self, acc: Any) -> None:
        self.acc = acc
        self.told: list[Any] = []

    def ask(self) -> None:
        self.told.append(self.acc.collect("val")["logits"].copy())


class AsksAtEpochEnd(Asks):
    def epoch_end(self) -> None:
        self.ask()


class AsksAtTrainEnd(Asks):
    def train_end(self) -> None:
        self.ask()


class AsksAfterEachBatch(Asks):
    def batch_end(self, step: ll.Step) -> None:
        self.ask()


def test_many_askers_at_one_moment_share_one_pass() -> None:
    parts = tiny(num_epochs=3)
    acc = parts.loaders_acc(when="epoch_end", datasets=["val"])
    metrics = ll.AccumulatorMetrics(acc, accuracy)

    parts.host(AsksAtEpochEnd(acc), acc, AsksAtEpochEnd(acc), metrics).run()

    assert acc.evaluated == 3 * 9


def test_nobody_asking_means_no_pass() -> None:
    parts = tiny()
    acc = parts.loaders_acc()

    parts.host(acc).run()

    assert acc.evaluated == 0


def test_the_end_of_the_training_is_evaluated_once_for_all() -> None:
    parts = tiny()
    acc = parts.loaders_acc(datasets=["val"])

    parts.host(AsksAtTrainEnd(acc), AsksAtTrainEnd(acc), acc).run()

    assert acc.evaluated == 9


def test_is_never_stale_when_asked_between_batches() -> None:
    parts = tiny(num_epochs=1)
    acc = parts.loaders_acc(datasets=["val"])
    often = AsksAfterEachBatch(acc)

    parts.host(often, acc).run()

    assert len(often.told) == 6
    for earlier, later in zip(often.told, often.told[1:], strict=False):
        assert not np.array_equal(earlier, later)


class Doubling:
    """Changes the weights in the middle stages that come after the batches."""

    after = ("AsksAfterEachBatch",)

    def __init__(self, model: torch.nn.Module, stage: str) -> None:
        self.model, self.stage = model, stage

    def _double(self, stage: str) -> None:
        if stage == self.stage:
            with torch.no_grad():
                for parameter in self.model.parameters():
                    parameter.mul_(2)

    def epoch(self) -> None:
        self._double("epoch")

    def train(self) -> None:
        self._double("train")


@pytest.mark.parametrize("stage", ["epoch", "train"])
def test_is_never_stale_after_a_plugin_changed_the_weights(stage: str) -> None:
    parts = tiny(num_epochs=1)
    acc = parts.loaders_acc(datasets=["val"])
    at_epoch_end, at_train_end = AsksAtEpochEnd(acc), AsksAtTrainEnd(acc)
    others = [AsksAfterEachBatch(acc), at_epoch_end, at_train_end, acc]

    parts.host(*others, Doubling(parts.model, stage)).run()

    fresh = parts.loaders_acc().collect("val")["logits"]
    np.testing.assert_array_equal(at_train_end.told[0], fresh)
    assert np.array_equal(at_epoch_end.told[0], fresh) == (stage == "epoch")


def test_a_pass_that_fails_leaves_everything_as_it_was() -> None:
    class Refusing(ll.Accumulator):
        def add(self, values: Any) -> None:
            torch.rand(1), np.random.rand(), random.random()
            raise ll.DataError("refused")

        def result(self) -> Any: ...

    parts = tiny()
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    acc = parts.loaders_acc(factory=Refusing)

    with pytest.raises(ll.DataError, match="refused"):
        acc.collect("val")

    assert parts.model.training
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert random.getstate() == python_state


def test_factories_and_results_may_draw() -> None:
    class Drawing(ll.Accumulator):
        def __init__(self) -> None:
            torch.rand(1)

        def add(self, values: Any) -> None: ...

        def result(self) -> dict[str, Any]:
            return {"drawn": torch.rand(1)}

    parts = tiny()
    state = torch.get_rng_state()

    parts.loaders_acc(factory=Drawing).collect("val")

    assert torch.equal(torch.get_rng_state(), state)


def test_string_idx_and_outputs_over_batch_values_of_the_same_name() -> None:
    class Named(ll.SizedDataset):
        def __len__(self) -> int:
            return 5

        def __getitem__(self, item: int) -> dict[str, Any]:
            return {"idx": f"sample {item}", "x": torch.full((4,), float(item)), "logits": 9.0}

    parts = tiny(dataset=Named(), batch_size=2)
    acc = parts.loaders_acc(
        factory=ll.CompositeFactory(idx=ll.NumpyAccumulator, logits=ll.NumpyAccumulator)
    )

    accumulated = acc.collect("train")

    assert accumulated["idx"].tolist() == [f"sample {item}" for item in range(5)]
    assert accumulated["logits"].shape == (5, 3)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("loaders_acc", {"when": "epoch"}, "when is 'epoch'; did you mean epoch_end?"),
        ("loaders_acc", {"datasets": ["vall"]}, r"datasets has 'vall'; did you mean val\?"),
        (
            "loops_acc",
            {"samples_limit": 0},
            "samples_limit is 0; give a whole number of at least 1",
        ),
    ],
)
def test_refuses_wrong_settings(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ll.ArgumentError, match=message):
        getattr(tiny(), kind)(**given)


def test_refuses_a_name_it_does_not_cover() -> None:
    with pytest.raises(ll.ArgumentError, match="no evaluation of 'train'; there are val"):
        tiny().loaders_acc(datasets=["val"]).collect("train")


def test_refuses_a_loop_that_looking_would_move() -> None:
    parts = tiny()
    with pytest.raises(ll.ArgumentError, match=r"loop 'train' is a list_iterator without peek"):
        ll.LoopsAcc({"train": iter([])}, parts.model, dict, parts.feed)  # type: ignore[dict-item,arg-type]


def two(**given: Any) -> tuple[Any, list[ll.LoadersAcc]]:
    parts = tiny(num_epochs=3)
    return parts, [parts.loaders_acc(datasets=["val"], **given) for _ in range(2)]


def evaluated(accs: list[ll.LoadersAcc]) -> int:
    return sum(acc.evaluated for acc in accs)


def test_two_evaluations_that_would_make_the_same_pass_share_it() -> None:
    parts, accs = two()
    askers = [kind(acc) for acc in accs for kind in (AsksAtEpochEnd, AsksAtTrainEnd)]

    parts.host(accs[0], askers[0], askers[1], accs[1], askers[2], askers[3]).run()

    assert evaluated(accs) == (3 + 1) * 9
    for first, second in ((0, 2), (1, 3)):
        np.testing.assert_array_equal(askers[first].told, askers[second].told)


def test_sharing_is_never_stale_whoever_hears_first() -> None:
    parts, accs = two()
    askers = [AsksAfterEachBatch(acc) for acc in accs]

    parts.host(askers[1], accs[1], accs[0], askers[0]).run()

    assert evaluated(accs) == 18 * 9
    np.testing.assert_array_equal(askers[0].told, askers[1].told)
    for earlier, later in zip(askers[0].told, askers[0].told[1:], strict=False):
        assert not np.array_equal(earlier, later)


class Twice:
    """A feed whose outputs are not the model's."""

    def __init__(self, feed: ll.Feed) -> None:
        self.feed = feed

    def __call__(self, batch: Any) -> Any:
        batch, outputs = self.feed(batch)
        return batch, {"logits": outputs["logits"] * 2}


def test_another_feed_stream_or_factory_makes_its_own_pass() -> None:
    parts = tiny(num_epochs=1)
    factory = ll.CompositeFactory(logits=ll.ListAccumulator)
    accs = [
        parts.loaders_acc(),
        parts.loaders_acc(feed=Twice(parts.feed)),
        parts.loaders_acc(factory=factory),
        parts.loops_acc(),
        parts.loops_acc(samples_limit=5),
        parts.loops_acc(samples_limit=5),
    ]

    class Asks:
        def __init__(self, acc: Any) -> None:
            self.acc = acc

        def train_end(self) -> None:
            self.acc.collect("val")

    parts.host(*accs, *map(Asks, accs)).run()

    assert [acc.evaluated for acc in accs[:4]] == [9, 9, 9, 9]
    assert accs[4].evaluated + accs[5].evaluated == 5


def test_nothing_is_shared_outside_of_a_run() -> None:
    parts, (first, second) = two()
    before = first.collect("val")["logits"].copy()
    with torch.no_grad():
        for parameter in parts.model.parameters():
            parameter.add_(1)

    assert not np.array_equal(second.collect("val")["logits"], before)
    parts.host(first, second).run()
    trained = first.collect("val")["logits"].copy()
    with torch.no_grad():
        for parameter in parts.model.parameters():
            parameter.add_(1)
    assert not np.array_equal(second.collect("val")["logits"], trained)


def test_what_was_found_before_the_run_is_forgotten() -> None:
    parts, accs = two()
    stale = accs[0].collect("val")["logits"].copy()
    with torch.no_grad():
        for parameter in parts.model.parameters():
            parameter.add_(1)
    seen: list[Any] = []

    class AsksFirst:
        def __init__(self, acc: Any) -> None:
            self.acc = acc

        def epoch_start(self) -> None:
            seen.append(self.acc.collect("val")["logits"])

    parts.host(*accs, AsksFirst(accs[1])).run()
    assert not np.array_equal(seen[0], stale)


def test_a_stream_hands_out_what_an_evaluation_accumulates() -> None:
    parts = tiny()
    acc = parts.loaders_acc()
    rows = list(acc.iterate("val", ["idx", "logits"]))

    whole = parts.loaders_acc().collect("val")
    assert [len(row["idx"]) for row in rows] == [4, 4, 1]
    for key in ("idx", "logits"):
        np.testing.assert_array_equal(np.concatenate([row[key] for row in rows]), whole[key])
    assert acc.evaluated == 9
    assert parts.model.training


def test_a_stream_that_is_closed_leaves_everything_as_it_was() -> None:
    parts = tiny()
    state = torch.get_rng_state()
    rows: Any = parts.loaders_acc().iterate("val", ["logits"])
    next(rows)
    torch.rand(1)
    assert not parts.model.training
    rows.close()
    assert parts.model.training
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)


def test_a_stream_refuses_what_is_not_there() -> None:
    acc = tiny().loaders_acc(datasets=["val"])
    with pytest.raises(ll.ArgumentError, match="no evaluation of 'train'; there are val"):
        next(acc.iterate("train", ["idx"]))
    with pytest.raises(ll.DataError, match=r"has no 'logit'; did you mean logits\?"):
        next(acc.iterate("val", ["logit"]))


def test_one_that_the_host_forgot_is_of_the_weights_as_they_are() -> None:
    def losses(*also: str) -> list[Any]:
        parts = tiny(num_epochs=3)
        acc = parts.loops_acc()
        metrics = ll.AccumulatorMetrics(acc, total)
        history = ll.History(parts.counter, metrics)
        parts.host(metrics, history, *([acc] if also else [])).run()
        return [row["val/sum"] for row in history.rows.values()]

    assert losses() == losses("listed")
    assert len(set(losses())) == 3


def total(arrays: dict[str, Any]) -> dict[str, float]:
    return {"sum": float(arrays["logits"].sum())}


def test_weights_that_change_out_of_a_run_are_noticed() -> None:
    parts = tiny()
    acc = parts.loaders_acc()
    parts.host(acc, ll.AccumulatorMetrics(acc, total)).run()
    before = acc.collect("val")["logits"].copy()
    evaluated = acc.evaluated
    np.testing.assert_array_equal(acc.collect("val")["logits"], before)
    assert acc.evaluated == evaluated

    parts.model.load_state_dict({k: v + 1 for k, v in parts.model.state_dict().items()})

    assert not np.array_equal(acc.collect("val")["logits"], before)


def test_nothing_is_taken_from_a_run_before_whose_hooks_were_called_by_hand() -> None:
    parts = tiny()
    acc = parts.loaders_acc()
    found = []
    for shift in range(2):
        parts.model.load_state_dict({k: v + shift for k, v in parts.model.state_dict().items()})
        acc.train_start()
        found.append(acc.collect("val")["logits"].copy())
        acc.close()
    assert not np.array_equal(*found)


def test_evaluations_of_different_hosts_share_nothing() -> None:
    parts, accs = two()
    for acc in accs:
        parts.host(acc)
        acc.train_start()
        acc.collect("val")
    assert [acc.evaluated for acc in accs] == [9, 9]
