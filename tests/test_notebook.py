"""The notebook: run from its first cell to the last, and kept as it was after a run on MNIST.

After a change: ``LEGOLOOP_DATA=… jupyter execute --inplace docs/examples/mnist.ipynb``.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import legoloop
from legoloop.zoo.mnist import mnist
from tests.zoo.idx_writing import write_pair

nbformat = pytest.importorskip("nbformat", reason="needs legoloop[notebook]")

NOTEBOOK = Path(__file__).parent.parent / "docs" / "examples" / "mnist.ipynb"
SMALL = """OVERRIDES = [
    "data=mnist",
    "device=cpu",
    "num_epochs=2",
    "epoch_size=64",
    "eval_samples=64",
    "data.loaders.default.batch_size=32",
    "+plugins.loaders_acc.datasets=[val_real]",
    "hydra.run.dir=run",
]"""
# Asked of the notebook after its last cell.
TITLES = """
import json
print(json.dumps([[axes.get_title(), axes.title.get_color()] for axes in figure.axes]))
"""


@pytest.fixture(scope="module")
def committed() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebook runs; MNIST is that of $LEGOLOOP_DATA, or a few images that are noise."""
    folder = tmp_path_factory.mktemp("notebook")
    if "LEGOLOOP_DATA" not in os.environ:
        noise = torch.Generator().manual_seed(0)
        for split in ("train", "t10k"):
            images = torch.randint(256, (200, 28, 28), generator=noise, dtype=torch.uint8)
            labels = torch.randint(10, (200,), generator=noise, dtype=torch.uint8)
            write_pair(folder / "data" / "mnist", images, labels, split)
    return folder


@pytest.fixture(scope="module")
def executed(committed: Any, here: Path) -> Any:
    """The notebook after a short run, with its titles asked for at the end."""
    nbclient = pytest.importorskip("nbclient", reason="needs legoloop[notebook]")
    pytest.importorskip("ipykernel", reason="needs legoloop[notebook]")
    notebook = nbformat.from_dict(committed)
    (parameters,) = (cell for cell in notebook.cells if "tags" in cell.metadata)
    parameters.source = SMALL
    notebook.cells.append(nbformat.v4.new_code_cell(TITLES))
    with pytest.MonkeyPatch.context() as patch:
        home = str(Path(legoloop.__file__).parents[1])  # the package may not be installed
        patch.setenv("PYTHONPATH", home)
        patch.setenv("PYTHONWARNINGS", "default")
        for folder in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
            patch.setenv(folder, str(here / "settings"))
        if "LEGOLOOP_DATA" in os.environ:
            patch.setenv("LEGOLOOP_DATA", str(Path(os.environ["LEGOLOOP_DATA"]).absolute()))
        resources = {"metadata": {"path": str(here)}}
        nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    return notebook


def outputs(notebook: Any, kind: str) -> list[Any]:
    return [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.output_type == kind
    ]


@pytest.mark.slow
def test_it_runs_without_a_warning(executed: Any) -> None:
    told = [output.text for output in outputs(executed, "stream") if output.name == "stderr"]
    assert told == []


@pytest.mark.slow
def test_the_figures_are_drawn(executed: Any) -> None:
    drawn = ["image/png" in output.data for output in outputs(executed, "display_data")]
    assert drawn == [True, True, True]


@pytest.mark.slow
def test_what_is_red_is_what_is_wrong(executed: Any, here: Path) -> None:
    titles = json.loads(executed.cells[-1].outputs[0].text)
    table = pd.read_csv(here / "run" / "predicts.csv", index_col="idx")
    logits = torch.tensor(table.to_numpy())
    two = logits.topk(2, dim=1)
    hardest = (two.values[:, 0] - two.values[:, 1]).argsort(stable=True)[: len(titles)]
    root = os.environ.get("LEGOLOOP_DATA", here / "data")
    targets = mnist(root, train=False).columns["target"]
    expected = [
        [str(guess), "black"] if guess == target else [f"{guess}, not {target}", "red"]
        for guess, target in zip(
            two.indices[hardest, 0].tolist(), targets[hardest].tolist(), strict=True
        )
    ]
    assert len(titles) == 30
    assert sorted(titles) == sorted(expected)
    assert "red" in {color for _, color in titles}


@pytest.mark.slow
def test_it_leaves_a_whole_run_directory(executed: Any, here: Path) -> None:
    files = {file.name for file in (here / "run").iterdir()}
    assert {"run.json", "config.yaml", "plan.txt", "run.log", "metrics.csv", "weights"} <= files


def test_what_is_committed_has_been_run_and_is_small(committed: Any) -> None:
    nbformat.validate(committed)
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert len(outputs(committed, "display_data")) == 3
    assert outputs(committed, "error") == []
    assert "stderr" not in {output.name for output in outputs(committed, "stream")}
    assert NOTEBOOK.stat().st_size < 300_000


def test_no_path_of_a_machine_is_committed(committed: Any) -> None:
    texts = [output.text for output in outputs(committed, "stream")]
    texts += [output.data.get("text/plain", "") for output in outputs(committed, "execute_result")]
    assert not any(text.startswith("/") for text in " ".join(texts).split())
