"""The site: ``nox -s site``. Its sources are the Markdown of this repository and the docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from legoloop import __version__

project = "legoloop"
author = "The legoloop authors"
project_copyright = author
version = release = __version__

# The source folder is the root of the repository, so that pages may link to all of it.
root_doc = "docs/index"
include_patterns = ["docs/**", "experiments/*/README.md", "CHANGELOG.md", "CONTRIBUTING.md"]
exclude_patterns = ["**/.venv", "**/outputs", "**/multirun"]
extensions = [
    "myst_nb",
    "public_names",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]

html_theme = "furo"
html_title = f"legoloop {version}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_additional_pages = {"index": "to_front_page.html"}
templates_path = ["templates"]
html_copy_source = False
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the tests run the notebook; the page shows what it holds

add_module_names = False
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 80
napoleon_numpy_docstring = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
