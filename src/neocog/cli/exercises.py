"""Define the command that works through the book's exercises."""

from __future__ import annotations

import ast
import runpy
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markdown import Markdown

from neocog.cli.common import Json, app, escaped, report_errors, say, to_json

if TYPE_CHECKING:
    from neocog.exercises import Exercise


@app.command()
@report_errors
def exercises(
    name: Annotated[
        str,
        typer.Argument(help="A chapter, as 4, or an exercise, as 4.3; without it all chapters are listed."),
    ] = "",
    answer: Annotated[
        str | None, typer.Option(help="Check an answer: a number, a word, or a tuple as 16,8,28,28.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Check the function in this Python file that the exercise asks for.")
    ] = None,
    solution: Annotated[bool, typer.Option("--solution", help="Show the solution.")] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the inputs to run a function on; default a new one.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the book's exercises and what you have solved, and check your answers and programs.

    Exit code 1 if an answer or a program is not right. What is solved is kept in a file of yours; the
    environment variable NEOCOG_PROGRESS names another file, or is off.

    Example: [bold]neocog exercises 4[/]

    Example: [bold]neocog exercises 1.2 --answer 608[/]

    Example: [bold]neocog exercises 4.8 --file mine.py[/]
    """
    from neocog import exercises as book
    from neocog.exercises.exercise import find_exercise
    from neocog.exercises.plain_math import plain_math

    asked = [option for option in (answer, file, solution or None) if option is not None]
    if asked and "." not in name:
        raise ValueError(f"--answer, --file and --solution need an exercise, as 4.3, got {name!r}.")
    if len(asked) > 1:
        raise ValueError("only one of --answer, --file and --solution may be given.")
    if not name:
        _list_chapters(as_json)
    elif "." not in name:
        if not name.isdecimal():
            raise ValueError(f"NAME must be a chapter, as 4, or an exercise, as 4.3, got {name!r}.")
        _list_questions(list(book.chapter(int(name)).exercises), as_json)
    elif solution:
        text = book.solution(name)
        if as_json:
            print(to_json({"name": name, "solution": text}))
        else:
            Console().print(Markdown(plain_math(text)))
    elif answer is not None:
        _check(name, _value(answer), seed, as_json)
    elif file is not None:
        _check(name, _function(name, file), seed, as_json)
    else:
        _list_questions([find_exercise(name)], as_json)


def _list_chapters(as_json: bool) -> None:
    from neocog import exercises as book

    found = book.progress()
    if as_json:
        rows = [vars(chapter) for chapter in found.chapters]
        print(to_json({"chapters": rows, "next": found.next.name if found.next else None}))
    else:
        print(found)


def _list_questions(exercises: list[Exercise], as_json: bool) -> None:
    from neocog.exercises.course import solved
    from neocog.exercises.plain_math import plain_math

    done = solved()
    if as_json:
        keys = ("name", "stars", "kind", "question")
        print(to_json([{k: getattr(e, k) for k in keys} | {"solved": e.name in done} for e in exercises]))
        return
    for one in exercises:
        mark = "[green]✓[/]" if one.name in done else " "
        say(f"{mark} [bold]{one.name}[/] {'★' * one.stars} {escaped(plain_math(one.question))}")


def _check(name: str, given: Any, seed: int | None, as_json: bool) -> None:
    """Check an answer or a function, and say what is wrong; exit code 1 if anything is."""
    from neocog import exercises as book
    from neocog.exercises.plain_math import plain_math

    verdict = book.check(name, given, seed=seed)
    if as_json:
        print(to_json({"name": name, "right": bool(verdict), "message": verdict.message}))
    else:
        say(f"[{'green' if verdict else 'yellow'}]{escaped(plain_math(verdict.message))}[/]")
    if not verdict:
        raise typer.Exit(1)


def _value(text: str) -> Any:
    """Read a number, a tuple or a list; anything else is a word."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError):
        return text


def _function(name: str, file: Path) -> Any:
    """Run a file and return the function that an exercise asks for."""
    from neocog.exercises.exercise import find_exercise

    exercise = find_exercise(name)
    if exercise.program is None:
        raise ValueError(f"exercise {name} asks for no function; give --answer.")
    wanted = exercise.function
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}.")
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        found = runpy.run_path(str(file), run_name="exercise")
    except (OSError, SyntaxError):
        raise
    except Exception as problem:
        lines = [line for frame, line in traceback.walk_tb(problem.__traceback__) if _is(frame, file)]
        place = f" in line {lines[-1]}" if lines else ""
        raise ValueError(f"{file} raises {type(problem).__name__}{place}: {problem}") from problem
    if wanted not in found:
        functions = [key for key, value in found.items() if callable(value) and not key.startswith("_")]
        raise ValueError(f"{file} must define {wanted}, and defines {', '.join(functions) or 'no function'}.")
    return found[wanted]


def _is(frame: Any, file: Path) -> bool:
    return bool(frame.f_code.co_filename == str(file))
