"""Small models: logistic regression, a multilayer perceptron, a convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from legoloop.core.arguments import at_least, layer_widths, probability
from legoloop.core.errors import ArgumentError
from legoloop.core.protocols import Batch, Outputs
from legoloop.zoo.heads import Head
from legoloop.zoo.inputs import flat_input, image_input


class Logistic(nn.Module):
    """One linear layer on the flattened input: logistic regression or, by task, linear regression.

    Args:
        num_features: values per sample.
        num_outputs: classes of a multiclass task, 1 for a binary one, values for regression.
        task: ``multiclass``, ``binary`` or ``regression``.
        input_key: column of the batch with the inputs, uint8 or float.

    Raises:
        ArgumentError: for values out of range.

    >>> import torch
    >>> model = Logistic(num_features=30, num_outputs=1, task="binary", input_key="features")
    >>> model({"features": torch.zeros(5, 30)})["logits"].shape
    torch.Size([5])
    """

    def __init__(self, num_features: int, num_outputs: int, task: str, input_key: str) -> None:
        super().__init__()
        at_least(1, num_features=num_features)
        self.num_features = num_features
        self.input_key = input_key
        self.head = Head(num_features, num_outputs, task)

    def forward(self, batch: Batch) -> Outputs:
        """Return the outputs of the task."""
        features = flat_input(batch, self.input_key, self.num_features, self.head.dtype)
        outputs: Outputs = self.head(features)
        return outputs


class MLP(nn.Module):
    """Fully connected layers with ReLU on the flattened input.

    Args:
        num_features: values per sample.
        num_outputs: classes of a multiclass task, 1 for a binary one, values for regression.
        task: ``multiclass``, ``binary`` or ``regression``.
        input_key: column of the batch with the inputs, uint8 or float.
        hidden: the width of each hidden layer.
        dropout: probability of dropout after each hidden layer, 0 to 1.

    Raises:
        ArgumentError: for values out of range.

    >>> import torch
    >>> model = MLP(num_features=64, num_outputs=10, task="multiclass", input_key="image")
    >>> model({"image": torch.zeros(5, 1, 8, 8)})["logits"].shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        num_features: int,
        num_outputs: int,
        task: str,
        input_key: str,
        hidden: Sequence[int] = (128,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        at_least(1, num_features=num_features)
        layer_widths(hidden=hidden)
        probability(dropout=dropout)
        self.num_features = num_features
        self.input_key = input_key
        self.layers = nn.Sequential(
            *(
                _hidden(before, after, dropout)
                for before, after in pairwise((num_features, *hidden))
            )
        )
        self.head = Head(hidden[-1], num_outputs, task)

    def forward(self, batch: Batch) -> Outputs:
        """Return the outputs of the task."""
        features = flat_input(batch, self.input_key, self.num_features, self.head.dtype)
        outputs: Outputs = self.head(self.layers(features))
        return outputs


class SimpleCNN(nn.Module):
    """Convolutions, each of which halves the image, rounding up, then a fully connected layer.

    Args:
        image_shape: (channels, height, width).
        num_outputs: classes of a multiclass task, 1 for a binary one, values for regression.
        task: ``multiclass``, ``binary`` or ``regression``.
        input_key: column of the batch with the images, uint8 or float, shape (batch, height, width)
            or (batch, channels, height, width).
        channels: output channels of each convolution.
        kernel_size: side of the kernel, odd.
        hidden: width of the fully connected layer.
        dropout: probability of dropout before it, 0 to 1.

    Raises:
        ArgumentError: for values out of range.

    >>> import torch
    >>> model = SimpleCNN((1, 28, 28), num_outputs=10, task="multiclass", input_key="image")
    >>> model({"image": torch.zeros(5, 28, 28, dtype=torch.uint8)})["logits"].shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        num_outputs: int,
        task: str,
        input_key: str,
        channels: Sequence[int] = (16, 32, 64),
        kernel_size: int = 5,
        hidden: int = 128,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        layer_widths(image_shape=image_shape, channels=channels)
        at_least(1, kernel_size=kernel_size, hidden=hidden)
        probability(dropout=dropout)
        if kernel_size % 2 == 0:
            raise ArgumentError(
                f"is {kernel_size}", argument="kernel_size", remedy="give an odd number"
            )
        if len(image_shape) != 3:
            raise ArgumentError(
                f"is {tuple(image_shape)}",
                argument="image_shape",
                remedy="give (channels, height, width)",
            )
        depth, height, width = self.image_shape = tuple(image_shape)
        self.input_key = input_key
        self.features = nn.Sequential(
            *(_halving(a, b, kernel_size) for a, b in pairwise((depth, *channels)))
        )
        area = _halved(height, len(channels)) * _halved(width, len(channels))
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels[-1] * area, hidden),
            nn.ReLU(),
        )
        self.head = Head(hidden, num_outputs, task)

    def forward(self, batch: Batch) -> Outputs:
        """Return the outputs of the task."""
        images = image_input(batch, self.input_key, self.image_shape, self.head.dtype)
        outputs: Outputs = self.head(self.hidden(self.features(images)))
        return outputs


def _hidden(before: int, after: int, dropout: float) -> nn.Sequential:
    layers = [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(dropout)) if dropout else nn.Sequential(*layers)


def _halving(before: int, after: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
        # Before norm and ReLU, which then process a quarter of the values.
        nn.MaxPool2d(2, ceil_mode=True),
        # One group: all channels of a sample, so that its output depends on no other sample.
        nn.GroupNorm(1, after),
        nn.ReLU(),
    )


def _halved(side: int, times: int) -> int:
    return -(-side >> times)
