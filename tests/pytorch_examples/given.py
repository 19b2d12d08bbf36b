"""The models and data of the examples on docs/coming_from.md: small ones, of the same kinds."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from legoloop.zoo.toy_data import digits

Batch = dict[str, Any]


class Net(nn.Module):
    """A convolutional network with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.25), nn.Flatten(), nn.Linear(144, 10)
        )

    def forward(self, batch: Batch) -> Batch:
        return {"logits": self.layers(batch["image"])}


class RNN(nn.Module):
    """Reads an image row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(8, 16, batch_first=True)
        self.head = nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.25), nn.Linear(16, 10))

    def forward(self, batch: Batch) -> Batch:
        rows, _ = self.rnn(batch["image"].squeeze(1))
        return {"logits": self.head(rows[:, -1])}


class VAE(nn.Module):
    """A variational autoencoder of flat images."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU())
        self.mean, self.logvar = nn.Linear(32, 20), nn.Linear(32, 20)
        self.decode = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 64), nn.Sigmoid())

    def forward(self, batch: Batch) -> Batch:
        hidden = self.encode(batch["image"])
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        noise = torch.randn_like(mean)
        return {
            "reconstruction": self.decode(mean + noise * (0.5 * logvar).exp()),
            "mean": mean,
            "logvar": logvar,
        }


class Pairs:
    """Two digits, and whether they are the same; the second is drawn anew whenever it is read."""

    def __init__(self, train: bool = True) -> None:
        columns = digits(train=train).columns
        self.images, self.target = columns["image"][:64], columns["target"][:64]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, item: int) -> Batch:
        other = int(torch.randint(len(self), ()))
        same = (self.target[item] == self.target[other]).float()
        return {
            "idx": item,
            "first": self.images[item],
            "second": self.images[other],
            "target": same,
        }


class Siamese(nn.Module):
    """One network looks at two images, another compares what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.compare = nn.Linear(32, 1)

    def forward(self, batch: Batch) -> Batch:
        both = [self.look(batch["first"]), self.look(batch["second"])]
        return {"logits": self.compare(torch.cat(both, dim=1)).squeeze(1)}


class SmallAndLarge:
    """Images, and what is left of them at half the size."""

    def __init__(self, train: bool = True) -> None:
        self.large = digits(train=train).columns["image"][:48]
        self.small = nn.functional.avg_pool2d(self.large, 2)

    def __len__(self) -> int:
        return len(self.large)

    def __getitem__(self, item: int) -> Batch:
        return {"idx": item, "small": self.small[item], "target": self.large[item]}


class Enlarge(nn.Module):
    """Convolutions, whose channels become pixels."""

    def __init__(self, upscale_factor: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, upscale_factor**2, 3, padding=1),
            nn.PixelShuffle(upscale_factor),
        )

    def forward(self, batch: Batch) -> Batch:
        return {"prediction": self.layers(batch["small"])}


class Polynomial(nn.Module):
    """Linear in the powers of x."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, batch: Batch) -> Batch:
        return {"y": self.layer(batch["x"])}


class Batches:
    """An endless stream of points on a polynomial, drawn as they are asked for."""

    def __iter__(self) -> Batches:
        return self

    def __next__(self) -> Batch:
        x = torch.rand(32).unsqueeze(1)
        powers = torch.cat([x**power for power in range(1, 5)], dim=1)
        return {"x": powers, "y": powers @ torch.tensor([[0.5], [-0.3], [0.1], [0.2]]) + 0.3}


class Windows:
    """Windows of a text, and each one letter on."""

    def __init__(self, train: bool = True, length: int = 12) -> None:
        letters = [(n * n + n // 3) % 11 for n in range(400)]
        self.letters = torch.tensor(letters[:320] if train else letters[320:])
        self.length = length

    def __len__(self) -> int:
        return (len(self.letters) - 1) // self.length

    def __getitem__(self, item: int) -> Batch:
        begin = item * self.length
        window = self.letters[begin : begin + self.length + 1]
        return {"idx": item, "letters": window[:-1], "target": window[1:]}


class Transformer(nn.Module):
    """A causal encoder, letters in and logits of the next ones out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.logits = nn.Linear(16, 11)

    def forward(self, batch: Batch) -> Batch:
        mask = nn.Transformer.generate_square_subsequent_mask(batch["letters"].shape[1])
        hidden = self.encoder(self.embedding(batch["letters"]), mask=mask, is_causal=True)
        return {"logits": self.logits(hidden)}


class Overlaid:
    """Flat digits with a right and a wrong label written into their first ten pixels."""

    def __init__(self, train: bool = True) -> None:
        columns = digits(train=train).columns
        self.flat, self.target = columns["image"][:64].flatten(1), columns["target"][:64].long()
        shift = 1 + torch.arange(64) % 9
        self.right = overlaid(self.flat, self.target)
        self.wrong = overlaid(self.flat, (self.target + shift) % 10)

    def __len__(self) -> int:
        return len(self.flat)

    def __getitem__(self, item: int) -> Batch:
        names = {"flat": self.flat, "right": self.right, "wrong": self.wrong}
        values = {name: column[item] for name, column in names.items()}
        return {"idx": item, "target": self.target[item], **values}


def overlaid(flat: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    flat = flat.clone()
    flat[:, :10] = nn.functional.one_hot(label, 10).float()
    return flat


class ForwardForward(nn.Module):
    """Layers that learn one after the other, ``turn`` the one that does."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 32), nn.Linear(32, 32)])
        self.turn = 0

    def forward(self, batch: Batch) -> Batch:
        if not self.training:
            labels = [torch.full((len(batch["flat"]),), label) for label in range(10)]
            good = [sum(self.goodness(overlaid(batch["flat"], label))) for label in labels]
            return {"logits": torch.stack(good, dim=1)}  # type: ignore[arg-type]
        return {
            "right": self.goodness(batch["right"])[self.turn],
            "wrong": self.goodness(batch["wrong"])[self.turn],
        }

    def goodness(self, hidden: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for layer in self.layers:
            hidden = layer(hidden / (hidden.norm(dim=1, keepdim=True) + 1e-4)).relu()
            found.append(hidden.pow(2).mean(1))
            hidden = hidden.detach()
        return found


class Game:
    """Keep a number near 0 by pushing it; what is seen is the number, its speed and their signs."""

    def __init__(self) -> None:
        self.place, self.speed, self.steps = 0.0, float(torch.rand(())) - 0.5, 0

    @property
    def is_over(self) -> bool:
        return abs(self.place) > 1 or self.steps == 20

    def seen(self) -> torch.Tensor:
        return torch.tensor([self.place, self.speed, abs(self.place), abs(self.speed)])

    def push(self, up: int) -> float:
        self.speed += 0.3 if up else -0.3
        self.place, self.steps = self.place + 0.2 * self.speed, self.steps + 1
        return 1.0


class ActorCritic(nn.Module):
    """What to do, and what it is worth."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(4, 16), nn.ReLU())
        self.actor, self.critic = nn.Linear(16, 2), nn.Linear(16, 1)

    def forward(self, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.hidden(seen)
        return self.actor(hidden), self.critic(hidden).squeeze()


class Episodes:
    """An endless stream of episodes that are yet to be played."""

    position = 0

    def __iter__(self) -> Episodes:
        return self

    def __next__(self) -> Batch:
        self.position += 1
        return {"episode": torch.tensor([self.position])}

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]
