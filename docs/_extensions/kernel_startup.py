"""Run at the start of each page's kernel: show figures as JSON, and end a cell that takes too long."""

import hashlib
import html
import json
import os
import signal
from pathlib import Path

import plotly.io as pio
from IPython import get_ipython
from plotly.io import base_renderers

LIMIT = int(os.environ["BOOK_CELL_LIMIT"])


class BookRenderer(base_renderers.MimetypeRenderer):
    """Show a figure as data that ``figures.js`` draws, and as the data that a notebook draws."""

    def to_mimebundle(self, figure):
        """Return the two."""
        text = pio.to_json(figure, validate=False, engine="json")
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        Path(os.environ["BOOK_FIGURES"], f"{name}.json").write_text(text, encoding="utf-8")
        layout = figure["layout"]
        title = html.escape(
            str(layout.get("title", {}).get("text", "figure")).replace("<br>", " "), quote=True
        )
        height = layout.get("height", 420)
        data = text.replace("</", "<\\/")
        page = (
            f'<div class="figure-json" role="img" aria-label="{title}" style="min-height: {height}px">'
            f'<script type="application/json">{data}</script>'
            f'<noscript><img alt="{title}" src="NEOCOG-PICTURES/{name}.png"></noscript></div>'
        )
        return {"application/vnd.plotly.v1+json": json.loads(text), "text/html": page}


def _too_long(signum, frame):
    raise TimeoutError(f"the cell ran longer than {LIMIT} s")


pio.renderers["book"] = BookRenderer()
pio.renderers.default = "book"
signal.signal(signal.SIGALRM, _too_long)
events = get_ipython().events
events.register("pre_run_cell", lambda info: signal.alarm(LIMIT))
events.register("post_run_cell", lambda result: signal.alarm(0))
