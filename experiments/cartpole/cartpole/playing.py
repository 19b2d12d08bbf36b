"""What takes the place of data: a stream that counts episodes, and a feed that plays them."""

from __future__ import annotations

import torch
from torch.distributions import Categorical

from cartpole.game import CartPole


class Episodes:
    """An endless stream; a batch is one episode that is yet to be played."""

    def __init__(self):
        self.position = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.position += 1
        return {"episode": torch.tensor([self.position])}

    def num_batches_for(self, samples, position=0):
        """For schedules: a sample is an episode."""
        return samples

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


class Play:
    """The feed: the policy plays an episode, with gradients."""

    def __init__(self, model, device, most_steps=200):
        self.model = model.to(device)
        self.device = device
        self.most_steps = most_steps

    def __call__(self, batch):
        game, log_probs = CartPole(), []
        while not game.is_over and len(log_probs) < self.most_steps:
            choice = Categorical(logits=self.model(torch.tensor(game.state, device=self.device)))
            pushes_right = choice.sample()
            log_probs.append(choice.log_prob(pushes_right))
            game.push(to_the_right=pushes_right.item())
        return batch, {"log_probs": torch.stack(log_probs)}


def reinforce(batch, outputs, discount=0.99):
    """Makes likelier what was done before many steps followed; each step is worth 1."""
    log_probs = outputs["log_probs"]
    rest, returns = 0.0, []
    for _ in log_probs:
        rest = 1 + discount * rest
        returns.append(rest)
    returns = torch.tensor(returns[::-1], device=log_probs.device)
    if len(returns) > 1:
        returns = (returns - returns.mean()) / (returns.std() + 1e-8)
    return -(log_probs * returns).sum()


class EpisodeLength:
    """A source: the mean number of steps of the episodes of an epoch."""

    def __init__(self):
        self.lengths = []

    def epoch_start(self):
        self.lengths = []

    def batch_end(self, step):
        self.lengths.append(len(step.outputs["log_probs"]))

    def scalars(self):
        return {"episode_length": sum(self.lengths) / len(self.lengths)} if self.lengths else {}

    def state_dict(self):
        return {"lengths": self.lengths}

    def load_state_dict(self, state):
        self.lengths = state["lengths"]
