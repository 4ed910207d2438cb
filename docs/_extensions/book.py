"""Extend Sphinx for the book: Plotly's script once, still pictures, and cells that fail or take too long.

A figure is on its page as JSON, and ``figures.js`` draws it when it comes into view; Plotly's script is one
file for all pages. Where scripts do not run, a still picture stands in its place. A cell that fails, or that
runs longer than ``nb_execution_cell_limit`` seconds, is reported with its page and line; the cells after it
run.
"""

from __future__ import annotations

import json
import logging as standard_logging
import os
import shutil
from pathlib import Path

from docutils import nodes
from plotly.offline import get_plotlyjs
from sphinx.application import Sphinx
from sphinx.util import logging

from neocog.figures import saving

HERE = Path(__file__).parent
LOGGER = logging.getLogger(__name__)
PICTURES = "NEOCOG-PICTURES/"  # in a page, stands for the relative path of the folder of still pictures


def set_up_kernels(app: Sphinx) -> None:
    """Give the kernels of all pages a start-up script, and a folder for the figures they make."""
    build = Path(app.outdir).parent.resolve()
    startup = build / "ipython/profile_default/startup"
    startup.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "kernel_startup.py", startup / "book.py")
    (build / "figures").mkdir(exist_ok=True)
    os.environ["IPYTHONDIR"] = str(build / "ipython")
    os.environ["BOOK_FIGURES"] = str(build / "figures")
    os.environ["BOOK_CELL_LIMIT"] = str(app.config.nb_execution_cell_limit)
    for name in ("OPENBLAS_NUM_THREADS", "NEOCOG_NUM_THREADS"):  # as many pages as cores run at a time
        os.environ.setdefault(name, "1")


def report_failed_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Warn of every cell whose output is a traceback."""
    for node in doctree.findall(nodes.literal_block):
        if "traceback" in node.get("classes", ()):
            last = node.astext().strip().splitlines()[-1]
            LOGGER.warning("a cell failed: %s", last, location=node, type="book", subtype="cell")


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Link Plotly's script where a page has figures, and fill in the path of their pictures."""
    if PICTURES not in context.get("body", ""):
        return
    context["body"] = context["body"].replace(PICTURES, context["pathto"]("_images/figures/", resource=True))
    for script in ("plotly.min.js", "fit.js", "figures.js"):
        app.add_js_file(script, priority=900)


def write_scripts_and_pictures(app: Sphinx, problem: Exception | None) -> None:
    """Write Plotly's script, and draw the still pictures that are not there yet."""
    if problem or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    static.mkdir(exist_ok=True)
    (static / "plotly.min.js").write_text(f"{get_plotlyjs()}\n{saving.OFFLINE}", encoding="utf-8")
    (static / "fit.js").write_text(saving.FIT, encoding="utf-8")
    folder = Path(app.outdir) / "_images/figures"
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for source in sorted(Path(os.environ["BOOK_FIGURES"]).glob("*.json")):
        if not (folder / f"{source.stem}.png").exists():
            missing.append((source, folder / f"{source.stem}.png"))
    if not missing:
        return
    try:
        _draw(missing)
    except Exception as fault:  # a browser is not part of Python: without one the page has no stills
        LOGGER.info("book: no still pictures of figures (%s: %s)", type(fault).__name__, fault)


def _draw(missing: list[tuple[Path, Path]]) -> None:
    import kaleido

    for chatty in ("kaleido", "choreographer"):
        standard_logging.getLogger(chatty).setLevel("ERROR")
    figures = []
    for source, target in missing:
        figure = json.loads(source.read_text(encoding="utf-8"))
        size = {"format": "png", "width": 760, "height": figure["layout"].get("height", 420), "scale": 1}
        figures.append({"fig": figure, "path": str(target), "opts": size})
    LOGGER.info("book: drawing %d still pictures", len(figures))
    kaleido.write_fig_from_object_sync(figures, kopts={"n": 2})


def allow_parallel_reading(app: Sphinx, config: object) -> None:
    """Declare what copies its scripts at the end of a build, and nothing else, as safe in processes."""
    mathjax = app.extensions["sphinx-mathjax-offline"]
    mathjax.parallel_read_safe = mathjax.parallel_write_safe = True


def setup(app: Sphinx) -> dict:
    """Connect the extension."""
    app.add_config_value("nb_execution_cell_limit", 120, "env", int)
    app.connect("config-inited", allow_parallel_reading)
    app.connect("builder-inited", set_up_kernels)
    app.connect("doctree-read", report_failed_cells)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_scripts_and_pictures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
