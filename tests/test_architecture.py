"""The rules of the house: what may import what, and when."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import neocog

SOURCE = Path(neocog.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

# A module may import from its own floor and from those before it.
FLOORS = [
    {"deprecation", "errors", "validation", "representation", "atomic"},
    {"kernels"},
    {"initializers"},
    {"layers"},
    {"losses", "schedules", "optimizers"},
    {"models"},
    {"data"},
    {"serialization"},
    {"compilation"},
    {"interop"},
    {"training"},
    {"gradcheck"},
    {"inspection"},
    {"testing"},
    {"estimators"},
    {""},  # neocog/__init__.py
    {"experiments"},
    {"exercises"},
    {"figures"},
    {"recipes"},
    {"settings"},
    {"runs"},
    {"support"},
    {"sweeps"},
    {"report"},
    {"cli"},
    {"__main__"},
]


def module_name(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path, everywhere=True):
    """Modules of neocog that a file imports; those inside functions only if asked for everywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = list(ast.walk(tree)) if everywhere else tree.body
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "neocog":
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "neocog":
                    yield alias.name


MODULES = {module_name(path) for path in FILES}


def floor(module):
    part = module.split(".")[1] if "." in module else ""
    (level,) = [i for i, floor in enumerate(FLOORS) if part in floor]
    return level


def test_importing_neocog_loads_numpy_and_the_standard_library_only():
    code = (
        "import sys, numpy.random; before = {m.split('.')[0] for m in sys.modules}\n"
        "import neocog\n"
        "after = {m.split('.')[0] for m in sys.modules}\n"
        "print(sorted(after - before - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['neocog']"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_nothing_imports_downwards(path):
    module = module_name(path)
    for other in imports(path):
        assert floor(other) <= floor(module), f"{module} imports {other}"


def test_no_import_circle_in_the_benchmarks():
    files = {path.stem: path for path in BENCHMARKS.rglob("*.py")}
    graph = {}
    for name, path in files.items():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        found = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        found |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        graph[name] = found & set(files)
    assert graph["results"] == {"drawing", "jobs", "rows"}  # the imports are seen, those in functions, too
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_no_import_circle():
    graph = {module_name(path): set(imports(path, everywhere=False)) for path in FILES}
    TopologicalSorter(graph).prepare()  # raises CycleError


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_plotly_is_drawn_with_in_figures_only(path):
    drawing = module_name(path).split(".")[1:2]
    if drawing in (["figures"], ["report"], ["studio"]):
        return
    assert "plotly" not in path.read_text(encoding="utf-8")


def test_everything_public_is_documented():
    for name in neocog.__all__:
        thing = getattr(neocog, name)
        assert (thing.__doc__ or "").strip(), f"neocog.{name} has no docstring"


@pytest.mark.parametrize(
    "name", [n for n in neocog.layers.__all__ if n not in ("Layer", "Container", "Sequential", "Graph")]
)
def test_a_layer_states_formula_shapes_and_example(name):
    text = getattr(neocog.layers, name).__doc__
    for part in ("Forward", "Backward", "Shapes:", ">>>"):
        assert part in text, f"{name} does not state {part}"
