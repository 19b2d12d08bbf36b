"""Hugging Face's Accelerate."""

from __future__ import annotations

from math import inf

from accelerate import Accelerator
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from bench.peers.by_hand import validated
from bench.task import LOG_EVERY, Task


def plain(task: Task) -> None:
    accelerator = Accelerator(cpu=True)
    model, optimizer = accelerator.prepare(task.model, task.optimizer)
    model.train()
    for x, y in task.train:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        accelerator.backward(loss)
        optimizer.step()


def featured(task: Task) -> None:
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(task.folder))
    accelerator.init_trackers("logs")
    model, optimizer = accelerator.prepare(task.model, task.optimizer)
    best = inf
    step = 0
    with tqdm(total=task.steps, disable=not accelerator.is_main_process) as bar:
        for _ in range(task.epochs):
            model.train()
            for x, y in task.epoch():
                optimizer.zero_grad()
                loss = cross_entropy(model(x), y)
                accelerator.backward(loss)
                optimizer.step()
                step += 1
                bar.update()
                if step % LOG_EVERY == 0:
                    rate = optimizer.param_groups[0]["lr"]
                    accelerator.log({"loss": loss.item(), "lr": rate}, step=step)
            value = validated(model, task.validation)
            accelerator.log({"val/loss": value}, step=step)
            if value < best:
                best = value
                accelerator.save(accelerator.get_state_dict(model), task.folder / "best")
    accelerator.end_training()


PLAIN = {"Accelerate": plain}
FEATURED = {"Accelerate": featured}
