"""Write objects as the calls that make them, and text as a terminal may show it, to any stream."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import sys
from collections.abc import Mapping
from typing import Any

# Control characters, line separators, marks that turn the direction of text, and bytes that are no text.
_UNSAFE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", re.ASCII
)


def printable(text: object, lines: bool = False) -> str:
    r"""Return text with what a terminal would obey, instead of showing it, written as an escape.

    Parameters
    ----------
    text : object
    lines : bool
        Whether line feeds and tabs stay.

    Examples
    --------
    >>> printable("cat\x1b[2J\n")
    'cat\\x1b[2J\\n'
    """

    def escape(found: re.Match[str]) -> str:
        character = found[0]
        return character if lines and character in "\n\t" else ascii(character)[1:-1]

    return _UNSAFE.sub(escape, str(text))


def markup(text: object, lines: bool = False) -> str:
    """Return :func:`printable` text that Rich shows as it is, too."""
    from rich.markup import escape

    return escape(printable(text, lines))


def sentence(remark: str) -> str:
    """Return a remark with a capital letter and a full stop."""
    return f"{remark[0].upper()}{remark[1:]}."


def counted(number: int, thing: str) -> str:
    """Return a number and what it counts, in the plural unless it is one.

    Examples
    --------
    >>> counted(1, "epoch"), counted(2, "epoch")
    ('1 epoch', '2 epochs')
    """
    return f"{number} {thing}{'s' * (number != 1)}"


def is_terminal(stream: Any) -> bool:
    """Return whether a stream is a terminal; one that is None, closed or has no ``isatty`` is none."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError, OSError):
        return False


def say(stream: Any, text: str, end: str = "\n") -> None:
    r"""Write text to a stream, if it takes any: no display may end a computation.

    None (standard output under pythonw and in services) and a closed stream take nothing, an object with
    ``write`` alone will do, and what the stream's encoding cannot show is written as an escape.

    Examples
    --------
    >>> import io
    >>> stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    >>> say(stream, "caf\xe9")
    >>> stream.buffer.getvalue()
    b'caf\\xe9\n'
    """
    if stream is None:
        return
    for proxy in (sys.stdout, sys.stderr):  # of a progress bar, which makes room above itself
        if getattr(proxy, "rich_proxied_file", None) is stream:
            stream = proxy
    with contextlib.suppress(ValueError, BrokenPipeError):  # closed, or its reader is gone
        try:
            stream.write(text + end)
        except UnicodeEncodeError as error:
            shown = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            stream.write(shown + end)
        if hasattr(stream, "flush"):
            stream.flush()


def show(renderable: Any, highlight: bool = True) -> None:
    """Print what Rich can render, such as a table, to standard output, if that takes any; see :func:`say`."""
    from rich.console import Console

    if sys.stdout is None or (hasattr(sys.stdout, "flush") and not getattr(sys.stdout, "closed", False)):
        Console(highlight=highlight).print(renderable)
        return
    text = io.StringIO()
    Console(file=text, highlight=highlight).print(renderable)
    say(sys.stdout, text.getvalue(), end="")


def constructor_call(instance: object, arguments: Mapping[str, Any]) -> str:
    """Write an object as the call that makes it.

    Required arguments come in order, others if they differ from the default; a pair of equal integers is
    written as one integer, except for a ``tuple[int, ...]``, whose length may vary.
    """
    required, optional = [], []
    for name, parameter in inspect.signature(type(instance)).parameters.items():
        if name not in arguments:
            continue
        value = arguments[name]
        if (
            isinstance(value, tuple)
            and "..." not in str(parameter.annotation)
            and len(value) == 2
            and isinstance(value[0], int)
            and value[0] == value[1]
        ):
            value = value[0]
        if parameter.default is parameter.empty:
            required.append(repr(value))
        elif value != parameter.default:
            optional.append(f"{name}={value!r}")
    return f"{type(instance).__name__}({', '.join(required + optional)})"
