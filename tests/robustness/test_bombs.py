"""Give the command line small files that ask for gigabytes, under a limit of memory: one line each, code 2.

One process takes all of them, so that one that takes memory or crashes is seen at the file after it.
"""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

import neocog
from neocog.data import load_image
from neocog.layers import Conv2D, Dense, Flatten, GlobalAvgPool2D, Sequential

from ..test_budgets import described, jpeg_in_tiff, jpeg_of_scans, swollen  # noqa: TID252

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")

SPARE = 500 * 2**20
"""Bytes that the process may take beyond what it has once everything is imported."""

LIMITS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
LIMITS["NEOCOG_BUDGET_DATA"] = "64M"

PROGRAM = """
import json, resource, sys, time
from typer.testing import CliRunner
import neocog.cli, neocog.interop.onnx, sklearn.datasets, PIL.Image
from neocog.cli import app

run = CliRunner().invoke
run(app, json.loads(sys.stdin.readline()))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {spare}, used + {spare}))
for line in sys.stdin:
    result = run(app, json.loads(line))
    print(json.dumps([result.exit_code, result.stdout, result.stderr]), flush=True)
"""

TITAN = 12_000
"""Pixels in a row and in a column: more than Pillow warns of, not so many that it refuses."""
MESSAGE = "asks for 144,000,000 pixels, more than the 67,108,864 pixels allowed"


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def picture(kind, **options):
    stream = io.BytesIO()
    Image.new("L", (8, 8)).save(stream, kind, **options)
    return bytearray(stream.getvalue())


def png(path):
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", TITAN, TITAN, 8, 0, 0, 0, 0))
    data = png_chunk(b"IDAT", zlib.compress(bytes(2**20)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + data + png_chunk(b"IEND", b""))


def jpeg(path):
    content = picture("JPEG")
    struct.pack_into(">HH", content, content.index(b"\xff\xc0") + 5, TITAN, TITAN)
    path.write_bytes(content)


def tiff(path):
    content = picture("TIFF")
    for tag in (256, 257):
        at = content.index(struct.pack("<HHI", tag, 4, 1))
        struct.pack_into("<I", content, at + 8, TITAN)
    path.write_bytes(content)


def gif(path):
    content = picture("GIF")
    struct.pack_into("<HH", content, 6, TITAN, TITAN)
    path.write_bytes(content)


def gif_of_a_frame_beyond_its_screen(path):
    content = picture("GIF")
    struct.pack_into("<HH", content, content.index(b",\0\0\0\0\x08\0\x08\0") + 5, TITAN, TITAN)
    path.write_bytes(content)


def webp(path):
    """An extended header with a canvas, and a small picture."""
    inner = picture("WEBP", lossless=True)[12:]
    size = (TITAN - 1).to_bytes(3, "little")
    chunks = b"VP8X" + struct.pack("<I", 10) + bytes(4) + size + size + bytes(inner)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks)


def bmp(path):
    content = picture("BMP")
    struct.pack_into("<ii", content, 18, TITAN, TITAN)
    path.write_bytes(content)


def ppm(path):
    path.write_bytes(b"P6\n%d %d\n255\n" % (TITAN, TITAN))


PICTURES = {
    "png": (png, MESSAGE),
    "jpg": (jpeg, MESSAGE),
    "tif": (tiff, MESSAGE),
    "gif": (gif, MESSAGE),
    "frame.gif": (gif_of_a_frame_beyond_its_screen, MESSAGE),
    "webp": (webp, ""),  # whose decoder itself finds that the two sizes differ
    "bmp": (bmp, MESSAGE),
    "ppm": (ppm, MESSAGE),
    "scans.jpg": (lambda path: jpeg_of_scans(path, 600), "scans, asks for"),
}


def small_network():
    network = Sequential(flat=Flatten(), dense=Dense(64, 2, rng=0))
    network.input_shape, network.class_names = (1, 8, 8), ("a", "b")
    return network


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    """Commands, each with the file that it must name and a part of its answer."""
    folder = tmp_path_factory.mktemp("bombs")
    model = folder / "model.neocog"
    neocog.save(small_network(), model)
    found = {}
    for suffix, (make, message) in PICTURES.items():
        make(folder / f"bomb.{suffix}")
        found[suffix] = ["predict", model, folder / f"bomb.{suffix}"], f"bomb.{suffix}", message
    jpeg_in_tiff(folder / "scans.tif", [(folder / "bomb.scans.jpg").read_bytes()], 1024, 1024)
    found["scans.tif"] = ["predict", model, folder / "scans.tif"], "scans.tif", "scans, asks for"

    header = io.BytesIO()
    shape = (5000, 1024, 1024)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(folder / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as stream:
            stream.write(header.getvalue())
            for _ in range(50):  # the claim alone is enough
                stream.write(bytes(2**20))
        archive.writestr("y.npy", b"")
    found["npz"] = ["evaluate", model, f"npz:{folder / 'bomb.npz'}"], "bomb.npz", "x.npy must hold"

    (folder / "idx").mkdir()
    squeezed = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = squeezed.compress(bytes([0, 0, 8, 3]) + struct.pack(">III", 2**17, 256, 256))
    content += squeezed.compress(bytes(2**22)) + squeezed.flush()
    (folder / "idx" / "train-images-idx3-ubyte.gz").write_bytes(content)
    (folder / "idx" / "train-labels-idx1-ubyte.gz").write_bytes(content)
    name = "train-images-idx3-ubyte.gz"
    found["idx"] = ["evaluate", model, f"idx:{folder / 'idx'}"], name, "account for the file's length"

    (folder / "bomb.csv").write_text("label,a,b,c,d\n" + "1," * 6_000_000)
    found["csv"] = ["evaluate", model, f"csv:{folder / 'bomb.csv'}"], "bomb.csv", "columns, more than"

    swollen(folder / "swollen.neocog", [described("BatchNorm1D", num_features=99_999)] * 2000)
    message = "is larger than the arrays in the file"
    found["layers"] = ["summary", folder / "swollen.neocog"], "swollen.neocog", message
    network = Sequential(Conv2D(1, 2, 1), GlobalAvgPool2D())
    network.input_shape = (1, 20_000, 20_000)
    neocog.save(network, folder / "shape.neocog")
    found["input_shape"] = ["summary", folder / "shape.neocog"], "shape.neocog", "numbers, more than"
    network = Sequential(Conv2D(1, 2, 1, padding=10_000), GlobalAvgPool2D())
    neocog.save(network, folder / "padding.neocog")  # which does not say the shape of its images
    command = ["evaluate", folder / "padding.neocog", "digits"]
    found["padding"] = command, "padding.neocog", "for images of shape (1, 8, 8), asks for"

    doubling(folder / "bomb.onnx")
    message = "its result is too large"
    found["onnx"] = ["summary", folder / "bomb.onnx"], "bomb.onnx", message

    for key, change in {
        "filters": {"filters": [90_000, 90_000]},
        "many filters": {"filters": [1] * 300_000},
    }.items():
        run = folder / key
        run.mkdir()
        settings = {"source": "digits", "network": "conv-net"} | change
        (run / "config.json").write_text(json.dumps({"settings": settings}))
        found[key] = ["train", "--resume", run], "config.json", "more than the"
    return found


def doubling(path):
    """Constants that are joined with themselves thirty times."""
    onnx = pytest.importorskip("onnx")
    nodes = [onnx.helper.make_node("Concat", [f"c{k}", f"c{k}"], [f"c{k + 1}"], axis=1) for k in range(30)]
    nodes.append(onnx.helper.make_node("Gemm", ["x", "c30"], ["y"]))
    graph = onnx.helper.make_graph(
        nodes,
        "bomb",
        [onnx.helper.make_tensor_value_info("x", 1, ["N", 64])],
        [onnx.helper.make_tensor_value_info("y", 1, ["N", 2**30])],
        [onnx.numpy_helper.from_array(np.ones((64, 1), "f4"), "c0")],
    )
    onnx.save(onnx.helper.make_model(graph), path)


@pytest.fixture(scope="module")
def answers(bombs):
    """What the command line says of each; None from the one on at which its process died."""
    first = next(iter(bombs.values()))[0][1]
    lines = [["summary", str(first)], *([str(word) for word in words] for words, _, _ in bombs.values())]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(spare=SPARE)],
        input="\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | LIMITS,
    )
    found = [json.loads(line) for line in process.stdout.splitlines()]
    found += [[None, "", process.stderr]] * (len(bombs) - len(found))
    return dict(zip(bombs, found, strict=True))


NAMES = [*PICTURES, "scans.tif", "npz", "idx", "csv", "layers", "input_shape", "padding", "onnx", "filters"]


@pytest.mark.parametrize("name", [*NAMES, "many filters"])
def test_a_bomb_is_refused_in_one_line(name, bombs, answers):
    (code, output, errors), (_, file, message) = answers[name], bombs[name]
    assert (code, output, errors.count("\n")) == (2, "", 1), errors
    assert file in errors
    assert message in errors


def test_a_large_picture_within_the_budget_is_read(tmp_path):
    """Of as many pixels as the bombs that are refused have kilobytes."""
    Image.new("L", (2000, 1800)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png", (1, 8, 8)).shape == (1, 8, 8)
