"""Join the modules of the page into one script, for hosts that cannot load modules: a file, a notebook."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["WEB", "bundle", "stylesheet"]

WEB = Path(__file__).parent / "web"
"""The folder of the page's modules."""

_IMPORT = re.compile(r'^import\s+(?:([^;"]+?)\s+from\s+)?"([^"]+)";[ \t]*$', re.MULTILINE)
_AGAIN = re.compile(r'^export\s*\{([^}]*)\}\s*from\s*"([^"]+)";[ \t]*$', re.MULTILINE)
_DECLARED = re.compile(r"^export\s+((?:async\s+)?(?:function\*?|class|const|let)\s+(\w+))", re.MULTILINE)
_DEFAULT = re.compile(r"^export\s+default\s+", re.MULTILINE)
_LISTED = re.compile(r"(^|[;}])export\s*\{([^}]*)\};?[ \t]*$", re.MULTILINE)


def bundle(entry: str, then: str = "", folder: Path = WEB) -> str:
    """Return one script: all modules that an entry needs, each once, those that it imports first.

    Each module is a function that is called once and returns what it exports. What the entry exports is
    ``entry`` in the last line.

    Parameters
    ----------
    entry : str
        A module's file name.
    then : str
        The last line, such as ``entry.start(document.body);`` or ``export default entry.default;``.
    folder : path

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
    _add(folder / entry, folder, done, ())
    lines = ['"use strict";', "const modules = {};", *done.values(), f'const entry = modules["{entry}"];']
    return "\n".join([*lines, *filter(None, [then])]) + "\n"


def stylesheet() -> str:
    """Return all style sheets of the page as one, without comments and line breaks."""
    text = "".join((WEB / name).read_text(encoding="utf-8") for name in ("vendor/uplot.css", "style.css"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    return re.sub(r"\s*([{};])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()


def _add(path: Path, folder: Path, done: dict[str, str], above: tuple[str, ...]) -> str:
    """Add a module, after those that it imports; return its name."""
    name = path.resolve().relative_to(folder.resolve()).as_posix()
    if name in above:
        raise ValueError(f"modules import each other in a circle: {' -> '.join((*above, name))}.")
    if name in done:
        return name
    exports: dict[str, str] = {}
    head: list[str] = []

    def needed(target: str) -> str:
        if not target.startswith("."):
            raise ValueError(f"{name} imports {target!r}; only files of the page's folder can be joined.")
        return f'modules["{_add(path.parent / target, folder, done, (*above, name))}"]'

    def imported(match: re.Match[str]) -> str:
        module = needed(match[2])
        if match[1]:
            head.extend(_bindings(match[1], module))
        return ""

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
    ):
        text = pattern.sub(replace, text)
    found = ", ".join(outer if outer == inner else f'"{outer}": {inner}' for outer, inner in exports.items())
    body = "\n".join([*head, without_comments(text)])
    done[name] = f'modules["{name}"] = (() => {{\n{body}\nreturn {{ {found} }};\n}})();'
    return name


def without_comments(text: str) -> str:
    """Return code without the lines that are comments, empty lines and indentation, templates left alone."""
    lines, within, comment = [], False, False
    for line in text.split("\n"):
        words = line.strip()
        if not within and (comment or words.startswith("/*")):
            comment = not words.endswith("*/")
            continue
        if not within and (not words or words.startswith("//")):
            continue
        lines.append(line if within else line.lstrip())
        within ^= line.count("`") % 2 == 1
    return "\n".join(lines)


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
