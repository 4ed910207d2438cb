"""Define the command that writes the living page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neocog.cli.common import Json, Layers, app, escaped, report_errors, say, to_json


@app.command("page")
@report_errors
def page_command(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    out: Annotated[
        Path | None, typer.Argument(help="The HTML file; default page.html in the run directory.")
    ] = None,
    lesson: Annotated[
        str,
        typer.Option(
            help="Lead through the page by a lesson: a name that neocog lesson lists, or a TOML file."
        ),
    ] = "",
    layers: Layers = None,
    as_json: Json = False,
) -> None:
    """Write the living page of a run: one HTML file with the network, which works offline and on a phone.

    Draw, or choose a picture; go through the epochs; ask any number where it comes from.

    Example: [bold]neocog page runs/digits digits.html[/]

    Example: [bold]neocog page runs/digits relu.html --lesson relu[/]
    """
    from neocog.studio.lessons import find
    from neocog.studio.page import write_page

    path = write_page(run, out, layers or (), find(lesson) if lesson else None)
    if as_json:
        print(to_json({"page": str(path), "bytes": path.stat().st_size}))
        return
    say(f"page: [bold]{escaped(path)}[/] ({path.stat().st_size / 1000:,.0f} KB)")
