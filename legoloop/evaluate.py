"""The command: ``python -m legoloop.evaluate RUN [group=option] [key=value]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from legoloop.app.startup.cwd_on_path import modules_on_path
from legoloop.core.errors import ConfigError, UserError
from legoloop.core.output_streams import tolerant_output
from legoloop.core.text import printable

EPILOG = """\
Overrides are laid over what the run recorded, and checked as those of a run are:
data.root=elsewhere, data.datasets.val.train=true, +data.loaders.val.batch_size=512;
data=mnist takes the place of the whole node.

Writes metrics.json, predicts.csv (predicts_NAME.csv for data that the run did not predict)
and config.yaml. Exit status: 0 done, 1 something wrong in the data or the weights,
2 a mistake in what was asked, 130 interrupted.
"""


@tolerant_output()
def main(arguments: Sequence[str] | None = None) -> None:
    """Evaluate the saved weights of a run; the exit status says how it ended.

    0: done, 1: failed, 2: a mistake in what was asked, 130: interrupted.
    """
    asked = _parser().parse_intermixed_args(arguments)
    try:
        modules_on_path()  # first: torch cannot be imported where the directory was removed
        from legoloop.app.evaluate import evaluate

        done = evaluate(
            asked.run, asked.overrides, asked.on, asked.output, asked.config_dir, asked.weights
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    for tag, value in done.scalars.items():
        print(f"{printable(tag)} {value:.4g}")
    print(f"written: {done.directory}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="legoloop-evaluate",
        description="Evaluates the saved weights of a run on any data; trains nothing.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="the directory of a completed run")
    parser.add_argument("overrides", metavar="OVERRIDE", nargs="*", help="as of legoloop.run")
    parser.add_argument(
        "--on",
        metavar="NAMES",
        type=lambda names: names.split(","),
        help="data sets to measure and predict, as val,train; by default as the run's end did",
    )
    parser.add_argument(
        "--weights",
        metavar="WHICH",
        default="last",
        help="best: those of the best epoch; or a file of weights, or a checkpoint; by default "
        "last: those that the run ended with",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="a new folder for what comes out; by default RUN/evaluations/<time>",
    )
    parser.add_argument(
        "--config-dir", metavar="DIR", type=Path, help="a folder with groups of your own"
    )
    return parser


if __name__ == "__main__":
    main()
