"""What is printed at the end of a search: the best trials, what mattered, and where they lie."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from legoloop.app.run.lifecycle import display_path
from legoloop.app.sweep.search.objective import Objective
from legoloop.app.sweep.search.search import Search
from legoloop.app.sweep.watch import short_names
from legoloop.core.study_storage import RUN_DIR, is_file, quiet_optuna
from legoloop.core.text import printable
from legoloop.core.text_table import text_table

BEST = 5
"""So many of the trials are shown."""
FEWEST = 4
"""Completed trials from which it is estimated what mattered."""


def summary(search: Search) -> str:
    """The best trials, or those of which none is better in all metrics; importances; the study."""
    return "\n".join(filter(None, _parts(search)))


def _parts(search: Search) -> Iterator[str]:
    study, objective = search.study, search.objective
    counts = {
        word: len(study.trials(state))
        for word, state in (
            ("completed", TrialState.COMPLETE),
            ("pruned", TrialState.PRUNED),
            ("failed", TrialState.FAIL),
        )
    }
    shown = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    by = ", ".join(
        f"{tag} ({'max' if is_maximized else 'min'})"
        for tag, is_maximized in zip(objective.monitors, objective.maximized, strict=True)
    )
    number = sum(counts.values())
    yield f"\n{number} of {search.n_trials} trials are over" + (f": {shown}" if shown else "")
    if counts["completed"]:
        best = _best(search)
        yield f"best by {printable(by)}:"
        yield _table(search, best)
        yield _importances(search)
    settings = study.settings
    if is_file(settings.storage):
        journal = printable(str(display_path(Path(settings.storage))))
        yield f"study: {journal} (look at it with: optuna-dashboard {journal})"
    else:
        yield f"study: {printable(settings.name)} in the storage hydra.sweeper.storage"


def _best(search: Search) -> list[FrozenTrial]:
    if len(search.objective.monitors) > 1:
        return search.study.study.best_trials
    completed = search.study.trials(TrialState.COMPLETE)
    (is_maximized,) = search.objective.maximized
    return sorted(completed, key=lambda trial: trial.value or 0.0, reverse=is_maximized)[:BEST]


def _table(search: Search, trials: list[FrozenTrial]) -> str:
    names = short_names(list(dict.fromkeys(key for trial in trials for key in trial.params)))
    head = ["  trial", *search.objective.monitors, *names.values(), "run"]
    rows = [
        [
            f"  {trial.number}",
            *(f"{value:.6g}" for value in trial.values),
            *(_value(trial.params.get(key, "")) for key in names),
            str(display_path(Path(trial.user_attrs.get(RUN_DIR, "")))),
        ]
        for trial in trials
    ]
    return text_table([[printable(cell) for cell in row] for row in (head, *rows)])


def _lower_is_better(objective: Objective, place: int) -> Callable[[FrozenTrial], float]:
    """One of the metrics, such that what makes it low is what matters."""
    sign = -1.0 if objective.maximized[place] else 1.0
    return lambda trial: sign * trial.values[place]


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _importances(search: Search) -> str:
    """A line a metric; nothing where there are too few trials to tell."""
    completed = search.study.trials(TrialState.COMPLETE)
    lines = []
    for place, tag in enumerate(search.objective.monitors):
        values = {trial.values[place] for trial in completed}
        if len(completed) < FEWEST or len(values) == 1:
            continue
        with quiet_optuna("hydra/sweeper=optuna"), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*to achieve low `target` values", UserWarning)
            found = optuna.importance.get_param_importances(
                search.study.study, target=_lower_is_better(search.objective, place)
            )
        shares = ", ".join(f"{key} {share:.0%}" for key, share in found.items())
        of = f" for {tag}" if len(search.objective.monitors) > 1 else ""
        lines.append(printable(f"what mattered{of}: {shares}"))
    return "\n".join(lines)
