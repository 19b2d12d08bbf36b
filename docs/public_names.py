"""The directive ``public-names``: the public names that some folders of the package define."""

from __future__ import annotations

import inspect

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import legoloop

log = logging.getLogger(__name__)


class PublicNames(SphinxDirective):
    """Documents the names of ``import legoloop`` whose module is one of these, or inside of one.

    Its arguments are modules, such as ``legoloop.data``. Names that no page documents end the
    build.
    """

    required_arguments = 1
    optional_arguments = 99

    def run(self) -> list[nodes.Node]:
        """A section for each name."""
        lines = []
        for module in self.arguments:
            for name in _names_in(module):
                _documented(self.env).setdefault(self.env.docname, set()).add(name)
                kind = "class" if inspect.isclass(getattr(legoloop, name)) else "function"
                lines += [f".. auto{kind}:: legoloop.{name}", ""]
        return self.parse_text_to_nodes("\n".join(lines))


def _names_in(module: str) -> list[str]:
    """The public names whose code is in a module or a package."""
    return [
        name
        for name in legoloop.__all__
        if f"{getattr(legoloop, name).__module__}.".startswith(f"{module}.")
    ]


def _documented(env: BuildEnvironment) -> dict[str, set[str]]:
    """The names by page; kept from one build to the next, since only changed pages are read."""
    found: dict[str, set[str]] = vars(env).setdefault("documented_names", {})
    return found


def _forget_page(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    _documented(env).pop(page, None)


def _check_all_are_documented(app: Sphinx, error: Exception | None) -> None:
    missing = set(legoloop.__all__).difference(*_documented(app.env).values())
    if error is None and missing:
        log.warning("no page of docs/api documents %s", ", ".join(sorted(missing)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("public-names", PublicNames)
    app.connect("env-purge-doc", _forget_page)
    app.connect("build-finished", _check_all_are_documented)
    return {"parallel_read_safe": False}
