"""Bricks as users write them, right and wrong; tests copy them into a package ``mine``."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import torch
from dependency_injector import containers, providers
from hydra.experimental.callback import Callback

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
        if self.how == "_exit":
            os._exit(9)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


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


class Faulty:
    """Ends a run after so many steps as long as the environment has its fault: ``name=how``."""

    def __init__(self, name, counter, model, after_steps=2):
        faults = dict(fault.split("=") for fault in os.environ.get("FAULTS", "").split())
        self.how = faults.get(str(name))
        self.counter = counter
        self.model = model
        self.after_steps = after_steps

    def batch_end(self, step):
        if self.how is None or self.counter.steps != self.after_steps:
            return
        if self.how == "bug":
            raise ZeroDivisionError("divided by nothing")
        if self.how == "nan":
            next(self.model.parameters()).data.fill_(float("nan"))
        if self.how == "exit":
            sys.exit(3)
        if self.how == "_exit":
            os._exit(9)
        if self.how == "kill_the_sweep":
            psutil.Process(os.getppid()).parent().kill()  # that of the fork server
            time.sleep(5)
        if self.how.startswith("SIG"):
            os.kill(os.getpid(), signal.Signals[self.how])


class Untidy(Faulty):
    """Leaves behind what a job can; of three runs, one ends after two steps."""

    def __init__(self, seed, counter, model):
        super().__init__(None, counter, model)
        self.how = {2: "bug", 5: "exit", 8: "nan"}.get(seed % 9)
        self.itself = self

    def train_start(self):
        torch.set_num_threads(torch.get_num_threads() % 3 + 1)
        torch.set_default_dtype(torch.float64)
        warnings.simplefilter("ignore")
        os.chdir("..")

    def close(self):
        random.seed(), np.random.seed(), torch.seed()


class Census(Callback):
    """Calls what the test gives it each time that a job is about to begin."""

    look = None

    def on_job_start(self, config, **kwargs):
        type(self).look()


class Table(ll.ColumnDataset):
    """The rows of a CSV file with the columns features and target."""

    task, num_outputs, num_features, input_key = "binary", 1, 2, "features"

    def __init__(self, path, train):
        rows = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32)
        x = torch.from_numpy(rows[:, :1]).repeat(1, 2)
        target = torch.from_numpy(rows[:, 1])
        super().__init__({"idx": torch.arange(len(rows)), "features": x, "target": target})


class FailsOnce:
    """Fails in the third epoch if a file is there, which it takes away."""

    def __init__(self, path, counter):
        self.path = Path(path)
        self.counter = counter

    def batch_end(self, step):
        if self.counter.epochs == 2 and self.path.exists():
            self.path.unlink()
            raise ll.DataError("a fault")
