"""Wrong inputs, each with the whole message that answers it.

Those in the configuration end with status 2 and leave no trace; those in the data, or found while
running, end with status 1 and a run recorded as failed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from legoloop.state.run_record import read_record
from tests.app.command import Command, Ended, beside_bricks_of_a_user, in_a_process
from tests.app.composed import refusal

BASE = ("data=xor", "model=logistic", "loggers=[]", "num_epochs=1", "epoch_size=64")

Cases = dict[str, tuple[tuple[str, ...], str]]

IN_THE_CONFIGURATION: Cases = {
    "a group misspelt": (
        ("modle=mlp",),
        "modle (command line): there is no such key or group; to add it, write +modle=…; did "
        "you mean model?",
    ),
    "an option misspelt": (
        ("model=mpl",),
        "model=mpl: there is no such option; did you mean mlp?",
    ),
    "another mode of Hydra's": (
        ("hydra.mode=BLAH",),
        "hydra.mode (command line): Invalid value 'BLAH', expected one of [RUN, MULTIRUN]",
    ),
    "a flag for a key": (
        ("--seed=3",),
        "--seed=3: is no flag; overrides have no dashes: write seed=3",
    ),
    "the folder of a sweep by the job, with Hydra's own sweeper": (
        ("--multirun", "hydra/sweeper=basic", "hydra.sweep.dir=a/${hydra.job.id}"),
        "hydra.sweep.dir (command line): is not known before the jobs are (MissingMandatoryValue "
        "while resolving interpolation: Missing mandatory value: hydra.job.id); put what differs "
        "between jobs into hydra.sweep.subdir",
    ),
    "a flag misspelt": (
        ("--multi-run",),
        "--multi-run: is no flag; did you mean --multirun?",
    ),
    "a folder in the place of what ships": (
        ("--config-path=conf",),
        "--config-path: takes the place of all groups that ship; write --config-dir=conf",
    ),
    "another primary configuration that is not there": (
        ("--config-name=mine",),
        "--config-name: there is no mine.yaml; leave it out, or give its folder with --config-dir",
    ),
    "a pickled job": (
        ("--experimental-rerun", "config.pickle"),
        "--experimental-rerun: goes past all checks; give rerun=RUN instead",
    ),
    "gradients that are added up and overwritten": (
        ("compile=reduce-overhead", "plugins.descent.micro_batch_size=8"),
        "plugins.descent.compile (conf/plugins/default.yaml): is 'reduce-overhead', whose CUDA "
        "graphs reuse gradient buffers, so gradients cannot be accumulated over micro-batches; "
        "give compile=true",
    ),
    "an optimizer that takes the loss several times": (
        (
            "optimizer._target_=torch.optim.LBFGS",
            *("~optimizer.betas", "~optimizer.weight_decay", "~optimizer.fused"),
        ),
        "plugins.descent (conf/plugins/default.yaml): opt is of class LBFGS, which evaluates the "
        "loss several times a step; give it to a ClosureDescent, as optimizer=lbfgs does",
    ),
    "a scaler for an optimizer that evaluates the loss itself": (
        ("optimizer=lbfgs", "precision=amp_fp16"),
        "plugins.descent.scaler (conf/precision/amp_fp16.yaml): scales gradients, with which an "
        "optimizer that evaluates the loss itself cannot reckon; give precision=amp_bf16 or fp32",
    ),
    "graphs whose outputs the next evaluation overwrites": (
        ("optimizer=lbfgs", "compile=reduce-overhead"),
        "plugins.descent.compile (conf/plugins/default.yaml): is 'reduce-overhead', whose CUDA "
        "graphs overwrite the outputs at the next evaluation; give compile=true",
    ),
    "groups for an optimizer that knows none": (
        ("optimizer=lbfgs", "param_groups=no_decay"),
        "optimizer (conf/param_groups/no_decay.yaml): torch.optim.LBFGS refuses it: LBFGS "
        "doesn't support per-parameter options (parameter groups)",
    ),
    "an option of a list misspelt": (
        ("loggers=[cvs]",),
        "loggers=cvs: there is no such option; did you mean csv?",
    ),
    "an option of a folder of the user's misspelt": (
        ("--config-dir=conf", "model=miine"),
        "model=miine: there is no such option; did you mean mine?",
    ),
    "a group set to null": (
        ("metrics=null",),
        "metrics (command line): is null, no name of an option; there are binary, evaluated, "
        "multiclass, regression",
    ),
    "a number that no float can hold": (
        (f"optimizer.lr={'9' * 400}",),
        "optimizer.lr (command line): has a number of more than 308 digits",
    ),
    "a setting that another refers to deleted": (
        ("~seed",),
        "seed (command line): cannot be deleted: data.seed refers to it; write seed=…",
    ),
    "a path that no file system takes": (
        (f"resume={'x' * 5000}",),
        f"resume (command line): is '{'x' * 499}…; give auto, never, must, a run directory or a "
        "checkpoint",
    ),
    "a long value of a key that is not there": (
        (f"data.root={'x' * 5000}",),
        "data.root (command line): there is no such key or group; to add it, write +data.root=…; "
        "there are seed, preload, predict_dataset, output_key, model_kwargs, loaders, datasets",
    ),
    "a group emptied": (
        ("plugins=[]",),
        "plugins: is empty; choose an option with plugins=…",
    ),
    "a key misspelt": (
        ("num_epoch=3",),
        "num_epoch (command line): there is no such key or group; to add it, write "
        "+num_epoch=…; did you mean num_epochs?",
    ),
    "a key added": (
        ("+num_epoch=3",),
        "num_epoch (command line): nothing takes this key; did you mean num_epochs?",
    ),
    "a nested key misspelt": (
        ("optimizer.learning_rate=1",),
        "optimizer.learning_rate (command line): there is no such key or group; to add it, "
        "write +optimizer.learning_rate=…; there are _target_, lr, betas, weight_decay, fused",
    ),
    "a nested key added": (
        ("+optimizer.learning_rate=1",),
        "optimizer.learning_rate (command line): torch.optim.Adam takes no 'learning_rate'; "
        "there are params, lr, betas, eps, weight_decay, amsgrad, foreach, maximize, "
        "capturable, differentiable, fused, decoupled_weight_decay",
    ),
    "a key of the data added": (
        ("+data.predict_datset=val",),
        "data.predict_datset (command line): nothing takes this key; did you mean predict_dataset?",
    ),
    "a key of Hydra's misspelt": (
        ("hydra.run.dri=here",),
        "hydra.run.dri (command line): there is no such key or group; to add it, write "
        "+hydra.run.dri=…; did you mean dir?",
    ),
    "a key taken away that is not there": (
        ("~num_epoch",),
        "num_epoch (command line): there is no such key to delete; did you mean num_epochs?",
    ),
    "a key added that is there": (
        ("+seed=3",),
        "seed (command line): is there already; write seed=3, or ++seed=3 where it may be missing",
    ),
    "a wrong key in a file of the user's": (
        ("--config-dir=conf", "model=mine"),
        "model.hiden ({here}/conf/model/mine.yaml): legoloop.zoo.models.MLP takes no 'hiden'; did "
        "you mean hidden?",
    ),
    "a file of the user's that is not YAML": (
        ("--config-dir=conf", "model=broken"),
        "{here}/conf/model/broken.yaml, line 2: not YAML that can be read: expected ',' or "
        "']', but got ':'",
    ),
    "a folder of the user's that is not there": (
        ("--config-dir=cnof",),
        "Additional config directory '{here}/cnof' not found",
    ),
    "syntax without a value": (
        ("num_epochs",),
        "num_epochs: is not an override; write num_epochs=…",
    ),
    "syntax of a list": (
        ("model.hidden=[1",),
        "model.hidden=[1: is not an override; close what it opens, and quote what is a text: "
        "key='value'",
    ),
    "an interpolation of nothing": (
        ("num_epochs=${nope}",),
        "num_epochs (command line): Interpolation key 'nope' not found",
    ),
    "an interpolation of itself": (
        ("num_epochs=${num_epochs}",),
        "num_epochs (command line): Recursive interpolation detected",
    ),
    "an environment variable that is not set": (
        ("device=${oc.env:NOT_SET}",),
        "device (command line): KeyError raised while resolving interpolation: "
        "\"Environment variable 'NOT_SET' not found\"",
    ),
    "a mandatory value": (
        ("num_epochs=???",),
        "num_epochs (command line): Missing mandatory value: num_epochs",
    ),
    "a setting of loaders misspelt": (
        ("+data.loaders.default.bacth_size=3",),
        "data.loaders.default.bacth_size (command line): is not a setting; did you mean "
        "batch_size?",
    ),
    "loaders of no data set": (
        ("+data.loaders.vla.batch_size=3",),
        "data.loaders.vla (command line): is not a data set; did you mean val?",
    ),
    "loaders that are a number": (
        ("data.loaders.default=5",),
        "data.loaders.default (command line): is 5; give settings by name",
    ),
    "a data set to predict that is not there": (
        ("data.predict_dataset=vla",),
        "data.predict_dataset (command line): there is no data set 'vla'; did you mean val?",
    ),
    "no data set to train on": (
        ("~data.datasets.train",),
        "data.datasets (command line): there is no data set 'train'; there are val",
    ),
    "an evaluation of no data set": (
        ("+plugins.loops_acc.datasets=[vla]",),
        "plugins.loops_acc.datasets (command line): has 'vla'; did you mean val?",
    ),
    "what the data do not tell": (
        ("data.datasets.train._target_=mine.Silent", "~data.datasets.train.train"),
        "data.model_kwargs (conf/data/xor.yaml): the train data set, a Silent, has no attribute "
        "'num_features'; give it one, or set the parameter that needs it",
    ),
    "a module that is not there": (
        ("model._target_=mnie.Net",),
        "model._target_ (command line): there is no module mnie; is it installed, or its "
        "folder on PYTHONPATH?",
    ),
    "a class misspelt": (
        ("optimizer._target_=torch.optim.Adan",),
        "optimizer._target_ (command line): torch.optim has no 'Adan'; did you mean Adam?",
    ),
    "a target that is no class": (
        ("+plugins.mine={_target_: mine.NUMBER}",),
        "plugins.mine._target_ (command line): mine.NUMBER cannot be called; it is of type int",
    ),
    "a target that is no path": (
        ("+plugins.mine={_target_: 3}",),
        "plugins.mine._target_ (command line): 3 is not a dotted path; write package.module.Name",
    ),
    "a plugin without a target": (
        ("+plugins.mine.every=3",),
        "plugins.mine (command line): is {'every': 3}; a component is a mapping with a _target_",
    ),
    "a provider misspelt": (
        ("+plugins.mine={_target_: mine.EveryFew, _inject_: {every: epocs}}",),
        "plugins.mine._inject_.every (command line): there is no provider 'epocs'; did you "
        "mean epoch?",
    ),
    "an injected parameter misspelt": (
        ("+plugins.mine={_target_: mine.EveryFew, _inject_: {evry: epoch}}",),
        "plugins.mine._inject_.evry (command line): mine.EveryFew takes no 'evry'; did you mean "
        "every?",
    ),
    "a required parameter that nobody has": (
        ("+plugins.mine={_target_: mine.NeedsATeacher}",),
        "plugins.mine.teacher (command line): mine.NeedsATeacher needs 'teacher', which has "
        "no value here and no provider of that name; set plugins.mine.teacher=…, or inject "
        "one of the providers: there are model, loss, optimizer, metrics, accumulators, feed, "
        "parallel, "
        "checkpoints, counter, descent, epoch, history, last, learning_rate, loaders_acc, "
        "loaders_metrics, loops_acc, loops_metrics, mine, model_weights, predicts, profile, "
        "train_loss, datasets, loaders, loop_iters, train_iterator, params, device, variation, "
        "sources, picture_sources, evaluations, drivers, descents, task, num_outputs, "
        "num_features, input_key",
    ),
    "a value that an option leaves to the user": (
        ("model=adapted",),
        "model.module (conf/model/adapted.yaml): has no value, which the option leaves to you; "
        "give one: model.module=…",
    ),
    "inputs that the model does not take": (
        ("model=adapted", "model.module={_target_: torch.nn.Flatten}", "model.inputs=[a,b]"),
        "model.inputs (command line): does not fit Flatten.forward: too many positional arguments; "
        "it takes input",
    ),
    "a stream of what can be iterated once": (
        (
            "+plugins.epoch.train_iterator={_target_: legoloop.LoaderStream, loader: "
            "{_target_: builtins.iter, _args_: [[1]]}}",
        ),
        "plugins.epoch.train_iterator.loader (command line): is a list_iterator, which cannot be "
        "iterated again and again; give a DataLoader, or an object whose __iter__ begins a pass",
    ),
    "a model for images on other data": (
        ("model=simple_cnn",),
        "model.image_shape (conf/model/simple_cnn.yaml): legoloop.zoo.models.SimpleCNN needs "
        "'image_shape', which has no value here and no provider of that name; set "
        "model.image_shape=…, or inject one of the providers: there are model, loss, "
        "optimizer, metrics, accumulators, feed, parallel, checkpoints, counter, descent, epoch, "
        "history, "
        "last, learning_rate, loaders_acc, loaders_metrics, loops_acc, loops_metrics, "
        "model_weights, predicts, profile, train_loss, datasets, loaders, loop_iters, "
        "train_iterator, params, device, variation, sources, picture_sources, evaluations, "
        "drivers, descents, task, num_outputs, num_features, input_key",
    ),
    "an evaluated loss without the loss": (
        ("+accumulators.mine={_target_: legoloop.MeanLoss, _partial_: true}",),
        "accumulators.mine (command line): makes no accumulator: MeanLoss.__init__() missing 1 "
        "required positional argument: 'loss'",
    ),
    "a metric that is none": (
        (
            "+accumulators.mine={_target_: legoloop.MetricAccumulator, _partial_: true, "
            "inputs: [logits], metric: {_target_: legoloop.TrainLoss}}",
        ),
        "accumulators.mine.metric (command line): is a TrainLoss, without update and compute; "
        "give a metric of torchmetrics",
    ),
    "a plugin of a name in use": (
        ("+plugins.model={_target_: legoloop.Counter}",),
        "plugins.model (command line): the name is taken by model already; choose another",
    ),
    "a logger of a name in use": (
        ("+loggers.counter={_target_: legoloop.Counter}",),
        "loggers.counter (command line): the name is taken by plugins.counter already; choose"
        " another",
    ),
    "a name that the container needs": (
        ("+plugins.config={_target_: legoloop.Counter}",),
        "plugins.config (command line): the name 'config' is taken; choose another",
    ),
    "text for a number": (
        ("num_epochs=many",),
        "num_epochs (command line): is 'many'; give a whole number of at least 0",
    ),
    "a fraction for a whole number": (
        ("epoch_size=1.5",),
        "epoch_size (command line): is 1.5; give a whole number of at least 1, or null",
    ),
    "a boolean for a number": (
        ("seed=true",),
        "seed (command line): is True; give a whole number from 0 to 4294967295",
    ),
    "text for a brick's number": (
        ("optimizer.lr=fast",),
        "optimizer.lr (command line): is 'fast', a text; torch.optim.Adam takes float | "
        "torch.Tensor",
    ),
    "a fraction for a brick's whole number": (
        ("+plugins.mine={_target_: mine.EveryFew, every: 1.5}",),
        "plugins.mine.every (command line): is 1.5, a number; mine.EveryFew takes int",
    ),
    "a number for a brick's boolean": (
        ("+plugins.mine={_target_: mine.EveryFew, verbose: 1}",),
        "plugins.mine.verbose (command line): is 1, a whole number; mine.EveryFew takes bool",
    ),
    "a list of the wrong length": (
        ("optimizer.betas=[0.9]",),
        "optimizer.betas (command line): is [0.9], a list; torch.optim.Adam takes tuple[float"
        " | torch.Tensor, float | torch.Tensor]",
    ),
    "a word that is none of those": (
        ("plugins=[default,early_stopping]", "plugins.early_stopping.mode=low"),
        "plugins.early_stopping.mode (command line): is 'low', a text; legoloop.EarlyStopping"
        " takes Optional[Literal['min', 'max']]",
    ),
    "no device": (
        ("device=null",),
        "device (command line): is None; give a text",
    ),
    "a device that is not there": (
        ("device=tpu",),
        "device (command line): 'tpu' cannot be used; give auto or cpu ({torch})",
    ),
    "a negative number of epochs": (
        ("num_epochs=-1",),
        "num_epochs (command line): is -1; give a whole number of at least 0",
    ),
    "an epoch of no samples": (
        ("epoch_size=0",),
        "epoch_size (command line): is 0; give a whole number of at least 1, or null",
    ),
    "no samples to evaluate": (
        ("eval_samples=0",),
        "eval_samples (command line): is 0; give a whole number of at least 1, or null",
    ),
    "a negative seed": (
        ("seed=-1",),
        "seed (command line): is -1; give a whole number from 0 to 4294967295",
    ),
    "a seed too large": (
        ("seed=4294967296",),
        "seed (command line): is 4294967296; give a whole number from 0 to 4294967295",
    ),
    "a negative learning rate": (
        ("optimizer.lr=-1",),
        "optimizer (command line): torch.optim.Adam refuses it: Invalid learning rate: -1",
    ),
    "a batch of no samples": (
        ("data.loaders.default.batch_size=0",),
        "data.loaders.default.batch_size (command line): is 0; give a whole number of at least 1",
    ),
    "a negative number of workers": (
        ("data.loaders.default.num_workers=-1",),
        "data.loaders.default.num_workers (command line): is -1; give a whole number of at least 0",
    ),
    "a chance above one": (
        ("model=mlp", "model.dropout=1.5"),
        "model.dropout (command line): is 1.5; give a number from 0 to 1",
    ),
    "a layer of no width": (
        ("model=mlp", "model.hidden=[16,0]"),
        "model.hidden[1] (command line): is 0; give a whole number of at least 1",
    ),
    "no layers": (
        ("model=mlp", "model.hidden=[]"),
        "model.hidden (command line): is empty; give at least one width",
    ),
    "no patience": (
        ("plugins=[default,early_stopping]", "plugins.early_stopping.patience=0"),
        "plugins.early_stopping.patience (command line): is 0; give a whole number of at least 1",
    ),
    "checkpoints every no epochs": (
        ("plugins=[default,checkpoints]", "plugins.checkpoints.every_epochs=0"),
        "plugins.checkpoints.every_epochs (command line): is 0; give a whole number of at least 1",
    ),
    "no samples to make": (
        ("+data.datasets.train.samples=0",),
        "data.datasets.train.samples (command line): is 0; give a whole number of at least 1",
    ),
    "a stage misspelt": (
        ("+plugins.mine={_target_: mine.Finishes}",),
        "plugin 'mine': Finishes.epoch_finish is not a stage; did you mean epoch_end?",
    ),
    "a stage with a letter too many": (
        ("+plugins.mine={_target_: mine.BatchEndd}",),
        "plugin 'mine': BatchEndd.batch_endd is not a stage; did you mean batch_end?",
    ),
    "a batch stage without a step": (
        ("+plugins.mine={_target_: mine.TakesNoStep}",),
        "plugin 'mine': TakesNoStep.batch_end(self) cannot be called as a stage (too many "
        "positional arguments); define it as batch_end(self, step)",
    ),
    "another stage with a step": (
        ("+plugins.mine={_target_: mine.TakesAStep}",),
        "plugin 'mine': TakesAStep.epoch_end(self, step) cannot be called as a stage (missing"
        " a required argument: 'step'); define it as epoch_end(self)",
    ),
    "an attribute that shadows a stage": (
        ("+plugins.mine={_target_: mine.Shadows}",),
        "plugin 'mine': the attribute 'epoch_end' of this Shadows shadows the stage of that "
        "name; rename it",
    ),
    "a plugin without a stage": (
        ("+plugins.mine={_target_: mine.Measures}",),
        "plugin 'mine', a Measures, has no method of a stage and no scalars(); the stages "
        "are train_start, epoch_start, batch_start, batch, batch_end, within_epoch, epoch, "
        "epoch_end, train, "
        "train_end",
    ),
    "plugins that wait for each other": (
        (
            "+plugins.first={_target_: mine.AfterSecond}",
            "+plugins.second={_target_: mine.AfterFirst}",
        ),
        "plugins wait for each other: first after second after first; take one of these ties "
        "away (a plugin held by another, or its after / before)",
    ),
    "a plugin after one that is not there": (
        ("+plugins.mine={_target_: mine.AfterSecond}",),
        "plugin 'mine' wants to be after 'second', which is not among the plugins: checkpoints, "
        "counter, descent, epoch, history, last, learning_rate, loaders_acc, loaders_metrics, "
        "loops_acc, loops_metrics, mine, model_weights, predicts, profile, train_loss",
    ),
    "no epoch driver": (
        ("~plugins.epoch", "+data.loaders.val.batch_size=${epoch_size}"),
        "no epoch driver among the plugins: one of them, such as SimpleEpoch, must say with "
        "batches() what an epoch is; found counter, descent, last, learning_rate, "
        "loaders_acc, loaders_metrics, loops_acc, loops_metrics, model_weights, predicts, "
        "profile, train_loss, checkpoints, history",
    ),
    "two epoch drivers": (
        ("+plugins.mine={_target_: legoloop.SimpleEpoch}",),
        "2 epoch drivers among the plugins: epoch, mine; keep one",
    ),
    "an app that is no container": (
        ("app=legoloop.Counter",),
        "app (command line): legoloop.Counter is no DeclarativeContainer",
    ),
    "an app without a host": (
        ("app=legoloop.Data",),
        "app (command line): legoloop.Data has no provider 'host' of kind Provider",
    ),
    "an app of a module that is not there": (
        ("app=mnie.App",),
        "app (command line): there is no module mnie; is it installed, or its folder on "
        "PYTHONPATH?",
    ),
    "a value that leads out of the folder for runs": (
        ("hydra.run.dir=runs/${model._target_}", "model._target_=../there"),
        "hydra.run.dir (command line): runs/${model._target_} leads to {here}/there, which is not "
        "in runs; a value in it holds .. or begins with /",
    ),
    "a target that runs programs": (
        ("model._target_=os.system",),
        "model._target_ (command line): os.system is refused: it could do harm; wrap it in a "
        "function of yours",
    ),
    "a key that the app does not read": (
        ("app=mine.App", "optimizer.lr=1"),
        "optimizer.lr (command line): mine.App does not read this key; there are app, "
        "epoch_size, name, nodes, notes, num_epochs, on_config_change, parallel, ranks, rerun, "
        "resume, run_dir, seed, show, sweep, tags",
    ),
    "a plugin that needs itself": (
        ("plugins.loops_metrics._inject_.acc_plugin=loops_metrics",),
        "plugins.loops_metrics (command line): cannot be built: loops_metrics needs loops_metrics; "
        "inject another component into one of them with _inject_",
    ),
    "a source that reads all sources": (
        ("+plugins.mean={_target_:mine.MeanOfSources}",),
        "plugins.mean (command line): cannot be built: mean needs sources needs mean; "
        "inject another component into one of them with _inject_",
    ),
    "a scheduler that no plugin moves": (
        ("+scheduler._target_=torch.optim.lr_scheduler.ExponentialLR", "+scheduler.gamma=0.5"),
        "scheduler (command line): is chosen, but no plugin and no logger uses it",
    ),
    "a source that a function makes": (
        ("+plugins.made={_target_:mine.make_a_source}",),
        "plugins.made (command line): a SourceOfOne reports scalars, but nothing would read them: "
        "let _target_ name the class itself, under plugins",
    ),
    "a collate function by name": (
        ("+data.loaders.default.collate=mine.stack",),
        "data.loaders.default.collate (command line): is 'mine.stack'; give a function, or its "
        "_target_",
    ),
    "a directory that holds a run": (
        ("hydra.run.dir=done",),
        "hydra.run.dir (command line): {here}/done holds a run already (COMPLETED, started "
        "2026-01-31T12:00:00.000+00:00); choose another directory, or remove that one",
    ),
    "a directory that cannot be made": (
        ("hydra.run.dir=file/run",),
        "hydra.run.dir (command line): {here}/file/run cannot be made (Not a directory); choose "
        "another",
    ),
}

IN_THE_DATA: Cases = {
    "files that are not there": (
        (
            "data=mnist",
            "+data.datasets.train.download=false",
            "+data.datasets.val.download=false",
            "+data.datasets.val_real.download=false",
        ),
        "mnist: no folder has both train-images-idx3-ubyte and train-labels-idx1-ubyte, plain"
        " or .gz; searched: data/mnist, data; download is False\n"
        "Put train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz into data/mnist, or "
        "set data.root to a folder that has both, or LEGOLOOP_DATA to one that has them under"
        " mnist/",
    ),
    "a truncated file": (
        ("data=mnist", "data.root=truncated"),
        "truncated/train-images-idx3-ubyte: damaged or truncated: a header of shape (3,"
        " 28, 28) implies 2,368 bytes, but the file has 2,268",
    ),
    "a file of another kind": (
        ("data=mnist", "data.root=foreign"),
        "foreign/train-images-idx3-ubyte: not an IDX file: it begins with the bytes '89 50 4e"
        " 47', an IDX file with 00 00, a type code and the number of dimensions",
    ),
    "a file of numbers of another type": (
        ("data=mnist", "data.root=floats"),
        "floats/train-images-idx3-ubyte: type code 0x0d is not supported; only 0x08, uint8, is",
    ),
    "more images than labels": (
        ("data=mnist", "data.root=uneven"),
        "uneven/train-images-idx3-ubyte has 3 images, but uneven/train-labels-idx1-ubyte has 2 "
        "labels",
    ),
    "a label in the files out of range": (
        ("data=mnist", "data.root=mislabelled"),
        "mislabelled/train-labels-idx1-ubyte: label 1 is 10; labels are 0 to 9",
    ),
    "an empty data set": (
        (
            "data.datasets.train._target_=mine.points",
            "~data.datasets.train.train",
            "+data.datasets.train.samples=0",
        ),
        "data set 'train' is empty: ColumnDataset has 0 samples",
    ),
    "an empty data set to evaluate": (
        (
            "data.datasets.val._target_=mine.points",
            "~data.datasets.val.train",
            "+data.datasets.val.samples=0",
        ),
        "data set 'val' is empty: ColumnDataset has 0 samples",
    ),
    "columns of different lengths": (
        (
            "data.datasets.train._target_=mine.points",
            "~data.datasets.train.train",
            "+data.datasets.train.target=[0,1]",
        ),
        "columns differ in length (features: 8, target: 2, idx: 8)",
    ),
    "a label out of range": (
        (
            "data.datasets.train._target_=mine.points",
            "~data.datasets.train.train",
            "+data.datasets.train.target=[0,1,2,0,1,1,0,3]",
        ),
        "'target' has labels other than 0 to 1: 2 at idx 2, 3 at idx 7",
    ),
    "an idx twice in the predictions": (
        (
            "data.datasets.val._target_=mine.points",
            "~data.datasets.val.train",
            "+data.datasets.val.idx=[7,1,7,2,3,4,5,6]",
        ),
        "idx 7 occurs 2 times in 'val'; it must be unique (1 values are repeated)",
    ),
    "samples that are no records": (
        ("data.datasets.train._target_=mine.Records", "~data.datasets.train.train"),
        "Records returned a NoneType for a sample; return a record, a dict of named values, or "
        "name them with legoloop.NamedDataset",
    ),
    "samples of different shapes": (
        ("data.datasets.train._target_=mine.Ragged", "~data.datasets.train.train"),
        "the values of 'features' do not stack into a batch: shapes [(2,), (3,), (4,), (5,)]",
    ),
    "samples that are no records in a worker": (
        (
            "data.datasets.train._target_=mine.Records",
            "~data.datasets.train.train",
            "data.loaders.default.num_workers=1",
        ),
        "Records returned a NoneType for a sample; return a record, a dict of named values, or "
        "name them with legoloop.NamedDataset",
    ),
    "records without what the model takes": (
        (
            "data.datasets.train._target_=mine.Records",
            "~data.datasets.train.train",
            "+data.datasets.train.record={x: 1}",
        ),
        "the batch has no 'features'; there are x",
    ),
    "samples of another width": (
        (
            "data.datasets.train._target_=mine.points",
            "~data.datasets.train.train",
            "+data.datasets.train.num_features=3",
        ),
        "'features' has 3 values per sample; the model expects 2",
    ),
    "labels that are no classes": (
        ("loss=cross_entropy",),
        "'target' is torch.float32; class indices are integers",
    ),
    "outputs without what the loss takes": (
        ("model._target_=mine.Mute",),
        "what the model returns has no 'logits'; did you mean logit?",
    ),
    "metrics of what nobody collects": (
        ("metrics=regression",),
        "the metrics need 'prediction', which no accumulator collects; there are logits, "
        "target, idx",
    ),
    "accumulators of what nobody gives": (
        ("accumulators=prediction",),
        "accumulator 'prediction': neither the batch nor the model's outputs have it; there "
        "are features, target, idx, logits, probas",
    ),
    "early stopping on an unknown scalar": (
        ("plugins=[default,early_stopping]", "plugins.early_stopping.metric=val/lss"),
        "early stopping monitors 'val/lss', which no source reports; did you mean val/loss?",
    ),
    "a stage that returns a number": (
        ("+plugins.mine={_target_: mine.GivesFive}",),
        "GivesFive.epoch_end returned 5; a stage returns nothing, ShouldStop(reason) or "
        "ShouldSave(save), one of a batch also ShouldEvaluate()",
    ),
}
IN_A_PROCESS = ("a key misspelt", "a stage misspelt")
BY_THE_COMMAND = (
    *("an option misspelt", "a group set to null", "a key misspelt", "a key added"),
    *("an interpolation of nothing", "syntax of a list", "a class misspelt", "text for a number"),
    *(
        "a layer of no width",
        "a batch of no samples",
        "a stage misspelt",
        "a device that is not there",
    ),
    *("a directory that holds a run", "a directory that cannot be made"),
    *("an app that is no container", "a value that leads out of the folder for runs"),
)
"""One mistake or two of each place where mistakes are found, and all that are about flags."""


def is_about_flags(given: tuple[str, ...]) -> bool:
    return any(word.startswith("--") for word in given)


def table(cases: Cases) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("given", "message"), cases.values(), ids=cases)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    command = beside_bricks_of_a_user(tmp_path, monkeypatch, capfd)
    prepare(command.here)
    return command


def words(given: tuple[str, ...]) -> list[str]:
    """The command line: the flags of Hydra first; a small run, but for a container of one's own."""
    own = any(word.startswith("app=") for word in given)
    return sorted(given if own else (*BASE, *given), key=lambda word: not word.startswith("--"))


def filled(message: str, here: Path) -> str:
    """The message with what differs between machines."""
    with pytest.raises(RuntimeError) as refused:
        torch.device("tpu")
    return message.replace("{here}", str(here)).replace("{torch}", str(refused.value))


def test_there_are_enough() -> None:
    assert (
        len({message for _, message in (*IN_THE_CONFIGURATION.values(), *IN_THE_DATA.values())})
        >= 40
    )


@table(
    {
        name: case
        for name, case in IN_THE_CONFIGURATION.items()
        if not is_about_flags(case[0])  # there is no flag without a command
    }
)
def test_a_mistake_in_the_configuration_is_told_in_one_line(
    given: tuple[str, ...], message: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = command.files()
    monkeypatch.chdir(command.here)
    monkeypatch.delenv("LEGOLOOP_DATA", raising=False)
    assert refusal(*words(given)) == filled(message, command.here)
    assert command.files() == before


@table(
    {
        name: case
        for name, case in IN_THE_CONFIGURATION.items()
        if name in BY_THE_COMMAND or is_about_flags(case[0])
    }
)
def test_a_mistake_in_the_configuration_leaves_no_trace(
    given: tuple[str, ...], message: str, command: Command
) -> None:
    before = command.files()
    ended = command(*words(given))
    assert ended == Ended(2, out="", err=f"error: {filled(message, command.here)}\n")
    assert command.files() == before


@table(IN_THE_DATA)
def test_a_mistake_in_the_data_fails_the_run(
    given: tuple[str, ...], message: str, command: Command
) -> None:
    ended = command(*words(given))
    shown = command.directory().relative_to(command.here)
    assert ended == Ended(1, out=f"run directory: {shown}\n", err=f"error: {message}\n")
    assert_failed(command.directory(), message)


def assert_failed(directory: Path, cause: str) -> None:
    record = read_record(directory)
    assert (record["status"], record["cause"]) == ("FAILED", cause)
    assert "Traceback (most recent call last):" in (directory / "run.log").read_text()


@pytest.mark.parametrize("name", IN_A_PROCESS)
def test_the_same_in_a_process_of_its_own(name: str, command: Command) -> None:
    given, message = IN_THE_CONFIGURATION[name]
    before = command.files()
    ended = in_a_process(command.here, *words(given))
    assert ended == Ended(2, out="", err=f"error: {message}\n")
    assert command.files() == before


@pytest.mark.slow
def test_a_mistake_in_the_data_in_a_process_of_its_own(command: Command) -> None:
    given, message = IN_THE_DATA["a label out of range"]
    ended = in_a_process(command.here, *words(given), fresh=True)
    assert (ended.status, ended.err) == (1, f"error: {message}\n")
    assert_failed(command.directory(), message)


def prepare(here: Path) -> None:
    """What the cases find in the working directory."""
    (here / "file").touch()
    (here / "done").mkdir()
    (here / "done" / "run.json").write_text(
        json.dumps({"status": "COMPLETED", "started": "2026-01-31T12:00:00.000+00:00"})
    )
    (here / "conf" / "model").mkdir(parents=True)
    (here / "conf" / "model" / "mine.yaml").write_text(
        "_target_: legoloop.zoo.models.MLP\nhiden: [8]\n"
    )
    (here / "conf" / "model" / "broken.yaml").write_text("hidden: [8\n_target_: mine.Mute\n")
    write_mnist(here / "truncated", cut=100)
    write_mnist(here / "foreign", magic=b"\x89PNG")
    write_mnist(here / "floats", magic=b"\0\0\x0d\x03")
    write_mnist(here / "uneven", labels=[0, 1])
    write_mnist(here / "mislabelled", labels=[0, 10, 2])


def write_mnist(
    folder: Path, labels: Sequence[int] = (0, 1, 2), magic: bytes = b"\0\0\x08\x03", cut: int = 0
) -> None:
    """Three black images of both splits, and what the case wants to be wrong with them."""
    folder.mkdir()
    images = magic + struct.pack(">3I", 3, 28, 28) + bytes(3 * 28 * 28 - cut)
    for split in ("train", "t10k"):
        (folder / f"{split}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + struct.pack(">I", len(labels)) + bytes(labels)
        )


def test_a_missing_extra_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legoloop.zoo.download.find_spec", lambda name: None)
    ended = command("data=mnist")
    assert ended == Ended(
        2,
        out="",
        err="error: downloading train-images-idx3-ubyte.gz needs pooch, which is not installed; "
        "install it with: pip install 'legoloop[download]'\n",
    )
    assert "outputs" not in command.files()
