"""A Hydra application: networks that differ in nothing but their seed vote on every sample."""

from __future__ import annotations

from inspect import signature

import hydra
import numpy as np
from hydra.utils import get_class, instantiate

import legoloop as ll


@hydra.main(version_base="1.3", config_path="conf", config_name="ensemble")
def main(config):
    datasets = {name: instantiate(node) for name, node in config.data.datasets.items()}
    metrics, vote = instantiate(config.metrics), instantiate(config.vote)
    seeds = range(config.seed, config.seed + config.members)
    evaluated = [trained(config, datasets, seed) for seed in seeds]
    for seed, member in zip(seeds, evaluated, strict=True):
        print(f"seed {seed}  accuracy {metrics(member)['accuracy']:.4f}")
    logits = vote(np.stack([member["logits"] for member in evaluated]))
    together = {"logits": logits, "target": evaluated[0]["target"]}
    print(f"vote    accuracy {metrics(together)['accuracy']:.4f}")


def trained(config, datasets, seed):
    """What a fresh network says about the validation data after its training."""
    ll.seed(seed)
    batching = ll.LoaderConfig(**config.data.loaders.default)
    train = ll.BatchStream(datasets["train"], "train", seed, batching)
    val = ll.Loader(datasets["val"], "val", seed, batching)

    told = {name: getattr(datasets["train"], name) for name in config.data.model_kwargs}
    model = built(config.model, told)
    optimizer = built(config.optimizer, {"params": list(model.parameters())})
    loss = built(config.loss, {})

    counter = ll.Counter()
    feed = ll.Feed(model, device="cpu")
    collected = ll.CompositeFactory(logits=ll.NumpyAccumulator, target=ll.NumpyAccumulator)
    evaluation = ll.LoadersAcc({"val": val}, model, collected, feed)
    plugins = [
        counter,
        ll.SimpleEpoch(train),
        ll.GradientDescent(optimizer, model, feed, loss),
        ll.LastEpoch(counter, config.num_epochs),
        evaluation,
    ]
    if "scheduler" in config:
        scheduler = built(config.scheduler, {"optimizer": optimizer})
        plugins.append(ll.LRScheduler(scheduler, counter))
    ll.TrainingHost(plugins).run()
    return evaluation.collect("val")


def built(node, parts):
    """The brick of a node: its keys are values, what it leaves out and has no default is a part."""
    parameters = signature(get_class(node._target_)).parameters.values()
    left_out = {p.name for p in parameters if p.default is p.empty and p.name not in node}
    given = {name: part for name, part in parts.items() if name in left_out}
    return instantiate(node, **given, _convert_="all")


if __name__ == "__main__":
    main()
