"""Define the command that opens the studio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neocog.cli.common import Kernels, app, escaped, report_errors, say
from neocog.data.sources import sources_help, split_source


@app.command()
@report_errors
def studio(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to begin with: a run directory, images, or a model file and images. "
            f"Images are: {sources_help()} Default: digits.",
            metavar="[RUN | SOURCE | MODEL [SOURCE]]",
            show_default=False,
        ),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page, or only print its address.")
    ] = True,
    port: Annotated[
        int | None, typer.Option(help="Port; default 7391, or any that is free.", min=0, max=65535)
    ] = None,
    runs: Annotated[Path, typer.Option(help="Where sessions are saved as runs, and opened again.")] = Path(
        "runs"
    ),
    loss: Annotated[
        str, typer.Option(help="softmax: an image is of one class; or bce: it may have several labels.")
    ] = "softmax",
    kernels: Kernels = "auto",
) -> None:
    """Train a network in the browser, and look at every number while it trains.

    The server answers to this machine's own browser only. Ctrl-C ends it: what was trained is saved.

    Example: [bold]neocog studio[/]

    Example: [bold]neocog studio photos[/]

    Example: [bold]neocog studio runs/digits[/]
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"the studio needs {error.name}: pip install 'neocog[studio]'.", name=error.name
        ) from None
    from neocog.studio.hosting import serve
    from neocog.studio.server import Studio
    from neocog.studio.work import Work, data_of_model, model_work, run_work, source_work
    from neocog.validation import one_of

    given = list(what or ["digits"])
    sources = {
        "digits": ("handwritten digits, 8 x 8", "digits"),
        "lines": ("line patterns, 8 x 8", "lines"),
        "lines-b": ("line patterns with other noise", "lines-b"),
    }
    one_of("kernels", kernels, ("auto", "reference", "im2col", "fused"))
    run = Path(given[0]) if len(given) == 1 and (Path(given[0]) / "config.json").is_file() else None
    if len(given) == 1 and Path(given[0]).suffix in (".neocog", ".onnx") and Path(given[0]).is_file():
        given.append(data_of_model(Path(given[0])))
    model = Path(given.pop(0)) if len(given) == 2 and Path(given[0]).exists() else None
    if len(given) != 1:
        raise ValueError(f"name a run, images, or a model and images, got {' '.join(what or [])}.")
    key = "digits"
    if run is None:
        kind, path = split_source(given[0])
        key = given[0] if given[0] in sources else "given"
        if key == "given":
            name = Path(path).name if path else kind
            sources = {"given": (name, f"{kind}:{path}" if path else kind), **sources}

    # What is wrong is said here, and not in the page.
    opened = {} if run is not None else {key: source_work(key, *sources[key], kernels, loss)}

    def begin() -> Work:
        if run is not None:
            return run_work(run, run.name, kernels)
        return opened[key] if model is None else model_work(model, opened[key])

    begin()
    held = Studio(sources, begin, runs, kernels, opened=opened)
    for path in serve(held, port, browser, lambda line: say(escaped(line))):
        say(f"saved: [bold]{escaped(path)}[/]   (go on: neocog studio {escaped(path)})")
