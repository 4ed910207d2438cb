"""Join the modules of the page into one script, for hosts that cannot load modules: a file, a notebook."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path

__all__ = ["WEB", "bundle", "stylesheet"]

WEB = Path(__file__).parent / "web"
"""The folder of the page's modules."""

_IMPORT = re.compile(r'^import\s+(?:([^;"]+?)\s+from\s+)?"([^"]+)";[ \t]*$', re.MULTILINE)
_AGAIN = re.compile(r'^export\s*\{([^}]*)\}\s*from\s*"([^"]+)";[ \t]*$', re.MULTILINE)
_DECLARED = re.compile(r"^export\s+((?:async\s+)?(?:function\*?|class|const|let)\s+(\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export\s+default\s+", re.MULTILINE)
_LISTED = re.compile(r"(^|[;}])export\s*\{([^}]*)\};?[ \t]*$", re.MULTILINE)
_LATER = re.compile(r'\bimport\("([^"]+)"\)')

_TOKEN = re.compile(
    r"""(?P<gap>(?:\s|//[^\n]*|/\*.*?\*/)+)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|[\w$]+|.""",
    re.DOTALL,
)
_TEMPLATE = re.compile(r"(?:\\.|\$(?!\{)|[^\\$`])*(?:`|\$\{)", re.DOTALL)
"""A template's text, after ` or the end of a hole, to its own end or to the next hole."""
_PATTERN = re.compile(r"/(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\[\n])+/\w*")
_VALUE = re.compile(r"(?!(?:return|typeof|case|of|in)\Z)[\w$]|[)\]}]\Z|.*[`\"']\Z", re.DOTALL)
"""A token after which / divides; after others it begins a regular expression."""
_APART = re.compile(r"[\w$][\w$]|\+\+|--|//|\d\.")
"""Two characters that would mean something else without the space between them."""


def bundle(entry: str, then: str = "", folder: Path = WEB, leave_out: Collection[str] = ()) -> str:
    """Return one script: all modules that an entry needs, each once, those that it imports first.

    Each module is a function that is called once and returns what it exports: at once, or, where it is
    imported by ``import("...")`` alone, when that is called, in a task of its own. What the entry exports is
    ``entry`` in the last line.

    Parameters
    ----------
    entry : str
        A module's file name.
    then : str
        The last line, such as ``entry.start(document.body);`` or ``export default entry.default;``.
    folder : path
    leave_out : collection of str
        Modules of the folder that are not needed, of those that are imported without names or later.

    Raises
    ------
    FileNotFoundError
        If a module is missing.
    ValueError
        If modules import each other in a circle, or one imports from elsewhere than the folder.

    Examples
    --------
    >>> script = bundle("state.js", "entry.read(location.hash);")
    >>> script.splitlines()[-1]
    'entry.read(location.hash);'
    """
    done: dict[str, str] = {}
    _add(folder / entry, folder, done, (), leave_out)
    head = [
        '"use strict";',
        "const modules = {};",
        "const later = (make) => { let made; return () => (made ??= make()); };",
    ]
    lines = [*head, *done.values(), f'const entry = modules["{entry}"];']
    return "\n".join([*lines, *filter(None, [then])]) + "\n"


def stylesheet() -> str:
    """Return all style sheets of the page as one, without comments and spaces."""
    text = "".join((WEB / name).read_text(encoding="utf-8") for name in ("vendor/uplot.css", "style.css"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*([{};,>])\s*", r"\1", re.sub(r"\s+", " ", text))
    return text.replace(": ", ":").replace(";}", "}").strip()


def _name(path: Path, folder: Path) -> str:
    return path.resolve().relative_to(folder.resolve()).as_posix()


def _add(
    path: Path, folder: Path, done: dict[str, str], above: tuple[str, ...], leave_out: Collection[str]
) -> str:
    """Add a module, after those that it imports; return its name."""
    name = _name(path, folder)
    if name in above:
        raise ValueError(f"modules import each other in a circle: {' -> '.join((*above, name))}.")
    if name in done:
        if "= later(" in done[name][:99]:
            raise ValueError(f"{name} is imported later by one module, and at once by another.")
        return name
    exports: dict[str, str] = {}
    head: list[str] = []

    def needed(target: str) -> str:
        if not target.startswith("."):
            raise ValueError(f"{name} imports {target!r}; only files of the page's folder can be joined.")
        return f'modules["{_add(path.parent / target, folder, done, (*above, name), leave_out)}"]'

    def imported(match: re.Match[str]) -> str:
        if match[1]:
            head.extend(_bindings(match[1], needed(match[2])))
        elif _name(path.parent / match[2], folder) not in leave_out:
            needed(match[2])
        return ""

    def later(match: re.Match[str]) -> str:
        target = _name(path.parent / match[1], folder)
        if target in done:
            raise ValueError(f"{target} is imported later by {name}, and was already: do it at one place.")
        if target not in leave_out:
            needed(match[1])
            done[target] = done[target].replace("= (", "= later(", 1).removesuffix("();") + ";"
        return f'new Promise((done) => setTimeout(() => done(modules["{target}"]())))'

    def passed_on(match: re.Match[str]) -> str:
        module = needed(match[2])
        exports.update({outer: f"{module}.{inner}" for inner, outer in _pairs(match[1])})
        return ""

    def declared(match: re.Match[str]) -> str:
        exports[match[2]] = match[2]
        return match[1]

    def listed(match: re.Match[str]) -> str:
        exports.update({outer: inner for inner, outer in _pairs(match[2])})
        return match[1]

    def by_default(match: re.Match[str]) -> str:
        exports["default"] = "__default"
        return "const __default = "

    text = path.read_text(encoding="utf-8")
    for pattern, replace in (
        (_AGAIN, passed_on),
        (_IMPORT, imported),
        (_DECLARED, declared),
        (_DEFAULT, by_default),
        (_LISTED, listed),
        (_LATER, later),
    ):
        text = pattern.sub(replace, text)
    found = ", ".join(outer if outer == inner else f'"{outer}": {inner}' for outer, inner in exports.items())
    own = text if name.startswith("vendor/") else without_comments(text)
    body = "\n".join([*head, own.strip("\n")])
    done[name] = f'modules["{name}"] = (() => {{\n{body}\nreturn {{ {found} }};\n}})();'
    return name


@lru_cache(128)
def without_comments(text: str) -> str:
    """Return code without comments, and without the spaces that it does not need; its lines remain lines."""
    found, last, gap, at = [], "", "", 0
    holes: list[int] = []  # the braces open in each hole of a template that we are in
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # it takes any character
        if match["gap"]:
            gap, at = "\n" if "\n" in match[0] else " ", match.end()
            continue
        token = match[0]
        if token == "/" and not _VALUE.match(last):
            match = _PATTERN.match(text, at) or match
        elif token == "`" or (token == "}" and holes[-1:] == [0]):
            if token == "}":
                holes.pop()
            match = _TEMPLATE.match(text, at + 1) or match
            if match[0].endswith("{"):
                holes.append(0)
        elif holes and token in "{}":
            holes[-1] += 1 if token == "{" else -1
        token, at = text[at : match.end()], match.end()
        if last and (gap == "\n" or _APART.match(last[-1] + token[0])):
            found.append(gap)
        found.append(token)
        last, gap = token, ""
    return "".join(found) + ("\n" if gap == "\n" else "")


def _bindings(clause: str, module: str) -> list[str]:
    """Return the lines that bind the names of an import's clause."""
    lines = []
    for part in re.findall(r"\{[^}]*\}|\*\s+as\s+\w+|\w+", clause):
        if part.startswith("{"):
            names = (inner if inner == outer else f"{inner}: {outer}" for inner, outer in _pairs(part[1:-1]))
            lines.append(f"const {{ {', '.join(names)} }} = {module};")
        elif part.startswith("*"):
            lines.append(f"const {part.split()[-1]} = {module};")
        else:
            lines.append(f"const {part} = {module}.default;")
    return lines


def _pairs(names: str) -> list[tuple[str, str]]:
    """Return the names of a list ``a, b as c`` as pairs: ``(a, a), (b, c)``."""
    found = []
    for part in filter(None, (part.strip() for part in names.split(","))):
        inner, _, outer = part.partition(" as ")
        found.append((inner.strip(), outer.strip() or inner.strip()))
    return found
