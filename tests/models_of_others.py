"""Models and data sets as other libraries write them, which know nothing of batches."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

IMAGE = (3, 8, 8)

InceptionOutputs = namedtuple("InceptionOutputs", ["logits", "aux_logits"])


class BasicBlock(nn.Module):
    """Of a ResNet in the style of torchvision: nested modules, batch norm, in-place ReLU."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.bn1(self.conv1(x)) + x)


class ResNet(nn.Module):
    """As torchvision's classifiers are: images to logits."""

    def __init__(self, num_classes: int = 10, width: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False)
        self.layer1 = nn.Sequential(BasicBlock(width), BasicBlock(width))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(width, num_classes)

    def _forward_impl(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.flatten(self.avgpool(self.layer1(self.conv1(x))), 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward_impl(x)


def resnet(num_classes: int = 10) -> ResNet:
    """A function that makes a model, as ``torchvision.models.resnet18`` is."""
    return ResNet(num_classes)


class Perceptron(nn.Sequential):
    """A plain sequence of layers."""

    def __init__(self, features: int, num_classes: int = 10) -> None:
        super().__init__(nn.Flatten(), nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, num_classes))


class Inception(ResNet):
    """As torchvision's Inception: two outputs in training, one in evaluation."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes)
        self.AuxLogits = nn.Linear(IMAGE[0], num_classes)

    def forward(self, x: torch.Tensor) -> Any:
        logits = self._forward_impl(x)
        return InceptionOutputs(logits, self.AuxLogits(x.mean((2, 3)))) if self.training else logits


class Segmentation(nn.Module):
    """As torchvision's segmentation models: an OrderedDict."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(3, num_classes, 1)
        self.aux_classifier = nn.Conv2d(3, num_classes, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return OrderedDict(out=self.classifier(x), aux=self.aux_classifier(x))


class VisionTransformer(nn.Module):
    """In the style of timm: ``forward_features``, ``forward_head``, and a configuration."""

    def __init__(self, num_classes: int, embed_dim: int = 8) -> None:
        super().__init__()
        self.pretrained_cfg = {"input_size": IMAGE}
        self.patch_embed = nn.Conv2d(3, embed_dim, 4, stride=4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim))
        self.norm = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embed(x).flatten(2).transpose(1, 2)
        return self.norm(torch.cat([self.cls_token.expand(len(x), -1, -1), patches], dim=1))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return x.mean(1) if pre_logits else self.head(x.mean(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def create_model(model_name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """As ``timm.create_model``."""
    assert (model_name, pretrained) == ("vit_tiny", False)
    return VisionTransformer(**kwargs)


class Reader(nn.Module):
    """An LSTM that is given two tensors and returns a tuple with a tuple in it."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, num_classes, batch_first=True)

    def forward(self, steps: torch.Tensor, scale: torch.Tensor, *, shift: float = 0.0) -> Any:
        return self.lstm(steps * scale[:, None, None] + shift)


@dataclass
class Boxes:
    """What a model may return."""

    centres: torch.Tensor
    sizes: torch.Tensor


class Detector(nn.Module):
    """Returns a dataclass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> Boxes:
        return Boxes(self.layer(x), x.abs())


class Pictures:
    """In the style of ``torchvision.datasets``: pairs, drawn on by a random transform."""

    def __init__(self, train: bool = True, transform: Any = None) -> None:
        self.classes = [str(number) for number in range(10)]
        generator = torch.Generator().manual_seed(int(train))
        self.targets = torch.randint(0, 10, (24,), generator=generator)
        self.data = torch.randn(24, *IMAGE, generator=generator) + self.targets[:, None, None, None]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.data[index]
        return (self.transform(image) if self.transform else image), int(self.targets[index])
