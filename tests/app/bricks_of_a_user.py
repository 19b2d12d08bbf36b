"""Bricks as users write them, right and wrong; tests copy them into a package ``mine``."""

from __future__ import annotations

import sys

import torch
from dependency_injector import containers, providers

import legoloop as ll

NUMBER = 3


class Finishes:
    def epoch_finish(self): ...


class BatchEndd:
    def batch_endd(self, step): ...


class TakesNoStep:
    def batch_end(self): ...


class TakesAStep:
    def epoch_end(self, step): ...


class Shadows:
    def __init__(self):
        self.epoch_end = 3


class Measures:
    def measure(self): ...


class NeedsATeacher:
    def __init__(self, teacher): ...

    def epoch_end(self): ...


class EveryFew:
    def __init__(self, every: int = 1, verbose: bool = False): ...

    def epoch_end(self): ...


class AfterSecond:
    after = ("second",)

    def epoch_end(self): ...


class AfterFirst:
    after = ("first",)

    def epoch_end(self): ...


class GivesFive:
    def epoch_end(self):
        return 5


class Divides:
    def epoch_end(self):
        return 1 / 0


def points(samples=8, target=None, idx=None, num_features=2):
    """Points as the XOR data have them, with the labels and names that the test wants."""
    columns = {
        "features": torch.zeros(samples, num_features),
        "target": torch.zeros(samples) if target is None else torch.tensor(target),
        "idx": torch.arange(samples) if idx is None else torch.tensor(idx),
    }
    return ll.ColumnDataset(
        columns, task="binary", num_outputs=1, num_features=2, input_key="features"
    )


class Records:
    """Four times the same record."""

    task, num_outputs, num_features, input_key = "binary", 1, 2, "features"

    def __init__(self, record=None):
        self.record = record

    def __len__(self):
        return 4

    def __getitem__(self, item):
        return self.record


class Ragged(Records):
    def __getitem__(self, item):
        return {"features": torch.zeros(2 + item), "target": torch.zeros(()), "idx": item}


class Silent:
    def __len__(self):
        return 4

    def __getitem__(self, item):
        return {"idx": item}


class Mute(torch.nn.Module):
    """Learns, but calls its outputs by another name."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, batch):
        return {"logit": self.layer(batch["features"])[:, 0]}


class App(containers.DeclarativeContainer):
    """A container of one's own that reads two keys of the configuration."""

    config = providers.Configuration()
    counter = providers.Singleton(ll.Counter)
    epoch = providers.Singleton(ll.SimpleEpoch, iter(()), config.epoch_size)
    last = providers.Singleton(ll.LastEpoch, counter, config.num_epochs)
    host = providers.Singleton(ll.TrainingHost, plugins=providers.List(counter, epoch, last))


class EndsBadly:
    """Ends the job in one of the ways in which users' code does."""

    def __init__(self, how):
        self.how = how

    def epoch_start(self):
        if self.how == "bug":
            raise ZeroDivisionError("divided by nothing")
        if self.how == "exit":
            sys.exit(3)
        if self.how == "data":
            raise ll.DataError("the data are odd")


class MeanOfSources:
    def __init__(self, sources):
        self.sources = sources

    def scalars(self):
        return {}


class SourceOfOne:
    def scalars(self):
        return {"one": 1.0}


def make_a_source():
    return SourceOfOne()
