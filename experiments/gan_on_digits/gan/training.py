"""What each network is shown, what it is to make small, and what is measured."""

from __future__ import annotations

import torch
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy


class ShowBoth:
    """The feed of the discriminator: as many new images as there are real ones."""

    def __init__(self, generator, discriminator, device):
        self.generator = generator.to(device)
        self.discriminator = discriminator.to(device)
        self.device = device

    def __call__(self, batch):
        real = batch["image"].to(self.device)
        with torch.no_grad():
            made = self.generator.drawn(len(real), self.device)
        return batch, {"real": self.discriminator(real), "made": self.discriminator(made)}


class ShowMade:
    """The feed of the generator: what the discriminator thinks of new images."""

    def __init__(self, generator, discriminator, device):
        self.generator = generator.to(device)
        self.discriminator = discriminator.to(device)
        self.device = device

    def __call__(self, batch):
        made = self.generator.drawn(len(batch["image"]), self.device)
        return batch, {"made": self.discriminator(made)}


def tells_apart(batch, outputs):
    """Real images are real, new ones are not."""
    real, made = outputs["real"], outputs["made"]
    as_real = cross_entropy(real, torch.ones_like(real))
    return as_real + cross_entropy(made, torch.zeros_like(made))


def deceives(batch, outputs):
    """New images are taken for real."""
    return cross_entropy(outputs["made"], torch.ones_like(outputs["made"]))


class Distance:
    """How far new images are from real ones: of the mean and the spread of each pixel."""

    def __init__(self, generator, loaders, device, samples=1000):
        real = torch.cat([batch["image"] for batch in loaders["val"]]).cpu()
        self.real = torch.stack([real.mean(dim=0), real.std(dim=0)])
        self.generator = generator
        self.device = device
        self.samples = samples
        self.distance = None

    @torch.no_grad()
    def epoch_end(self):
        made = self.generator.drawn(self.samples, self.device).cpu()
        made = torch.stack([made.mean(dim=0), made.std(dim=0)])
        self.distance = (made - self.real).norm().item()

    def scalars(self):
        return {} if self.distance is None else {"distance": self.distance}


class SaveImages:
    """Writes new images into a file, (samples, 1, 8, 8), at the end."""

    def __init__(self, generator, device, path, samples=64):
        self.generator = generator
        self.device = device
        self.path = path
        self.samples = samples

    @torch.no_grad()
    def train_end(self):
        torch.save(self.generator.drawn(self.samples, self.device).cpu(), self.path)
