"""``python -m legoloop`` tells which commands there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from legoloop import __version__
from legoloop.core.output_streams import tolerant_output

COMMANDS = {
    "run": "train a model, or with -m a sweep of them",
    "results": "tables of runs and sweeps, what differs between two",
    "board": "the same as a page in the browser, live while runs go on",
    "evaluate": "the saved weights of a run, on any data",
}
USAGE = "\n".join(
    [
        f"legoloop {__version__}: training PyTorch models out of bricks. The commands:",
        "",
        *(f"  python -m legoloop.{name:<9} {does}" for name, does in COMMANDS.items()),
        "",
        "Each of them tells more with --help, and is installed as legoloop-run, and so on.",
        'A first run: python -m legoloop.run data=xor. In code: ll.compose, ll.load("RUN").',
    ]
)


@tolerant_output()
def main(arguments: Sequence[str] | None = None) -> None:
    """Print the commands, or with ``--version`` the version; exit status 2 for anything else."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        print(USAGE)
    elif given == ["--version"]:
        print(f"legoloop {__version__}")
    else:
        known = given[0] if given[0] in COMMANDS else "run"
        print(f"error: {given[0]}: write python -m legoloop.{known} …", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
