"""A loss, and metrics of torchmetrics, over all samples, of which none is kept."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import legoloop as ll
from legoloop.app.wiring.make_app import validated_app
from legoloop.core.errors import ArgumentError, DataError
from legoloop.evaluation.accumulators import can_merge, merged
from legoloop.evaluation.evaluator import BatchWithOutputs
from legoloop.evaluation.metrics import evaluated, multiclass
from tests.app.composed import blueprint_of
from tests.tiny import collected, mean_loss, sample_losses, tiny


def over_val(batch_size: int = 4, **accumulators: Any) -> dict[str, Any]:
    """What accumulators give for the nine samples of ``val``."""
    parts = tiny(batch_size=batch_size)
    factory = ll.CompositeFactory(
        **{name: (lambda made=made: made()) for name, made in accumulators.items()}
    )
    return dict(parts.loaders_acc(factory=factory).collect("val"))


def logits_of_val() -> dict[str, Any]:
    return dict(tiny().loaders_acc(factory=collected).collect("val"))


def exact_loss() -> float:
    arrays = logits_of_val()
    losses = cross_entropy(
        torch.tensor(arrays["logits"]).double(), torch.tensor(arrays["target"]), reduction="none"
    )
    return float(losses.mean())


@pytest.mark.parametrize("loss", [mean_loss, sample_losses])
@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_my_loss_is_its_mean_over_samples_however_they_are_batched(
    loss: Any, batch_size: int
) -> None:
    found = over_val(batch_size, loss=lambda: ll.MeanLoss(loss))
    assert found["loss"] == pytest.approx(exact_loss(), rel=1e-6)
    assert evaluated(found) == found


def test_it_is_that_of_the_batch_where_batch_and_outputs_share_a_name() -> None:
    mean = ll.MeanLoss(lambda batch, outputs: (batch["image"] - outputs["image"]).abs())
    mean.add(BatchWithOutputs({"image": torch.ones(2)}, {"image": torch.zeros(2)}))
    assert mean.result() == 1.0


@pytest.mark.parametrize("wrong", [torch.ones(2, 2), 0.5, None])
def test_anything_else_is_no_loss(wrong: Any) -> None:
    with pytest.raises(DataError, match="return a scalar, or one value per sample"):
        ll.MeanLoss(lambda batch, outputs: wrong).add({"x": torch.ones(2)})


def test_a_mean_is_not_a_number_without_samples_or_finite_losses() -> None:
    mean = ll.MeanLoss(lambda batch, outputs: batch["x"])
    assert math.isnan(mean.result())
    mean.add({"x": torch.tensor([1.0, math.inf])})
    assert mean.result() == math.inf
    mean.add({"x": torch.tensor([-math.inf])})
    assert math.isnan(mean.result())


class Centres(nn.Module):
    """A loss that draws, counts its calls and drops out in training."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.drop = nn.Dropout(0.5)

    def forward(self, batch: Any, outputs: Any) -> torch.Tensor:
        self.calls += 1
        assert not self.training
        return self.drop(outputs["logits"]).sum(dim=1) + torch.rand(())


def test_a_loss_with_a_state_is_left_as_it_is() -> None:
    loss, mean = Centres(), None
    torch.manual_seed(1)
    expected = torch.rand(())
    torch.manual_seed(1)
    mean = ll.MeanLoss(loss)
    mean.add({"logits": torch.ones(3, 2, requires_grad=True)})
    assert (loss.calls.item(), loss.training, torch.rand(())) == (0.0, True, expected)


def test_merged_in_any_grouping_it_is_the_same_to_the_bit() -> None:
    batches = [torch.rand(n % 5 + 1) * 10.0**n for n in range(12)]

    def holding(*several: torch.Tensor) -> ll.MeanLoss:
        mean = ll.MeanLoss(lambda batch, outputs: batch["x"])
        for batch in several:
            mean.add({"x": batch})
        return mean

    expected = holding(*batches).result()
    for cut in (1, 5, 11):
        parts = [holding(*batches[:cut]), holding(*batches[cut:])]
        assert merged([pickle.loads(pickle.dumps(part)) for part in parts]).result() == expected
    assert merged([holding(batch) for batch in batches]).result() == expected


def of_three_classes(name: str, **given: Any) -> Any:
    """A metric of torchmetrics, which takes seconds to import."""
    from torchmetrics import classification

    return getattr(classification, f"Multiclass{name}")(num_classes=3, **given)


def accuracy(**given: Any) -> ll.MetricAccumulator:
    metric = of_three_classes("Accuracy", average="micro", **given)
    return ll.MetricAccumulator(metric, inputs=["logits", "target"])


@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_a_metric_of_torchmetrics_is_exact_over_samples(batch_size: int) -> None:
    precision = of_three_classes("Precision", average="none")
    found = over_val(
        batch_size,
        accuracy=accuracy,
        precision=lambda: ll.MetricAccumulator(
            precision, inputs={"target": "target", "preds": "logits"}
        ),
    )
    assert found["accuracy"] == pytest.approx(multiclass(logits_of_val())["accuracy"], rel=1e-6)
    assert list(evaluated(found)) == ["accuracy", "precision/0", "precision/1", "precision/2"]
    assert precision.update_called is False, "it is a copy that is updated"


def test_a_collection_gives_each_by_its_name() -> None:
    from torchmetrics import MetricCollection

    both = MetricCollection(
        {"f1": of_three_classes("F1Score"), "right": of_three_classes("Accuracy")}
    )
    found = over_val(scores=lambda: ll.MetricAccumulator(both, ["logits", "target"]))
    assert sorted(evaluated(found)) == ["scores/f1", "scores/right"]
    assert found["scores"]["f1"] == pytest.approx(multiclass(logits_of_val())["f1"], rel=1e-6)


def test_a_matrix_is_no_number() -> None:
    matrix = of_three_classes("ConfusionMatrix")
    found = over_val(
        matrix=lambda: ll.MetricAccumulator(matrix, ["logits", "target"]), accuracy=accuracy
    )
    assert found["matrix"].sum() == 9
    assert list(evaluated(found)) == ["accuracy"]


def test_ranks_merge_what_was_counted() -> None:
    arrays = logits_of_val()
    whole, parts = accuracy(), []
    for rows in (slice(0, 7), slice(7, 7), slice(7, 9)):
        part = accuracy()
        for accumulator in (whole, part):
            if rows.start < rows.stop:
                accumulator.add({k: torch.tensor(v[rows]) for k, v in arrays.items()})
        part.result()  # torchmetrics keeps it
        parts.append(pickle.loads(pickle.dumps(part)))
    assert can_merge(parts[0])
    assert merged(parts).result() == whole.result()
    assert merged([merged(parts[1:]), parts[0]]).result() == whole.result()


def mean_of_means() -> Any:
    from torchmetrics import MeanMetric

    metric = MeanMetric()
    metric.add_state("of_batches", torch.zeros(()), dist_reduce_fx="mean")
    return metric


class Counts:
    def reset(self) -> None:
        self.number = 0

    def update(self, x: torch.Tensor) -> None:
        self.number += len(x)

    def compute(self) -> int:
        return self.number


@pytest.mark.parametrize("made", [mean_of_means, Counts])
def test_one_that_would_be_averaged_is_not_merged(made: Callable[[], Any]) -> None:
    accumulator = ll.MetricAccumulator(made(), ["x"])
    assert not can_merge(ll.CompositeAccumulator(x=accumulator))
    with pytest.raises(NotImplementedError, match="averages over batches"):
        accumulator.merge(accumulator)


@pytest.mark.parametrize(
    ("metric", "inputs", "told"),
    [
        (len, ["x"], "metric is a builtin_function_or_method, without update and compute; give a "
        "metric of torchmetrics"),
        (Counts(), "logits", "inputs is 'logits'; give names, such as [logits, target]"),
        (Counts(), [], "inputs is []; give names, such as [logits, target]"),
    ],
)  # fmt: skip
def test_what_is_no_metric_is_refused(metric: Any, inputs: Any, told: str) -> None:
    with pytest.raises(ArgumentError) as refused:
        ll.MetricAccumulator(metric, inputs)
    assert str(refused.value) == told


def test_an_entry_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(DataError, match="did you mean target"):
        ll.MetricAccumulator(Counts(), ["targt"]).add({"target": torch.ones(1)})


def test_what_a_metric_refuses_is_told_and_what_fails_otherwise_is_a_bug() -> None:
    from torchmetrics.classification import MulticlassAccuracy

    given = {"logits": torch.eye(4), "target": torch.arange(4)}
    metric = ll.MetricAccumulator(MulticlassAccuracy(num_classes=3), ["logits", "target"])
    with pytest.raises(DataError, match=r"^MulticlassAccuracy refuses what it is given: If"):
        metric.add(given)

    class Fails:
        def reset(self) -> None: ...
        def compute(self) -> None: ...
        def update(self, logits: torch.Tensor) -> None:
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug") as raised:
        ll.MetricAccumulator(Fails(), ["logits"]).add(given)
    assert not isinstance(raised.value, DataError)


def test_numbers_go_with_other_metrics_if_the_names_differ() -> None:
    arrays = {**logits_of_val(), "mine": 0.5}
    assert evaluated(arrays, also=multiclass) == {**multiclass(arrays), "mine": 0.5}
    with pytest.raises(DataError, match="both an accumulator and the metrics give 'loss'"):
        evaluated({**arrays, "loss": 1.0}, also=multiclass)
    with pytest.raises(DataError, match="no accumulator gives a number"):
        evaluated({"target": np.ones(3)})


def test_a_run_evaluates_the_loss_that_it_is_trained_with() -> None:
    app, _ = validated_app(
        blueprint_of(
            *("data=diabetes", "loggers=[]", "num_epochs=1", "epoch_size=64"),
            *("accumulators=loss", "metrics=evaluated", "plugins.predicts=null"),
        )
    )
    host = app.host()
    host.plan.plugins["model_weights"].path = "/dev/null"
    assert sorted(app.loops_acc().collect("val")) == ["loss"]
    assert app.loops_acc().collect("val")["loss"] > 0


def test_a_metric_of_torchmetrics_by_its_target() -> None:
    metric = "{_target_: torchmetrics.classification.MulticlassAccuracy, num_classes: 10}"
    node = "{_target_: legoloop.MetricAccumulator, _partial_: true, inputs: [logits, target]"
    app, _ = validated_app(
        blueprint_of(
            *("loggers=[]", "data.datasets.train.train=false"),
            f"+accumulators.right={node}, metric: {metric}}}",
            *("metrics=evaluated", "+metrics.also._target_=legoloop.evaluation.metrics.multiclass"),
            "+metrics.also._partial_=true",
        )
    )
    measured = app.metrics()(app.loops_acc().collect("val"))
    assert sorted(measured) == ["accuracy", "f1", "loss", "right"]
