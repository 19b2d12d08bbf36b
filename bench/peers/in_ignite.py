"""Ignite."""

from __future__ import annotations

from ignite.contrib.handlers import ProgressBar
from ignite.engine import Engine, Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import Checkpoint, DiskSaver
from ignite.handlers.tensorboard_logger import (
    OptimizerParamsHandler,
    OutputHandler,
    TensorboardLogger,
)
from ignite.metrics import Loss
from torch.nn.functional import cross_entropy

from bench.task import LOG_EVERY, Task


def trainer_of(task: Task) -> Engine:
    return create_supervised_trainer(
        task.model,
        task.optimizer,
        cross_entropy,
        output_transform=lambda x, y, predicted, loss: loss.detach(),
    )


def plain(task: Task) -> None:
    trainer_of(task).run(task.train, max_epochs=1)


def featured(task: Task) -> None:
    trainer = trainer_of(task)
    evaluator = create_supervised_evaluator(task.model, {"loss": Loss(cross_entropy)})
    often = Events.ITERATION_COMPLETED(every=LOG_EVERY)
    ProgressBar().attach(trainer, event_name=often)
    best = Checkpoint(
        {"model": task.model},
        DiskSaver(str(task.folder), require_empty=False),
        n_saved=1,
        score_function=lambda engine: -engine.state.metrics["loss"],
    )
    evaluator.add_event_handler(Events.COMPLETED, best)

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate(engine: Engine) -> None:
        evaluator.run(task.validation)

    with TensorboardLogger(log_dir=str(task.folder)) as board:
        told = OutputHandler("train", output_transform=lambda loss: {"loss": loss.item()})
        board.attach(trainer, log_handler=told, event_name=often)
        board.attach(trainer, log_handler=OptimizerParamsHandler(task.optimizer), event_name=often)
        board.attach(
            evaluator,
            log_handler=OutputHandler("val", metric_names=["loss"]),
            event_name=Events.COMPLETED,
        )
        trainer.run(task.epoch(), max_epochs=task.epochs)


PLAIN = {"Ignite": plain}
FEATURED = {"Ignite": featured}
