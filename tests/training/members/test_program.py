"""The forward and backward pass of all members, compiled."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from legoloop.training.members.program import Program
from legoloop.training.step.feed import Feed


class Line(nn.Linear):
    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"y": super().forward(batch["x"])}


def mean(batch: dict[str, Any], outputs: dict[str, Any]) -> torch.Tensor:
    return outputs["y"].mean()


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_each_program_of_a_process_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch runs what comes after a number of compilations as it is, and says so in a warning."""
    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        compiled.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch.compiler.reset()
    with torch._dynamo.config.patch(recompile_limit=2):
        for inputs in range(1, 5):
            program = Program(Feed(Line(inputs, 1, bias=False), "cpu"), mean, compile=True)
            weights = {"weight": torch.ones(2, 1, inputs)}
            made = program.run(weights, {}, {"x": torch.ones(2, 3, inputs)}, {})
            assert made.means.tolist() == [inputs, inputs]
            assert made.gradients[0].tolist() == [[[1.0] * inputs]] * 2
            assert len(compiled) == inputs
    torch.compiler.reset()
