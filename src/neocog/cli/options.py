"""Give a command an option for each setting of a run, from the table of settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from neocog.settings import OPTIONS, Option

__all__ = ["with_settings"]


def _option(option: Option) -> Any:
    """Return how Typer writes an option; it writes a truth with its opposite by itself."""
    flags = () if option.kind is bool else (option.flag,)
    return typer.Option(*flags, help=option.help_with_defaults())


def with_settings(command: Callable[..., None], names: Sequence[str] = tuple(OPTIONS)) -> Callable[..., None]:
    """Add the options; the command gets those that were given as a dict, its first argument.

    Parameters
    ----------
    command : function (chosen, ...)
    names : sequence of str
        Of the settings. Default: all.
    """
    first, *others = inspect.signature(command, eval_str=True).parameters.values()

    @functools.wraps(command)
    def run(**given: Any) -> None:
        settings = {name: given.pop(name) for name in names}
        chosen = {
            name: OPTIONS[name].parse(str(value)) for name, value in settings.items() if value is not None
        }
        command(**{first.name: chosen}, **given)

    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [
        inspect.Parameter(
            option.name,
            keyword,
            default=None,
            annotation=Annotated[option.kind | None, _option(option)],
        )
        for option in map(OPTIONS.__getitem__, names)
    ]
    source, *rest = (parameter.replace(kind=keyword) for parameter in others)
    run.__signature__ = inspect.Signature([source, *options, *rest])  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in (source, *options, *rest)}
    return run
