"""Write the page of a study."""

from __future__ import annotations

from pathlib import Path

from neocog import figures
from neocog.atomic import atomic_write
from neocog.experiments import Result
from neocog.report.page import page, paragraph, table, text

_DRAWN = "The figures are of the textbook's seed, unless they say how many runs they show."


def write_study(result: Result, path: str | Path) -> Path:
    """Write a study as a page: its table, finding and figures, and the answer with its reasons.

    Parameters
    ----------
    result : Result
        See :func:`neocog.experiments.run`.
    path : path of the HTML file

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    ranges = None if len(result.columns) <= 5 else {result.study.measure}  # a wide table scrolls
    columns = result.shown_columns
    drawn = figures.study(result)
    header = [column.replace("val_", "validation ").replace("_", " ") for column in columns]
    found = [
        f"<p><b>{text(result.over_seeds or result.finding)}</b></p>",
        paragraph(result.note) if result.note else "",
        table(header, result.cells(columns, ranges), lambda k: k > 0),
        paragraph(result.textbook) if result.over_seeds else "",
        paragraph(_DRAWN) if result.seeds > 1 and drawn else "",
        *drawn,
    ]
    command = f"<pre>neocog experiment {text(result.name)} --seeds {result.seeds}</pre>"
    sections = [
        ("", found),
        ("Answer", [paragraph(f"{result.answer} {result.explanation}")]),
        ("Reproduce", [command]),
    ]
    target = Path(path)
    atomic_write(target, page(result.question, f"The study {result.name}.", sections))
    return target
