"""What one optimisation step carries through the batch stages."""

from __future__ import annotations

from typing import Any

from legoloop.core.batch_size import RankShare

NO_GRAPH = (
    "step.loss has no graph; a plugin that computes gradients calls backward() on what its loss "
    "returned, before or after it puts that into the step (docs/own_descent.md)"
)


class Step:
    """The batch, what the model made of it, its loss, and how many samples it holds.

    The host clears the step after ``batch_end``: what a plugin needs for longer, it keeps itself.

    Attributes:
        batch (dict): the batch, on the device once the feed has moved it.
        outputs (dict): what the model returned for it.
        loss_float (float | None): the loss as a number, from whoever knows it without waiting for
            the device; None: nobody does.
        size (int): the size of the batch as the epoch counts it, in samples unless it has a
            ``batch_desc``; 0 for a step that was skipped.
        is_left_out (bool): whether a gradient scaler left out the optimizer's step, since gradients
            overflowed.
        num_samples (int | None): the number of samples that the batch was made of; None: the
            stream does not say.
        share (RankShare | None): where several ranks train together, what the batch is a share of;
            ``num_samples`` is that of the share, ``size`` and the loss are those of the whole.

    >>> step = Step()
    >>> step.batch, step.size = {"image": [1, 2]}, 2
    >>> step.clear()
    >>> step.batch is None
    True
    """

    __slots__ = (
        "_loss",
        "batch",
        "is_left_out",
        "loss_float",
        "num_samples",
        "outputs",
        "share",
        "size",
    )

    batch: Any
    outputs: Any
    is_left_out: bool
    loss_float: float | None
    size: int
    num_samples: int | None
    share: RankShare | None

    def __init__(self) -> None:
        self.clear()

    @property
    def loss(self) -> Any:
        """The loss, a scalar (torch.Tensor) without its graph."""
        # Few ask for it, so it is detached only then.
        loss = self._loss
        return loss.detach() if getattr(loss, "requires_grad", False) else loss

    @loss.setter
    def loss(self, loss: Any) -> None:
        self._loss = loss

    @staticmethod
    def explain(error: RuntimeError) -> None:
        """Say why ``step.loss.backward()`` cannot work, if that may be what raised an error.

        >>> import torch
        >>> try: torch.zeros(()).backward()
        ... except RuntimeError as error:
        ...     Step.explain(error)
        ...     error.__notes__[0].partition(";")[0]
        'step.loss has no graph'
        """
        if "does not require grad" in str(error):
            error.add_note(NO_GRAPH)

    def clear(self) -> None:
        """Drop everything that the step carries."""
        self.batch = self.outputs = self._loss = self.loss_float = None
        self.num_samples = self.share = None
        self.is_left_out = False
        self.size = 0
