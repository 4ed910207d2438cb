"""The rules of the house: what may import what, and when."""

import ast
import functools
import re
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
    {"deprecation", "errors", "validation", "representation", "atomic", "locking", "forking", "budgets"},
    {"kernels"},
    {"initializers"},
    {"layers"},
    {"losses", "schedules", "optimizers"},
    {"models"},
    {"data"},
    {"model_file"},
    {"serialization"},
    {"compilation"},
    {"interop"},
    {"training"},
    {"kinks"},
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
    {"resolution"},
    {"baselines"},
    {"runs"},
    {"sweeps"},
    {"report"},
    {"studio"},
    {"support"},
    {"cli"},
    {"__main__"},
]


def module_name(path, root=SOURCE.parent):
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path, modules):
    """Yield which of some modules a file imports: also inside functions, and for its types only."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def import_graph(paths, root):
    """Map each module to those of the others that it imports."""
    modules = {module_name(path, root) for path in paths}
    return {module_name(path, root): set(imports(path, modules)) & modules for path in paths}


MODULES = [module_name(path) for path in FILES]


@functools.cache
def graph():
    return import_graph(FILES, SOURCE.parent)


def floor(module):
    part = module.split(".")[1] if "." in module else ""
    (level,) = [i for i, floor in enumerate(FLOORS) if part in floor]
    return level


def test_importing_neocog_loads_numpy_and_the_standard_library_only():
    code = (
        "import sys, numpy.random; before = {m.split('.')[0] for m in sys.modules}\n"
        "import neocog\n"
        "used = [getattr(neocog, name) for name in neocog.__all__ if not name.startswith('ConvNet')]\n"
        "after = {m.split('.')[0] for m in sys.modules}\n"
        "print(sorted(after - before - set(sys.stdlib_module_names)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['neocog']"


def test_a_module_is_loaded_when_a_name_of_it_is_first_used():
    code = (
        "import sys, neocog\n"
        "print([m for m in sys.modules if m.startswith('neocog.') or m == 'numpy'])\n"
        "neocog.SGD\n"
        "print('neocog.optimizers' in sys.modules, 'neocog.training' in sys.modules)\n"
        "print(neocog.inspection.explain.__name__, hasattr(neocog, 'inspections'))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split("\n")[:3] == ["[]", "True False", "explain False"]


def test_tools_that_read_the_code_see_the_public_names():
    tree = ast.parse(Path(neocog.__file__).read_text(encoding="utf-8"))
    (static,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {name.asname for node in static.body for name in node.names} - {None}
    assert seen == set(neocog.__all__) - set(neocog.layers.__all__)
    assert set(neocog.__all__) <= set(dir(neocog))


@pytest.mark.parametrize("module", MODULES)
def test_no_import_from_a_higher_floor(module):
    assert [other for other in graph()[module] if floor(other) > floor(module)] == []


def test_the_map_in_contributing_draws_the_floors():
    text = (BENCHMARKS.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    ((?:\w+(?:\.py|/)(?: +|$))+)", text, re.MULTILINE)
    level = {name: i for i, line in enumerate(lines) for name in re.findall(r"\w+(?=\.py|/)", line)}
    parts = {
        module: module.split(".")[1] for module in MODULES if module not in ("neocog", "neocog.__main__")
    }
    assert set(level) == set(parts.values())
    for module, part in parts.items():
        assert [other for other in graph()[module] & set(parts) if level[parts[other]] > level[part]] == []


def test_no_import_circle():
    assert "neocog.compilation" in graph()["neocog.training.loop"]  # inside a function
    assert "neocog.training.state" in graph()["neocog.inspection.statistics"]  # for its types only
    TopologicalSorter(graph()).prepare()  # raises CycleError


def test_no_import_circle_in_the_benchmarks():
    graph = import_graph(list(BENCHMARKS.rglob("*.py")), BENCHMARKS)
    assert graph["results"] == {"drawing", "jobs", "rows"}  # the imports are seen, those in functions, too
    TopologicalSorter(graph).prepare()


def test_one_door_leads_up():
    """Kernels find their backends, and what compiles whole networks, by name; neocog itself is above all."""
    named = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in graph() and node.value != "neocog":
                named.add((module_name(path), node.value))
    kernels = {
        ("neocog.kernels.choice", f"neocog.kernels.{name}") for name in ("reference", "columns", "fused")
    }
    assert named == kernels | {("neocog.kernels", "neocog.compilation")}


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_plotly_is_drawn_with_in_figures_only(path):
    drawing = module_name(path).split(".")[1:2]
    if drawing in (["figures"], ["report"]):
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


@functools.cache
def imported():
    """Return the modules that the packages of entries, and what uses them, import."""
    used = "neocog.compilation, neocog.inspection, neocog.interop.onnx, neocog.interop.torch"
    code = f"import sys, {used}; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "package",
    [
        "neocog.compilation.lowerings",
        "neocog.inspection.rules",
        "neocog.interop.onnx.operators",
        "neocog.interop.torch.operators",
        "neocog.kernels.fused.operations",
    ],
)
def test_every_file_of_entries_is_imported(package):
    """An entry in a file that nothing imports would be registered by nobody."""
    folder = SOURCE.parent.joinpath(*package.split("."))
    files = {f"{package}.{path.stem}" for path in folder.glob("*.py") if path.stem != "__init__"}
    assert files - {f"{package}.arguments"} <= imported()
