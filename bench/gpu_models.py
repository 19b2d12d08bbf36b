"""The networks of the GPU rows, small to large, written out so that nothing need be installed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

Pair = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Case:
    """A network, and what makes a batch for it on a device."""

    model: Callable[[], nn.Module]
    batch: Callable[[torch.device], Pair]
    is_image: bool = False


class SmallCNN(nn.Sequential):
    """Images (batch, 1, 28, 28) to 10 logits."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise((1, 16, 32, 64)):
            layers += [nn.Conv2d(before, after, 5, stride=2, padding=2), nn.ReLU()]
        super().__init__(*layers, nn.Flatten(), nn.Linear(1024, 10))


class Residual(nn.Module):
    """Two convolutions beside a way past them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.past: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.past = nn.Sequential(
                nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.layers(x) + self.past(x))


class ResNet18(nn.Sequential):
    """Images (batch, 3, 32, 32) to 10 logits: ResNet-18 with the stem for small images."""

    def __init__(self) -> None:
        stem = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
        blocks: list[nn.Module] = []
        for before, after, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)):
            blocks += [Residual(before, after, stride), Residual(after, after, 1)]
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
        super().__init__(*stem, *blocks, *head)


class Block(nn.Module):
    """Causal attention and a hidden layer, each added to what comes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.from_heads = nn.Linear(width, width)
        self.hidden = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            nn.GELU(),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        qkv = self.to_qkv(self.before_attention(x)).unflatten(-1, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.from_heads(attended.transpose(1, 2).flatten(2))
        return x + self.hidden(x)


class Transformer(nn.Module):
    """Tokens (batch, length) to the logits of the next ones, (batch * length, vocabulary)."""

    def __init__(self, vocabulary: int, length: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, vocabulary, bias=False)
        self.to_logits.weight = self.tokens.weight
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.tokens(tokens) + self.places)
        return self.to_logits(self.norm(x)).flatten(0, 1)


def images(samples: int, *shape: int) -> Callable[[torch.device], Pair]:
    """So many images of a shape, and their labels."""

    def batch(device: torch.device) -> Pair:
        x = torch.randn(samples, *shape, device=device)
        return x, torch.randint(0, 10, (samples,), device=device)

    return batch


def texts(samples: int, length: int, vocabulary: int) -> Callable[[torch.device], Pair]:
    """So many sequences of tokens, and the tokens that come next."""

    def batch(device: torch.device) -> Pair:
        tokens = torch.randint(0, vocabulary, (samples, length + 1), device=device)
        return tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()

    return batch


CASES = {
    "small CNN": Case(SmallCNN, images(256, 1, 28, 28), is_image=True),
    "ResNet-18, 32x32": Case(ResNet18, images(256, 3, 32, 32), is_image=True),
    "transformer, 10 M": Case(
        lambda: Transformer(1024, 256, width=320, depth=8, heads=5), texts(32, 256, 1024)
    ),
    "transformer, 120 M": Case(
        lambda: Transformer(50304, 512, width=768, depth=12, heads=12), texts(16, 512, 50304)
    ),
}
TINY = {
    "small CNN": Case(SmallCNN, images(4, 1, 28, 28), is_image=True),
    "transformer": Case(lambda: Transformer(32, 8, width=16, depth=1, heads=2), texts(2, 8, 32)),
}
