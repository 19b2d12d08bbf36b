"""The checks, each in an environment of its own: ``nox``, or ``nox -s lint`` for one of them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import nox

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
TESTED = ("-c", str(ROOT / "constraints.txt"))


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and which folder may import which."""
    session.install(*TESTED, "ruff", "import-linter")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.install(*TESTED, "-e", ".[dev]")
    session.run("mypy", "--strict", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Tests and docstring examples, the slow ones too."""
    session.install(*TESTED, "-e", ".[test]")
    session.run("python", "-m", "pytest", "-n", "auto", "-m", "not long", *session.posargs)


@nox.session(default=False)
def long(session: nox.Session) -> None:
    """What takes half an hour: clusters that are started here, whole trainings, further cases."""
    session.install(*TESTED, "-e", ".[test]")
    session.run("python", "-m", "pytest", "-m", "long", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """The site, into build/site; a broken link and a name without a page are errors."""
    session.install(*TESTED, "-e", ".[site]")
    pages = ("-b", "html", "-c", "docs", "-d", "build/doctrees", ".", "build/site")
    session.run("python", "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", *pages)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Runs that are killed, starved and damaged; ``-- --long`` tries many more and takes hours."""
    session.install(*TESTED, "-e", ".[test]")
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session(reuse_venv=False)
def wheel(session: nox.Session) -> None:
    """The wheel, installed in a clean environment, runs from any folder."""
    session.install(*TESTED, "build")
    with TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, silent=True)
        session.install(*TESTED, *map(str, Path(folder).glob("*.whl")))
        run_from_any_folder(session, folder)


@nox.session(default=False, venv_backend="none")
def wheel_in_place(session: nox.Session) -> None:
    """The same in this environment, without a second download of all dependencies.

    The wheel takes the place of the editable install, which comes back in any case.
    """
    install = ("python", "-m", "pip", "install", "--quiet", "--no-deps")
    with TemporaryDirectory() as folder:
        session.run("python", "-m", "build", "--outdir", folder, silent=True)
        try:
            wheels = map(str, Path(folder).glob("*.whl"))
            session.run(*install, "--force-reinstall", *wheels)
            session.run("python", "-m", "pip", "check")
            run_from_any_folder(session, folder)
        finally:
            session.chdir(ROOT)
            session.run(*install, "-e", ".")


def run_from_any_folder(session: nox.Session, folder: str) -> None:
    # From the root of the repository the checkout hides the wheel.
    for number, start in enumerate(["/", ROOT]):
        session.chdir(start)
        run = f"hydra.run.dir={folder}/run{number}"
        session.run("python", "-m", "legoloop.run", "num_epochs=1", run)
        session.run("legoloop-run", "--help", silent=True)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The examples in README and docs."""
    session.install(*TESTED, "-e", ".[test]")
    session.run("python", "-m", "pytest", "tests/test_docs.py")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """What legoloop costs; ``-- --write docs/performance.md`` keeps the tables."""
    session.install(*TESTED, "-e", ".[bench]")
    session.run("python", "-m", "bench", *session.posargs)
