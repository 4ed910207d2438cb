"""The book and the reference: `make docs` executes every cell; a cell that fails fails the build."""

import os
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "_extensions"))

os.environ["JUPYTER_COLUMNS"] = "84"  # the width of tables
os.environ["NEOCOG_PROGRESS"] = "off"  # the exercises of the pages are not the builder's

project = "neocog"
author = "the neocog developers"
copyright = "2026, the neocog developers"  # noqa: A001 - Sphinx's name
release = installed_version("neocog")

extensions = [
    "book",
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx-mathjax-offline",
    "sphinx.ext.napoleon",
    "sphinxcontrib.bibtex",
]
bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "alpha"
bibtex_reference_style = "author_year"
exclude_patterns = ["_build", "_extensions"]
myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "cache"
nb_execution_allow_errors = True  # reported by _extensions/book.py, with the page and the line
nb_execution_timeout = -1  # a cell has nb_execution_cell_limit seconds instead
suppress_warnings = ["mystnb.unknown_mime_type"]  # Plotly's, for notebooks
nb_merge_streams = True
nb_ipywidgets_js = {}  # they would be loaded from elsewhere; a widget's still picture stands in the page
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_render_markdown_format = "myst"  # the default, CommonMark, has no tables

autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_title = "neocog"
html_theme_options = {"source_edit_link": "", "navigation_with_keys": True}
html_show_sourcelink = True
html_copy_source = True
