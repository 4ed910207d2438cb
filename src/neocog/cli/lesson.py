"""Define the command that lists the lessons, and writes one as a living page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neocog.cli.common import Json, app, escaped, report_errors, say, to_json


@app.command("lesson")
@report_errors
def lesson_command(
    name: Annotated[
        str, typer.Argument(help="A lesson, or a TOML file of your own; without it all are listed.")
    ] = "",
    out: Annotated[
        Path | None, typer.Argument(help="The HTML file; default NAME.html in the current directory.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the lessons, or train the network of one and write the lesson as one HTML file.

    It needs no server and no Python to be read: open it, mail it, put it into the page of a course.

    Example: [bold]neocog lesson[/]

    Example: [bold]neocog lesson relu[/]
    """
    from neocog.studio import lessons

    if not name:
        found = [lessons.find(one) for one in lessons.names()]
        if as_json:
            print(to_json([{"name": one.name, "title": one.title, "about": one.about} for one in found]))
            return
        for one in found:
            say(f"[bold]{one.name:12}[/] {escaped(one.title)}. {escaped(one.about)}")
        return
    from neocog.studio.lesson_page import write_lesson_page

    path = write_lesson_page(name, Path(f"{Path(name).stem}.html") if out is None else out)
    if as_json:
        print(to_json({"page": str(path), "bytes": path.stat().st_size}))
        return
    say(f"page: [bold]{escaped(path)}[/] ({path.stat().st_size / 1000:,.0f} KB)")
