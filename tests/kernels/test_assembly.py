"""The register tiles as a 64-bit ARM would run them: LLVM writes its assembly on any machine."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from llvmlite import binding
from numba import config, njit, types

from neocog.kernels.fused import simd

TRIPLE = "aarch64-unknown-linux-gnu"
PROCESSOR = "cortex-a76"  # NEON: 32 registers of 128 bits

binding.initialize_all_targets()
binding.initialize_all_asmprinters()
try:
    ARM = binding.Target.from_triple(TRIPLE).create_target_machine(cpu=PROCESSOR, opt=3)
except RuntimeError:
    ARM = None

pytestmark = pytest.mark.skipif(
    ARM is None or bool(config.DISABLE_JIT), reason="this LLVM has no target for 64-bit ARM, or is not used"
)


@pytest.fixture
def tiles(monkeypatch):
    """Return the module of register tiles as it is on a processor with none of x86's features."""
    monkeypatch.setattr(config, "CPU_FEATURES", "")
    for name in ("emitter", "tiles"):
        full = f"{simd.__name__}.{name}"
        spec = importlib.util.spec_from_file_location(full, Path(simd.__file__).with_name(f"{name}.py"))
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, full, module)
        spec.loader.exec_module(module)
    return module


def inner_loops(tile, dtype):
    """Return the innermost loops with products of a tile, as lists of instructions for ARM."""
    made = tile.__wrapped__
    signature, _ = made(None, *[dtype] * (made.__code__.co_argcount - 1))
    names = ", ".join(f"n{k}" for k in range(len(signature.args)))
    function = njit(eval(f"lambda {names}: tile({names})", {"tile": tile}))
    function.compile(signature.args)
    (compiled,) = function.overloads.values()
    text = compiled.library.get_llvm_str()
    text = re.sub(r'target datalayout = "[^"]*"', f'target datalayout = "{ARM.target_data}"', text)
    text = re.sub(r'target triple = "[^"]*"', f'target triple = "{TRIPLE}"', text)
    lines = [
        line.split("//")[0].strip() for line in ARM.emit_assembly(binding.parse_assembly(text)).split("\n")
    ]
    labels = {line[:-1]: k for k, line in enumerate(lines) if line.endswith(":")}
    back = []  # from where to where a branch goes back
    for k, line in enumerate(lines):
        target = line.split()[-1] if re.match(r"(b|b\.\w+|t?cbn?z|tbn?z)\s", line) else None
        if labels.get(target, k) < k:
            back.append((labels[target], k))
    inner = [(a, z) for a, z in back if not any((c, d) != (a, z) and a <= c and d <= z for c, d in back)]
    loops = [[line for line in lines[a + 1 : z] if line and line[0] != "."] for a, z in inner]
    return [loop for loop in loops if any(line.startswith("fmla") for line in loop)]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("row", "float32"), ("row", "float64"), ("pixel", "float32"), ("pair", "float32"), ("dots", "float32")],
)
def test_a_whole_tile_stays_in_the_registers(tiles, name, dtype):
    """Sums are fused multiply-adds of vectors, none in memory, and nothing is called."""
    rows, vectors = tiles.HEIGHTS[0], tiles.WIDTHS[0]
    tile, products = {
        "row": (tiles._row_tiles([(rows, vectors)]), rows * vectors),
        "pixel": (tiles._pixel_tiles([(rows, vectors)]), rows * vectors),
        "pair": (
            tiles._pixel_tiles([(tiles.PAIR_ROWS, vectors)], paired=True),
            2 * tiles.PAIR_ROWS * vectors,
        ),
        "dots": (tiles.dots, tiles.DOT_ROWS * tiles.DOT_TAPS),
    }[name]
    loop = min(inner_loops(tile, getattr(types, dtype)), key=len)
    kind = {"float32": "4s", "float64": "2d"}[dtype]
    fused = [line for line in loop if re.match(rf"fmla\s+v\d+\.{kind}, v\d+\.{kind}, v\d+\.", line)]
    assert len(fused) == 2 * products  # a vector is two registers
    assert not [line for line in loop if re.match(r"blr?\s|st[rp]\s|.*\[(sp|x29)", line)]
    assert not [line for line in loop if re.match(r"f(mul|add|madd)\s", line)]


@pytest.mark.parametrize("name", ["row", "pixel"])
def test_a_part_of_a_vector_is_loaded_at_once(tiles, name):
    """There are no masks: lane by lane, each behind a branch, it takes twice as many instructions."""
    tile = {"row": tiles._row_tiles, "pixel": tiles._pixel_tiles}[name]([(tiles.ROWS, 1)])
    loop = min(inner_loops(tile, types.float32), key=len)
    assert sum(line.startswith("fmla") for line in loop) == 2 * tiles.ROWS
    assert not [line for line in loop if re.match(r"tbn?z|ld1\s|blr?\s", line)]
    assert len(loop) < 45
