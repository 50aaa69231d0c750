"""The documentation as a site: `make site` builds it from the pages of this folder."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from denet import __version__  # noqa: E402
from scripts.site import pages  # noqa: E402

project = "denet"
author = "the denet contributors"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
root_doc = "index"
exclude_patterns = ["evaluation", "samples", "synthetic"]
default_role = "py:obj"  # what a docstring has between single backticks

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"denet {release}"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False


def setup(app):  # type: ignore[no-untyped-def]
    app.connect("source-read", pages.fill)
