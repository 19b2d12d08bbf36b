"""``python -m tests.pytorch_examples.lines``: the table of lines, written into the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from statistics import median

from tests.pytorch_examples.page import PAGE, ROOT, files, lines_of_python, lines_of_yaml

TABLE = re.compile(r"(?<=<!-- lines -->\n).*(?=<!-- end of lines -->)", re.DOTALL)
EXPERIMENTS = ROOT / "experiments"
HEADING = """
| example | original | without its options | ours | of the original | of that without options |
|---|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Row:
    """An example: its lines in the original, counted at commit 77f55b9, and where ours are.

    Args:
        name: of the folder of the original.
        original: lines but for model, data and imports.
        without_options: the same without its argument parser.
        snippet: of the page; None: it is an experiment.
        experiment: its folder.
        python: its modules that are not data alone, with the classes in them that are.
    """

    name: str
    original: int
    without_options: int
    snippet: str | None = None
    experiment: str | None = None
    python: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def ours(self) -> int:
        """Our lines."""
        if self.snippet is not None:
            shown = files()
            yaml = lines_of_yaml(shown[f"conf/experiment/{self.snippet}.yaml"])
            return yaml + lines_of_python(shown.get(f"{self.snippet}.py", ""))
        folder = EXPERIMENTS / str(self.experiment)
        options = (folder / "conf" / "experiment").glob("*.yaml")
        yaml = sum(lines_of_yaml(file.read_text()) for file in options)
        return yaml + sum(
            lines_of_python((folder / name).read_text(), but) for name, but in self.python
        )

    def shares(self) -> tuple[float, float]:
        """Our lines for one of the original, and for one of it without its options."""
        return self.ours() / self.original, self.ours() / self.without_options

    def line(self) -> str:
        """Of the table."""
        whole, without = self.shares()
        about = f"{self.name} | {self.original} | {self.without_options}"
        return f"| {about} | {self.ours()}, {self.where()} | {whole:.2f} | {without:.2f} |"

    def where(self) -> str:
        """A link to the experiment, or the name of the snippet."""
        if self.experiment is not None:
            return f"`experiments/{self.experiment}`"
        return f"`{self.snippet}`"


ROWS = (
    Row("mnist", 71, 49, "mnist_cnn"),
    Row("mnist_rnn", 71, 49, "mnist_rnn"),
    Row("vae", 68, 56, "vae"),
    Row("siamese_network", 74, 52, "siamese"),
    Row("super_resolution", 50, 40, "super_resolution"),
    Row("regression", 19, 19, "regression"),
    Row("word_language_model, Transformer", 181, 139, "transformer"),
    Row("mnist_forward_forward", 81, 35, "forward_forward"),
    Row("reinforcement_learning, actor_critic", 65, 55, "actor_critic"),
    Row("dcgan", 108, 87, None, "gan_on_digits", (("gan/training.py", ()),)),
    Row(
        *("word_language_model, LSTM", 181, 139, None, "language_model"),
        (("prose/model.py", ("LSTMModel",)),),
    ),
    Row(
        *("time_sequence_prediction", 41, 38, None, "lbfgs_sines"),
        (("sines/model.py", ("Sequence",)),),
    ),
    Row(
        *("reinforcement_learning, reinforce", 61, 51, None, "cartpole"),
        (("cartpole/playing.py", ("Episodes",)),),
    ),
    Row("gcn", 59, 37, None, "gcn", (("gcn/data.py", ("Communities",)),)),
    Row(
        *("language_translation", 110, 75, None, "seq2seq"),
        (("translation/model.py", ("Translator",)),),
    ),
)


def table() -> str:
    """A row for each example, and the medians."""
    lines = [row.line() for row in ROWS]
    whole, without = (median(share) for share in zip(*(row.shares() for row in ROWS), strict=True))
    return HEADING + "\n".join([*lines, f"| median | | | | {whole:.2f} | {without:.2f} |", "\n"])


if __name__ == "__main__":
    PAGE.write_text(TABLE.sub(lambda _: table(), PAGE.read_text()))
