"""What all commands share: options, errors, how they print."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

import neocog
from neocog.kernels import BACKENDS
from neocog.training import NonFiniteLossError

app = typer.Typer(
    name="neocog",
    help="Convolutional networks you can see through: train on your images, look inside, carry the model on.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Model = Annotated[Path, typer.Argument(help="A model file or a run directory.", metavar="MODEL")]
Kernels = Annotated[str, typer.Option(help=f"Kernel backend: {', '.join(BACKENDS)}.")]

Command = TypeVar("Command", bound=Callable[..., None])

MENDABLE = (NonFiniteLossError, ValueError, TypeError, IndexError, OSError, ImportError, MemoryError)


def report_errors(command: Command) -> Command:
    """Turn errors that the user can mend into one line and an exit code."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except MENDABLE as error:
            text = str(error) or "out of memory."
            if kwargs.get("as_json"):
                print(to_json({"error": text}))
            Console(stderr=True, highlight=False).print(f"[red]Error:[/] {escaped(text)}", soft_wrap=True)
            raise typer.Exit(1 if isinstance(error, NonFiniteLossError | ConnectionError) else 2) from None

    return run  # type: ignore[return-value]


def escaped(text: object) -> str:
    """Return text that Rich prints as it is."""
    from rich.markup import escape

    return escape(str(text))


def to_json(data: Any) -> str:
    """JSON as other programs read it: what is not a finite number is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, list | tuple) else value

    return json.dumps(plain(data), allow_nan=False)


def say(text: str) -> None:
    """Print a line of Rich markup, however long."""
    Console(highlight=False).print(text, soft_wrap=True)


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(neocog.__version__)
        raise typer.Exit
