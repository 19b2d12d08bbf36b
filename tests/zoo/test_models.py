from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from legoloop.core.errors import ArgumentError, DataError
from legoloop.data.datasets import ColumnDataset
from legoloop.zoo.models import MLP, Logistic, SimpleCNN
from legoloop.zoo.toy_data import digits, xor

TOLD = {"num_outputs": 3, "task": "multiclass", "input_key": "image"}


def cnn(image_shape: tuple[int, ...] = (1, 4, 4), **given: Any) -> SimpleCNN:
    return SimpleCNN(image_shape, **{**TOLD, "channels": (2,), "hidden": 3, **given})


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 33), st.integers(1, 33)),
    channels=st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=20)
def test_a_cnn_takes_images_of_any_size_and_channel_count(
    shape: tuple[int, int, int], channels: list[int]
) -> None:
    outputs = cnn(shape, channels=channels)({"image": torch.rand(2, *shape)})
    assert outputs["logits"].shape == outputs["probas"].shape == (2, 3)


def test_a_cnn_takes_grey_images_with_and_without_a_channel_as_bytes_and_floats() -> None:
    model = cnn().eval()
    images = torch.randint(256, (5, 1, 4, 4), dtype=torch.uint8)
    logits = model({"image": images})["logits"]
    assert torch.equal(model({"image": images.squeeze(1)})["logits"], logits)
    assert torch.equal(model({"image": images.float() / 255})["logits"], logits)


def test_a_samples_outputs_depend_on_no_other_sample() -> None:
    model = cnn(dropout=0.0).train()
    images = torch.rand(3, 1, 4, 4)
    alone = torch.cat([model({"image": image[None]})["logits"] for image in images])
    torch.testing.assert_close(model({"image": images})["logits"], alone)


@pytest.mark.parametrize("kind", [MLP, Logistic])
@pytest.mark.parametrize("shape", [(6,), (1, 2, 3), (2, 3)])
def test_flat_models_take_any_shape_of_as_many_values(
    kind: type[MLP] | type[Logistic], shape: tuple[int, ...]
) -> None:
    model = kind(num_features=6, **TOLD)
    images = torch.randint(256, (4, *shape), dtype=torch.uint8)
    logits = model({"image": images})["logits"]
    assert logits.shape == (4, 3)
    assert torch.equal(model({"image": images.flatten(1).double() / 255})["logits"], logits)


def test_an_mlp_has_the_layers_asked_for() -> None:
    model = MLP(num_features=6, **TOLD, hidden=[5, 4])
    shapes = [tuple(layer.weight.shape) for layer in model.modules() if _is_linear(layer)]
    assert shapes == [(5, 6), (4, 5), (3, 4)]


def test_dropout_is_for_training_only() -> None:
    model = MLP(num_features=6, **TOLD, dropout=0.5)
    batch = {"image": torch.rand(4, 6)}
    assert not torch.equal(model(batch)["logits"], model(batch)["logits"])
    model.eval()
    assert torch.equal(model(batch)["logits"], model(batch)["logits"])


@pytest.mark.parametrize("data", [digits(), xor(samples=8)])
@pytest.mark.parametrize("kind", [MLP, Logistic])
def test_a_data_set_tells_a_model_all_that_it_requires(
    kind: type[nn.Module], data: ColumnDataset
) -> None:
    told = {name: getattr(data, name) for name in ("num_features", *TOLD)}
    outputs = kind(**told)(data.__getitems__([0, 1]))
    assert len(outputs["logits"]) == 2


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: cnn(channels=()), "channels is empty"),
        (lambda: cnn(channels=(8, 0)), r"channels\[1\] is 0; give a whole number of at least 1"),
        (lambda: cnn(channels=8), r"channels is 8; give a list of widths, such as \[128\]"),
        (lambda: cnn(hidden=0), "hidden is 0"),
        (lambda: cnn(hidden=1.5), "hidden is 1.5"),
        (lambda: cnn(dropout=1.5), "dropout is 1.5; give a number from 0 to 1"),
        (lambda: cnn((28, 28)), r"image_shape is \(28, 28\); give \(channels, height, width\)"),
        (lambda: cnn((1, 0, 28)), r"image_shape\[1\] is 0"),
        (lambda: MLP(6, **TOLD, hidden=[]), "hidden is empty"),
        (lambda: MLP(6, **TOLD, hidden=[-1]), r"hidden\[0\] is -1"),
        (lambda: MLP(6, **TOLD, hidden=128), "hidden is 128; give a list of widths"),
        (lambda: MLP(6, **TOLD, dropout=-0.1), "dropout is -0.1"),
        (lambda: MLP(0, **TOLD), "num_features is 0"),
        (lambda: Logistic(0, **TOLD), "num_features is 0"),
    ],
)
def test_values_out_of_range_are_refused(make: Any, what: str) -> None:
    with pytest.raises(ArgumentError, match=what):
        make()


@pytest.mark.parametrize(
    ("model", "batch", "what"),
    [
        (cnn(), {"images": torch.rand(1, 4, 4)}, "the batch has no 'image'; did you mean images"),
        (
            cnn(),
            {"image": torch.rand(1, 3, 4, 4)},
            r"'image' has images of shape \(3, 4, 4\); the model expects \(1, 4, 4\)",
        ),
        (
            Logistic(6, **TOLD),
            {"image": torch.rand(2, 7)},
            "'image' has 7 values per sample; the model expects 6",
        ),
    ],
)
def test_a_batch_that_the_model_was_not_made_for_is_refused(
    model: nn.Module, batch: dict[str, torch.Tensor], what: str
) -> None:
    with pytest.raises(DataError, match=what):
        model(batch)


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)
