from __future__ import annotations

import pytest
import torch

from legoloop.core.errors import ArgumentError, DataError
from legoloop.zoo.augment import RandomTranspose


@pytest.mark.parametrize("shape", [(200, 3, 3), (200, 2, 3, 3)])
def test_each_image_is_as_it_was_or_transposed_by_chance(shape: tuple[int, ...]) -> None:
    images = torch.rand(shape)
    torch.manual_seed(0)

    given = RandomTranspose(p=0.25)({"image": images, "target": images})

    swapped = torch.tensor(
        [torch.equal(new, old.mT) for new, old in zip(given["image"], images, strict=True)]
    )
    assert torch.equal(given["image"][~swapped], images[~swapped])
    assert 30 <= swapped.sum() <= 70
    assert given["target"] is images


@pytest.mark.parametrize(("p", "transposed"), [(0, False), (0.0, False), (1, True), (1.0, True)])
def test_never_and_always(p: float, transposed: bool) -> None:
    images = torch.rand(50, 4, 4)
    given = RandomTranspose(p)({"image": images})["image"]
    assert torch.equal(given, images.mT if transposed else images)


def test_the_batch_given_stays_as_it_was() -> None:
    images = torch.rand(4, 2, 2)
    batch = {"image": images.clone()}
    RandomTranspose(p=1.0)(batch)
    assert torch.equal(batch["image"], images)


def test_chance_comes_from_torch() -> None:
    images, transpose = torch.rand(50, 3, 3), RandomTranspose()
    torch.manual_seed(3)
    first = transpose({"image": images})["image"]
    torch.manual_seed(3)
    assert torch.equal(transpose({"image": images})["image"], first)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_a_chance_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(ArgumentError, match=r"p is .*; give a number from 0 to 1"):
        RandomTranspose(p)


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(DataError, match="'image' has images of 2 by 3; only square images"):
        RandomTranspose()({"image": torch.rand(4, 2, 3)})


def test_a_batch_without_images_is_refused() -> None:
    with pytest.raises(DataError, match="the batch has no 'image'; there are features"):
        RandomTranspose()({"features": torch.rand(4, 2)})


def test_a_generator_that_is_given_is_the_one_drawn_from() -> None:
    images, transpose = torch.rand(50, 3, 3), RandomTranspose()
    torch.manual_seed(3)
    wanted = transpose({"image": images})["image"]
    before = torch.get_rng_state()
    drawn = transpose({"image": images}, generator=torch.Generator().manual_seed(3))["image"]
    assert torch.equal(drawn, wanted)
    assert torch.equal(torch.get_rng_state(), before)
