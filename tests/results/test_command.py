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
from tests.results.made_runs import lr_and_seed, made_record, made_run, made_sweep

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
    lines = [line for line in ended.out.splitlines() if not line.startswith("the same everywhere")]
    return [line.split()[0] for line in lines[1:]]


@pytest.mark.slow
def test_a_real_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    swept = ("optimizer.lr=0.01,0.1", "seed=0,1,2", "hydra.sweep.dir=sweep", "loggers=[csv]")
    ended = Command(tmp_path, monkeypatch, capfd)("-m", *SMALL, *swept)
    assert ended.status == 0, ended.err
    folder = tmp_path / "sweep"

    def asked(*arguments: str) -> str:
        capfd.readouterr()
        main([str(folder), "--format", "csv", *arguments])
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

    grouped = list(
        csv.DictReader(io.StringIO(asked("--metric", "val/accuracy", "--by", "optimizer.lr")))
    )
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
    assert ended.out.splitlines()[:3] == [
        "the same everywhere: status COMPLETED · duration 1.5 s",
        "run  seed  optimizer.lr  val/accuracy  best val/accuracy  val/loss",
        "0       0           0.1           0.1               0.35       0.9",
    ]
    assert first_words(ended) == list("012345")
    assert ended.err == (
        "metrics: val/accuracy, val/loss; "
        "others with --metric: lr, train/accuracy, final/val/accuracy\n"
    )


def test_metrics_that_were_named_are_not_announced(results: Results, sweep: Path) -> None:
    ended = results(sweep, "--metric", "final/*", "lr")
    assert ended.out.splitlines()[1].split()[-2:] == ["final/val/accuracy", "lr"]
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
    assert results(sweep, "--last", "-1").status == 2


def test_without_a_folder_the_newest_sweep_is_listed(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nothing = results()
    assert (nothing.status, nothing.err.startswith("error: no DIR, and there are no")) == (2, True)
    made_run(tmp_path / "outputs", "alone", lr_and_seed(0.1, 0), {"val/f1": 0.5}, minute=59)
    assert results().err.startswith("no DIR: all runs in outputs\n")
    made_record(made_sweep(tmp_path / "multirun" / "then"), [[f"seed={n}"] for n in range(7)])
    ended = results("--where", "status!=COMPLETED")
    assert ended.err.startswith("no DIR: the newest sweep, multirun/then\n")
    assert ended.out.splitlines() == [
        *("run  status", "6    not begun", "", "not begun:", "  6: seed=6"),
    ]
    assert first_words(results("--last")) == ["outputs/alone"]
    assert "no DIR: all runs in outputs, multirun\n" in results("--last", "2").err
    assert results("--compare", "0", "1").status == 0
    assert results("--html", "a.html").out.startswith("a.html: 6 runs")


def test_what_a_job_that_has_not_begun_was_given_is_told(results: Results, tmp_path: Path) -> None:
    made_record(tmp_path, [["seed=0", "model=mlp"], ["seed=1", "model=cnn"]])
    model = {"model": {"_target_": "mlp"}}
    made_run(tmp_path, "0", {"seed": 0, **model}, {"val/f1": 0.5}, overrides=["model=mlp"])
    assert results(tmp_path).out.splitlines() == [
        "run  seed  status     duration  val/f1",
        "0       0  COMPLETED     1.5 s     0.5",
        "1       1  not begun",
        "",
        "not begun:",
        "  1: seed=1 model=cnn",
    ]
    by = results(tmp_path, "--by", "seed", "--format", "csv")
    assert [(row["seed"], row["n"], row["not completed"]) for row in rows(by)] == [
        *(("0", "1", "0"), ("1", "0", "1")),
    ]


def test_runs_are_found_by_what_they_were_called(results: Results, tmp_path: Path) -> None:
    tags = {"0": ["baseline", "a b"], "1": ["new"]}
    for run, own in tags.items():
        notes = {"notes": "looks\nwell"} if run == "0" else {}
        made_run(tmp_path, run, {}, {"val/f1": 0.5}, **{"name": f"run {run}", "tags": own}, **notes)
    made_run(tmp_path, "2", {}, {"val/f1": 0.25})
    assert results(tmp_path, "--metric", "val/f1").out.splitlines()[1:] == [
        "run  name   tags           val/f1  notes",
        "0    run 0  baseline, a b     0.5  looks",
        "1    run 1  new               0.5",
        "2                            0.25",
    ]

    def chosen(condition: str) -> str:
        return "".join(first_words(results(tmp_path, "--where", condition)))

    assert chosen("tags=baseline") == "0"
    assert chosen("tags=a b") == "0"
    assert chosen("tags!=baseline") == "12"
    assert chosen("tags=[baseline, a b]") == "0"
    assert chosen("name=run 1") == "1"
    listed = json.loads(results(tmp_path, "--format", "json").out)
    assert [run["tags"] for run in listed] == [*tags.values(), None]
    assert rows(results(tmp_path, "--format", "csv"))[0]["notes"] == "looks\nwell"
    assert rows(results(tmp_path, "--by", "name", "--format", "csv"))[0]["name"] == "run 0"
    compared = rows(results(tmp_path, "--compare", "0", "1", "--format", "csv"))
    assert [row["what"] for row in compared if row["about"] == "label"] == [
        *("name", "tags", "notes"),
    ]


def test_a_narrow_terminal_is_never_too_narrow(
    results: Results, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns in (40, 60, 200):
        monkeypatch.setattr("legoloop.results.__main__.terminal_width", lambda: columns)  # noqa: B023
        for options in ([], ["--metric", "*"], ["--by", "seed"], ["--compare", "0", "3"]):
            lines = results(sweep, *options).out.partition("\n\n")[0].splitlines()
            assert max(map(len, lines)) <= columns
            assert "left out" not in lines[-1] or columns < 200


def test_evaluations_stand_below_their_run(results: Results, tmp_path: Path) -> None:
    for run in "01":
        config = {"seed": int(run), "data": {"size": 8}}
        made_run(tmp_path, run, config, {"val/f1": 0.5, "final/val/f1": 0.5})
    folder = tmp_path / "0" / "evaluations"
    made_evaluation(folder / "2026-11-22_12-00-00-000001", 8, {"final/val/f1": 0.75})
    made_evaluation(folder / "other", 9, {"final/test/f1": 0.25, "final/val/f1": None})
    (folder / "damaged").mkdir()
    (folder / "link").symlink_to(folder / "other")
    ended = results(tmp_path, "--evaluations", "--format", "csv")
    listed = rows(ended)
    assert [row["run"] for row in listed] == [
        *("0", "0/evaluations/2026-11-22_12-00-00-000001", "0/evaluations/other", "1"),
    ]
    assert [row["status"] for row in listed] == [
        *("COMPLETED", "EVALUATED", "EVALUATED", "COMPLETED"),
    ]
    assert [row["data.size"] for row in listed] == ["8", "8", "9", "8"]
    assert [row["final/val/f1"] for row in listed] == ["0.5", "0.75", "nan", "0.5"]
    assert listed[2]["final/test/f1"] == "0.25"
    assert "evaluations/damaged: metrics.json cannot be read" in ended.err
    one = results(tmp_path, "--evaluations", "--where", "run=1", "--format", "csv")
    assert [row["run"] for row in rows(one)] == ["1"]


def test_an_evaluation_is_asked_like_a_run(results: Results, tmp_path: Path) -> None:
    made_run(tmp_path, "0", {"seed": 0, "data": {"size": 8}}, predicts="idx,logit0\n0,1\n")
    folder = tmp_path / "0" / "evaluations" / "a"
    made_evaluation(folder, 9, {"final/val/f1": 0.75})
    (folder / "predicts.csv").write_text("idx,logit0\n0,-1\n")
    (folder / "targets.csv").write_text("idx,target\n0,1\n")
    named = results(tmp_path, "--mistakes", "0/evaluations/a", "--format", "csv")
    assert rows(named) == rows(results("--mistakes", folder, "--format", "csv"))
    assert rows(named)[0]["target"] == "1"
    compared = rows(results(tmp_path, "--compare", "0", folder, "--format", "csv"))
    assert [row["what"] for row in compared if row["about"] == "configuration"] == ["data.size"]
    assert compared[-1]["right"] == "0"
    assert "is no run directory" in results("--delete", folder, "--yes").err


def made_evaluation(folder: Path, size: int, metrics: dict[str, float | None]) -> None:
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    config = {"seed": 0, "data": {"size": size}, "run_dir": str(folder)}
    config["predicts"] = f"{folder}/predicts.csv"
    (folder / "config.yaml").write_text(json.dumps(config))


def test_mistakes_are_listed_worst_first(results: Results, tmp_path: Path) -> None:
    predicts = "idx,logit0,logit1\n" + "".join(f"{n},0,{n}\n" for n in range(30))
    run = made_run(tmp_path, "a", {"seed": 0}, predicts=predicts)
    assert results(tmp_path, "--mistakes", "a").err.startswith("error: a: has no targets.csv, so")
    (run / "targets.csv").write_text("idx,target\n" + "".join(f"{n},0\n" for n in range(30)))
    ended = results(tmp_path, "--mistakes", "a")
    lines = ended.out.splitlines()
    assert lines[:2] == [
        "sample  target  predicted  probability  margin",
        "29      0       1                    1      29",
    ]
    assert lines[-2:] == ["", "29 of 30 samples are wrong; the worst 20, --format csv lists all"]
    assert len(lines) == 1 + 20 + 2
    assert len(rows(results("--mistakes", run, "--format", "csv"))) == 29
    (run / "targets.csv").write_text("idx,target\n0,0\n1,1\n")
    assert results(run, "--mistakes", "a").out == "0 of 2 samples are wrong\n"


def test_who_was_right_is_told(results: Results, tmp_path: Path) -> None:
    predicts = {"0": ((1, 1), (1, 0), (1, 0), (1, 0)), "1": ((1, 1), (0, 1), (0, 1), (0, 1))}
    for name, logits in predicts.items():
        lines = [f"{n},{a},{b},0\n" for n, (a, b) in enumerate(logits)]
        made_run(tmp_path, name, {}, predicts="idx,logit0,logit1,logit2\n" + "".join(lines))
    (tmp_path / "1" / "targets.csv").write_text("idx,target\n0,0\n1,1\n2,0\n3,2\n")
    ended = results(tmp_path, "--compare", "0", "1")
    assert ended.out.splitlines() == [
        "about            what  0  1  target  right",
        "predicted class  1     0  1  1       1",
        "predicted class  2     0  1  0       0",
        "predicted class  3     0  1  2       neither",
        "",
        "3 of 4 samples changed their predicted class",
        "0 was right about 1; 1 was right about 1; neither of them was right about 1",
    ]


def test_runs_are_removed_once_somebody_agreed(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_sweep(tmp_path)
    refused = results(tmp_path, "--delete", "0", "1")
    told = "error: --delete: asks first, and there is no terminal; give --yes\n"
    assert (refused.status, refused.err) == (2, told)
    answers = io.StringIO("n\n\ny\nyes\n")
    monkeypatch.setattr(answers, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", answers)
    for option in ("--delete", "--archive"):
        asked = results(tmp_path, option, "0", "1", "0")
        assert asked.out == "nothing was changed\n"
        named = f"{tmp_path}/0, {tmp_path}/1"
        assert asked.err.startswith(f"{option[2:]} 2 runs, 0.0 MB: {named}? [y/N] ")
    assert len(first_words(results(tmp_path))) == 6
    ended = results(tmp_path, "--archive", "0", "1")
    assert ended.out == f"archived: 2 runs, in {tmp_path}/archive\n"
    assert results("--delete", tmp_path / "2").out == "deleted: 1 run\n"
    assert results(tmp_path, "--delete", "3", "--yes").out == "deleted: 1 run\n"
    assert first_words(results(tmp_path)) == ["4", "5"]
    assert first_words(results(tmp_path / "archive")) == ["0", "1"]
    assert "there is no such run" in results(tmp_path, "--delete", "0", "--yes").err


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
        (("--html", "a.html", "--by", "seed"), "--by: has no use with --html; leave it out"),
        (("--html", "a.html", "--metric", "lr"), "--metric: has no use with --html; leave it"),
        (("--html", "a.html", "--sort", "lr"), "--sort: has no use with --html; leave it out"),
        (("--html", "a.html", "--compare", "0", "1"), "--compare: has no use with --html; give "),
        (("--html", "a.html", "--format", "csv"), "--format: has no use with --html; leave it"),
        (("--compare", "0", "1", "--last", "2"), "--last: has no use with --compare"),
        (("--mistakes", "0", "--where", "seed=0"), "--where: has no use with --mistakes"),
        (("--delete", "0", "--format", "csv"), "--format: has no use with --delete"),
        (("--delete", "0", "--archive", "1"), "--delete: has no use with --archive"),
        (("--evaluations", "--by", "seed"), "--by: has no use with --evaluations"),
        (("--yes",), "--yes: goes with --archive or --delete; leave it out"),
        (("--html", "a.html", "--where", "gone=1"), "--where gone: no run has such a key"),
    ],
)
def test_options_without_a_use_for_each_other_are_refused(
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
