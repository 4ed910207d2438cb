"""Share options, error reports and printing among the commands."""

from __future__ import annotations

import dis
import functools
import json
import math
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from typer.core import TyperGroup

import neocog
from neocog.data.sources import sources_help
from neocog.kernels import BACKENDS
from neocog.layers import Container
from neocog.layers.outputs import OUTPUT_KINDS
from neocog.representation import markup, printable
from neocog.training import NonFiniteLossError

ISSUES = "neocog's issue tracker"
BUG = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130

# Errors that neocog itself raises, by a raise statement, for bad input ...
DELIBERATE = (ValueError, TypeError, IndexError, NonFiniteLossError)
# ... and errors of the machine, its files and its packages, from any code.
OUTSIDE = (OSError, MemoryError, ImportError, SyntaxError)

_show_traceback = False


class _Group(TyperGroup):
    """Take ``--traceback`` after the command, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        before = [arg for arg in args[:end] if arg != "--traceback"]
        return super().parse_args(ctx, ["--traceback"] * (len(before) < end) + before + args[end:])


app = typer.Typer(
    name="neocog",
    help="Convolutional networks you can see through: train on your images, inspect the model, export it.",
    cls=_Group,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _make_importable(names: list[str] | None) -> list[str] | None:
    """Make modules in the current folder importable, as ``python -m`` does."""
    if names and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    return names


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]
Source = Annotated[str, typer.Argument(help=f"Images to train on: {sources_help()}", show_default=False)]
Model = Annotated[Path, typer.Argument(help="A model file or a run directory.", metavar="MODEL")]
Kernels = Annotated[str, typer.Option(help=f"Kernel backend: {', '.join(BACKENDS)}.")]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        help="A layer of your own that the model holds, from an installed module or one in the current "
        "folder; once for each.",
        metavar="MODULE:CLASS",
        callback=_make_importable,
    ),
]

Output = Annotated[
    str,
    typer.Option(
        help=f"What the model's outputs are, if its file does not say it: {', '.join(OUTPUT_KINDS)}.",
        metavar="KIND",
        show_default=False,
    ),
]

escaped = markup
"""Returns text that Rich prints as it is, and the terminal shows and does not obey."""

Command = TypeVar("Command", bound=Callable[..., None])


def report_errors(command: Command) -> Command:
    """Report an exception or Ctrl-C as a line and an exit code, which distinguish bad input from a bug."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            with _ctrl_c_raises():
                command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except KeyboardInterrupt as error:
            Console(stderr=True, highlight=False).print(escaped(str(error) or "interrupted"), soft_wrap=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            text, code = _describe(error, kwargs.get("layers") or ())
            if kwargs.get("as_json"):
                print(to_json({"error": text}))
            if _show_traceback:
                print(printable("".join(traceback.format_exception(error)), lines=True), file=sys.stderr)
            line = " ".join(text.splitlines())
            Console(stderr=True, highlight=False).print(f"[red]Error:[/] {escaped(line)}", soft_wrap=True)
            raise typer.Exit(code) from None

    return run  # type: ignore[return-value]


@contextmanager
def _ctrl_c_raises() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt within the block where it would end the process without a word."""
    ends = signal.getsignal(signal.SIGINT) == signal.SIG_DFL
    if not ends or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _describe(error: Exception, layers: Sequence[str]) -> tuple[str, int]:
    """Return the message for an exception, and the exit code.

    An exception is bad input if it comes from outside neocog, or if neocog raised it by a ``raise``
    statement. One that NumPy, Numba or the interpreter raised in neocog's code is a bug of neocog's; one in
    the code of a layer that the user passed is the user's.
    """
    if _is_expected(error):
        lost = isinstance(error, NonFiniteLossError | ConnectionError)
        return str(error) or "out of memory.", 1 if lost else 2
    users = {name.partition(":")[0].partition(".")[0] for name in layers}
    place, owner = "", "neocog"
    for frame, line in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package == "neocog" or package in users:
            place, owner = f"{frame.f_code.co_filename}, line {line}", package
    found = f"{type(error).__name__}: {error} ({place})"
    if owner != "neocog":
        return f"{found}; the module {owner} is yours.", 2
    return (
        f"this is a bug in neocog {neocog.__version__}: {found}. Please report it to {ISSUES}, with the "
        "command and its traceback, which --traceback shows.",
        BUG,
    )


def _is_expected(error: Exception) -> bool:
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "neocog":
        return False
    if isinstance(error, OUTSIDE) or type(error).__name__ == "OutOfMemoryError":  # a GPU's, in PyTorch
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is None or not isinstance(error, DELIBERATE):
        return False
    code, package = last.tb_frame.f_code, str(last.tb_frame.f_globals.get("__name__")).partition(".")[0]
    return package == "neocog" and code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]


def image_shape(model: object, network: Container) -> tuple[int, int, int]:
    """Return the shape of the images that a network takes; ValueError that names the model if it has none."""
    if network.input_shape is None:
        raise ValueError(
            f"{model} does not say the shape of its images; train it with neocog.fit, or set input_shape."
        )
    return network.input_shape


def picture_shape(model: object, network: Container) -> tuple[int, int, int]:
    """Return the shape of the pictures that a network takes; ValueError if they are no grey or RGB ones."""
    shape = image_shape(model, network)
    if shape[0] not in (1, 3):
        raise ValueError(
            f"{model} takes images of {shape[0]} channels, not 1 or 3 as picture files have: it can be "
            "measured on an .npz archive (neocog evaluate), and used in Python."
        )
    return shape


def class_names(network: Container, classes: int) -> tuple[str, ...]:
    """Return a name for each class of a network: its class names, then numbers."""
    names = tuple(network.class_names or ())[:classes]
    if len(names) == 1 and classes == 2:  # the one output says whether this class applies
        return f"not {names[0]}", names[0]
    return names + tuple(str(k) for k in range(len(names), classes))


def to_json(data: Any) -> str:
    """Write JSON that every parser reads: NaN and infinity become null."""

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


def warn(text: str) -> None:
    """Print a line on standard error."""
    Console(stderr=True, highlight=False).print(escaped(text), soft_wrap=True)


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    show_traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            envvar="NEOCOG_DEBUG",
            help="Show the traceback of an error; also after the command.",
        ),
    ] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    global _show_traceback
    _show_traceback = show_traceback
    # Pillow's, of large pictures: the budget "pixels" says it better.
    warnings.filterwarnings("ignore", "Image size .* could be decompression bomb")
    if version:
        print(neocog.__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())
