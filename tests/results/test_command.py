"""The command, on a sweep that was really run, and on runs made by hand."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from legoloop.results import load
from legoloop.results.__main__ import _parser, main
from tests.app.command import SMALL, Command, Ended, environment
from tests.results.made_runs import lr_and_seed, made_run, made_sweep

PAGE = Path(__file__).parent.parent.parent / "docs" / "results.md"


@dataclass(frozen=True)
class Results:
    """The command, in this process."""

    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Ended:
        status = 0
        try:
            main([str(word) for word in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Ended(status, *self.capsys.readouterr())


@pytest.fixture
def results(capsys: pytest.CaptureFixture[str]) -> Results:
    return Results(capsys)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return made_sweep(tmp_path / "sweep")


def rows(ended: Ended) -> list[dict[str, str]]:
    """Of an output in CSV."""
    assert ended.status == 0, ended.err
    return list(csv.DictReader(io.StringIO(ended.out)))


def first_words(ended: Ended) -> list[str]:
    """Of the lines below the heading."""
    return [line.split()[0] for line in ended.out.splitlines()[1:]]


def test_a_real_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    swept = ("optimizer.lr=0.01,0.1", "seed=0,1,2", "hydra.sweep.dir=sweep", "loggers=[csv]")
    ended = Command(tmp_path, monkeypatch, capfd)("-m", *SMALL, *swept)
    assert ended.status == 0, ended.err
    folder = tmp_path / "sweep"

    def asked(*arguments: str) -> str:
        capfd.readouterr()
        main([str(folder), "--format", "csv", "--metric", "val/accuracy", *arguments])
        return capfd.readouterr().out

    listed = list(csv.DictReader(io.StringIO(asked())))
    assert [row["run"] for row in listed] == list("012345")
    assert list(listed[0])[:4] == ["run", "seed", "optimizer.lr", "status"]
    raw = {n: pd.read_csv(folder / str(n) / "metrics.csv")["val/accuracy"] for n in range(6)}
    for n, row in enumerate(listed):
        assert float(row["val/accuracy"]) == raw[n].iloc[-1]
        assert float(row["best val/accuracy"]) == raw[n].max()
        assert (row["status"], float(row["duration"]) > 0) == ("COMPLETED", True)
        assert float(row["optimizer.lr"]) == (0.01 if n < 3 else 0.1)
        assert int(row["seed"]) == n % 3

    grouped = list(csv.DictReader(io.StringIO(asked("--by", "optimizer.lr"))))
    for row, jobs in zip(grouped, (range(3), range(3, 6)), strict=True):
        values = [float(raw[n].iloc[-1]) for n in jobs]
        assert float(row["val/accuracy mean"]) == pytest.approx(statistics.mean(values), abs=1e-12)
        assert float(row["val/accuracy std"]) == pytest.approx(statistics.stdev(values), abs=1e-12)
        assert (row["n"], row["val/accuracy n"], row["not completed"]) == ("3", "3", "0")

    compared = list(csv.DictReader(io.StringIO(asked("--compare", "0", "3"))))
    one, other = (
        pd.read_csv(folder / name / "predicts.csv", index_col="idx")["logit0"] > 0 for name in "03"
    )
    changed = one.index[one != other.reindex(one.index)]
    told = [row["what"] for row in compared if row["about"] == "predicted class"]
    assert sorted(told, key=int) == [str(sample) for sample in sorted(changed)]
    assert [row["what"] for row in compared if row["about"] == "configuration"] == ["optimizer.lr"]

    frames = load(folder)
    assert len(frames.curves()) == sum(map(len, raw.values()))
    assert set(frames.predictions()["predicted"]) <= {0, 1}
    assert len(frames.predictions()) == 6 * len(one)


def test_a_row_a_run_and_what_was_chosen(results: Results, sweep: Path) -> None:
    ended = results(sweep)
    assert ended.out.splitlines()[:2] == [
        "run  seed  optimizer.lr  status     duration  val/accuracy  best val/accuracy  val/loss",
        "0       0           0.1  COMPLETED     1.5 s           0.1               0.35       0.9",
    ]
    assert first_words(ended) == list("012345")
    assert ended.err == (
        "metrics: val/accuracy, val/loss; "
        "others with --metric: lr, train/accuracy, final/val/accuracy\n"
    )


def test_metrics_that_were_named_are_not_announced(results: Results, sweep: Path) -> None:
    ended = results(sweep, "--metric", "final/*", "lr")
    assert ended.out.splitlines()[0].split()[-2:] == ["final/val/accuracy", "lr"]
    assert ended.err == ""


def test_runs_that_did_not_complete_are_listed_with_their_causes(
    results: Results, tmp_path: Path
) -> None:
    made_run(tmp_path, "0", lr_and_seed(0.1, 0), {"val/loss": 0.5})
    made_run(tmp_path, "1", lr_and_seed(0.2, 0), status="FAILED", cause="loss is nan\nlower lr")
    metrics = "step,epoch,val/loss\n1,1,0.25\n"
    made_run(tmp_path, "2", lr_and_seed(0.3, 0), status="RUNNING", metrics=metrics)
    made_run(tmp_path, "3", lr_and_seed(0.4, 0), {"val/loss": 0.125}, status="INTERRUPTED")
    (made_run(tmp_path, "4") / "run.json").write_text("")
    ended = results(tmp_path)
    assert ended.out.splitlines() == [
        "run  optimizer.lr  status       duration  val/loss",
        "0             0.1  COMPLETED       1.5 s       0.5",
        "1             0.2  FAILED          1.5 s",
        "2             0.3  KILLED                     0.25",
        "3             0.4  INTERRUPTED     1.5 s     0.125",
        "",
        "failed:",
        "  1: loss is nan",
        "    lower lr",
    ]
    assert ended.err.startswith(f"warning: {tmp_path / '4'}: run.json cannot be read")
    by = results(tmp_path, "--by", "seed")
    assert by.out.splitlines()[:2] == ["seed  n  not completed  val/loss", by.out.splitlines()[1]]
    assert by.out.splitlines()[1].split() == ["0", "1", "3", "0.5"]
    assert "failed:" in by.out
    assert rows(results(tmp_path, "--format", "csv"))[1]["cause"] == "loss is nan\nlower lr"


def test_groups_are_sorted_by_their_mean(results: Results, sweep: Path) -> None:
    by = ("--by", "optimizer.lr", "--metric", "val/accuracy")
    assert first_words(results(sweep, *by, "--sort", "val/accuracy")) == ["0.1", "0.01"]
    assert first_words(results(sweep, *by, "--sort", "-val/accuracy")) == ["0.01", "0.1"]
    assert first_words(results(sweep, *by, "--sort", "optimizer.lr")) == ["0.01", "0.1"]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--sort", "-run"], "543210"),
        (["--sort=-val/accuracy"], "340512"),
        (["--last", "2"], "45"),
        (["--where", "seed=1"], "14"),
        (["--where", "seed>0", "--where", "optimizer.lr=0.1"], "12"),
        (["--where", "seed<2", "--last", "1", "--sort", "val/loss"], "4"),
    ],
)
def test_rows_are_chosen_and_ordered(
    results: Results, sweep: Path, options: Sequence[str], left: str
) -> None:
    assert "".join(first_words(results(sweep, *options))) == left


def test_nothing_left_is_no_mistake(results: Results, sweep: Path) -> None:
    for options in (["--where", "status=FAILED"], ["--last", "0"], ["--last", "0", "--by", "seed"]):
        ended = results(sweep, *options)
        assert (ended.status, ended.out) == (0, "no runs\n")
    nothing = results(sweep, "--where", "status=FAILED", "--metric", "lr", "--format", "json")
    assert json.loads(nothing.out) == []


@pytest.mark.parametrize("name", ["table", "csv", "markdown", "latex", "json"])
@pytest.mark.parametrize("options", [[], ["--by", "seed"], ["--compare", "0", "1"]], ids=str)
def test_every_format_shows_everything(
    results: Results, sweep: Path, name: str, options: Sequence[str]
) -> None:
    ended = results(sweep, "--format", name, *options)
    assert ended.status == 0
    assert "val/accuracy" in ended.out


def test_a_comparison_ends_with_what_changed(results: Results, tmp_path: Path) -> None:
    made_run(tmp_path, "0", {"seed": 0}, predicts="idx,logit0\n3,1\n4,1\n")
    made_run(tmp_path, "1", {"seed": 1}, predicts="idx,logit0\n3,-1\n4,1\n")
    assert results(tmp_path, "--compare", "0", "1").out.splitlines() == [
        "about            what  0  1",
        "configuration    seed  0  1",
        "predicted class  3     1  0",
        "",
        "1 of 2 samples changed their predicted class",
    ]
    same = results("--compare", tmp_path / "0", tmp_path / "0")
    assert same.out.splitlines()[0] == "no differences"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--metric", "val/acuracy"], "--metric val/acuracy: .*did you mean val/accuracy?"),
        (["--sort", "optimizer.rl"], "--sort optimizer.rl: .*did you mean optimizer.lr?"),
        (["--sort", "-zzz"], "--sort zzz: .*there are run, status"),
        (["--by", "lr"], "--by lr: .*did you mean optimizer.lr?"),
        (["--by", "val/loss"], "--by val/loss: no run has such a key"),
        (["--by", "seed", "--sort", "optimizer.lr"], "--sort optimizer.lr: .*seed, n, "),
        (["--where", "sede=1"], "--where sede: .*did you mean seed?"),
        (["--where", "seed"], "--where seed: write KEY=VALUE"),
        (["--where", "status=FAILED", "--metric", "f2"], "--metric f2: no run has"),
        (["--compare", "0", "7"], "--compare 7: there is no such run"),
    ],
)
def test_a_mistake_is_one_message(
    results: Results, sweep: Path, options: Sequence[str], message: str
) -> None:
    ended = results(sweep, *options)
    assert (ended.status, ended.out) == (2, "")
    (line,) = ended.err.splitlines()
    assert re.match("error: " + message.replace("?", r"\?"), line)


def test_a_wrong_folder_is_one_message(results: Results, sweep: Path) -> None:
    wrong = sweep.parent / "sweeep"
    ended = results(wrong)
    told = f"error: {wrong}: there is no such folder; did you mean {sweep}?\n"
    assert (ended.status, ended.out, ended.err) == (2, "", told)
    assert (
        results().err
        == "error: no DIR: give a run directory, or a folder with run directories inside\n"
    )
    assert results(sweep, "--last", "-1").status == 2


def test_torch_is_not_imported_and_pandas_neither(sweep: Path) -> None:
    script = (
        "import sys, legoloop.results; assert not {'pandas', 'numpy', 'torch'} & set(sys.modules);"
        "from legoloop.results.__main__ import main;"
        "main([*sys.argv[1:]]); main([*sys.argv[1:], '--by', 'seed', '--format', 'latex']);"
        "main([*sys.argv[1:], '--compare', '0', '1']);"
        "assert not {'pandas', 'torch', 'hydra', 'omegaconf'} & set(sys.modules)"
    )
    for name in "01":
        (sweep / name / "predicts.csv").write_text("idx,logit0\n0,1\n")
    command = [sys.executable, "-c", script, str(sweep)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "0 of 1 samples changed" in done.stdout


def test_a_page_is_written_of_the_runs_that_are_selected(
    results: Results, sweep: Path, tmp_path: Path
) -> None:
    page = tmp_path / "new" / "a.html"
    ended = results(sweep, "--html", page, "--where", "seed=0")
    assert (ended.status, ended.err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(page))}: 2 runs, \d+ kB\n", ended.out)
    assert page.stat().st_size < 100_000
    assert results(sweep, "--html", page, "--last", "3").out.startswith(f"{page}: 3 runs")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--html", "a.csv"), "--html a.csv: give a file that ends in .html"),
        (("--html", "a"), "--html a: give a file that ends in .html"),
        (("--html", "a.html", "--by", "seed"), "--by: chosen on the page itself"),
        (("--html", "a.html", "--metric", "lr"), "--metric: chosen on the page itself"),
        (("--html", "a.html", "--sort", "lr"), "--sort: chosen on the page itself"),
        (("--html", "a.html", "--compare", "0", "1"), "--compare: chosen on the page itself"),
        (("--html", "a.html", "--format", "csv"), "--format csv: --html writes a page"),
        (("--html", "a.html", "--where", "gone=1"), "--where gone: no run has such a key"),
    ],
)
def test_what_a_page_has_no_use_for_is_refused(
    results: Results,
    sweep: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = results(sweep, *arguments)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert list(tmp_path.glob("a*")) == []


def test_a_page_that_cannot_be_written_is_one_line(
    results: Results, sweep: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.html").mkdir()
    (tmp_path / "a.html" / "kept").touch()
    ended = results(sweep, "--html", tmp_path / "a.html")
    assert ended.status == 2
    assert re.fullmatch(r"error: .*a\.html cannot be written .*\n", ended.err)


def test_python_m_runs_it(sweep: Path) -> None:
    command = [sys.executable, "-m", "legoloop.results", str(sweep), "--last", "1"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout.splitlines()[1].split()[0]) == (0, "5")


def test_the_page_tells_of_every_option_and_of_no_other() -> None:
    options = {word for action in _parser()._actions for word in action.option_strings}
    assert set(re.findall(r"--\w+", PAGE.read_text())) == options - {"-h", "--help"}
