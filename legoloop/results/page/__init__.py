"""A page of runs: one HTML file that needs nothing else, written or served."""

from legoloop.results.page.document import write_page

__all__ = ["write_page"]
