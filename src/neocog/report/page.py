"""Assemble pages of text, tables and figures."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from neocog import figures

Part: TypeAlias = Any
"""A text of HTML, or a plotly Figure."""
Section: TypeAlias = tuple[str, Sequence[Part]]
"""A heading, which may be empty, and what stands under it."""

TITLE, SUBTITLE, LINE = (
    40.0,
    22.0,
    17.0,
)  # heights of a figure's title, of its subtitle and of further lines of it
_STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #5c6773; --line: #dde2e6; --accent: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .2rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 44rem; overflow-wrap: break-word; }
.lead, .caption { color: var(--muted); }
.lead { margin-bottom: 1.2rem; }
.caption { font-size: .9rem; margin: .2rem 0; }
.facts, .pair { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.pair { column-gap: 3rem; margin: 0; }
.fact { flex: 1 1 9rem; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.fact b { display: block; font-size: 1.45rem; line-height: 1.2; }
.fact span { color: var(--muted); font-size: .85rem; }
.scroll { overflow-x: auto; }
.high { max-height: 32rem; overflow-y: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; margin: .6rem 0; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word; }
th, td.n { white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
td.n, th.n { text-align: right; }
pre { background: #f5f7f8; border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; }
.good { color: #00704f; font-weight: 600; } .bad { color: #b3401b; font-weight: 600; }
.figure { margin: .6rem 0; }
@media print { body { max-width: none; padding: 0; } h2, h3 { break-after: avoid; }
  .figure, table { break-inside: avoid; } .high { max-height: none; } }
"""


def page(title: str, lead: str, sections: Iterable[Section]) -> str:
    """Assemble a page, with Plotly's script once, before its figures."""
    sections = [(heading, [part for part in parts if part != ""]) for heading, parts in sections]
    drawn = [part for _, parts in sections for part in parts if not isinstance(part, str)]
    script = figures.page_script(drawn) if drawn else ""
    body = "\n".join(_section(heading, parts) for heading, parts in sections if parts)
    return (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{script}</script></head><body>\n"
        f'<h1>{text(title)}</h1><p class="lead">{text(lead)}</p>\n{body}\n</body></html>\n'
    )


def _section(heading: str, parts: Sequence[Part]) -> str:
    head = f"<h2>{text(heading)}</h2>" if heading else ""
    return head + "\n".join(part if isinstance(part, str) else _figure(part) for part in parts)


def _figure(figure: Any) -> str:
    """Draw a figure under its title and its subtitle, which are text of the page and wrap as it does."""
    layout = figure.layout
    title, subtitle = layout.title.text or "", layout.title.subtitle.text or ""
    top = 72.0 if layout.margin.t is None else layout.margin.t  # the template's
    cut = TITLE + (SUBTITLE + LINE * subtitle.count("<br>") if subtitle else 0.0)
    cut = top - max(top - cut, 10.0)
    figure.update_layout(title={"text": "", "subtitle": {"text": ""}}, height=layout.height - cut)
    figure.update_layout(margin={"t": top - cut})
    if layout.meta and "edges" in layout.meta:
        board = {**layout.meta, "edges": layout.meta["edges"] - cut}
        if "narrow" in board:
            board["narrow"] = {**board["narrow"], "edges": board["narrow"]["edges"] - cut}
        figure.update_layout(meta=board)
    head = f"<h3>{_plain(title)}</h3>" if title else ""
    below = f'<p class="caption">{_plain(subtitle)}</p>' if subtitle else ""
    return f'<div class="figure">{head}{below}{figures.to_html(figure, script=False)}</div>'


def untitled(figure: Any) -> Any:
    """Return a figure without its title, where a heading of the page says it."""
    return figure.update_layout(title={"text": ""})


def _plain(words: str) -> str:
    """Return a text of a figure, which may hold a few tags, as text of a page."""
    return text(html.unescape(re.sub(r"</?[bi]>|<br>", " ", words)).replace("  ", " ").strip())


def text(value: Any) -> str:
    """Return a value as text of a page."""
    return html.escape(str(value))


def paragraph(words: str, kind: str = "") -> str:
    """Return a paragraph of a plain text."""
    return f'<p class="{kind}">{text(words)}</p>' if kind else f"<p>{text(words)}</p>"


def facts(found: Iterable[tuple[str, str]]) -> str:
    """Return boxes, each of a number and what it is."""
    boxes = (f'<div class="fact"><b>{text(a)}</b><span>{text(b)}</span></div>' for a, b in found)
    return f'<div class="facts">{"".join(boxes)}</div>'


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[Any]],
    numeric: Callable[[int], bool] = lambda column: False,
    high: bool = False,
) -> str:
    """Return a table; ``numeric`` tells which columns stand at the right, ``high`` lets a long one scroll."""

    def cells(tag: str, row: Sequence[Any]) -> str:
        marks = [' class="n"' if numeric(k) else "" for k in range(len(row))]
        return "".join(f"<{tag}{mark}>{text(v)}</{tag}>" for mark, v in zip(marks, row, strict=True))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', header)}</tr></thead>" if header else ""
    return f'<div class="scroll{" high" if high else ""}"><table>{head}<tbody>{body}</tbody></table></div>'
