"""What a file asks for is refused before it is spent; each case runs under a limit of memory."""

import gzip
import io
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
from neocog.budgets import BUDGETS, BudgetError, budgets, check_budget, limit
from neocog.data import load_csv, load_image, load_npz
from neocog.data.lines import line_patterns
from neocog.data.pictures import _count_scans
from neocog.kernels import use_kernels
from neocog.layers import Conv2D, Dense, GlobalAvgPool2D, Sequential
from neocog.model_file import ModelFileError, read, write

LIMITED = """
import resource, sys
import neocog, neocog.data, numpy, safetensors.numpy, PIL.Image
{imports}
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {spare}, used + {spare}))
try:
    {call}
except ValueError as error:
    print(type(error).__name__, error)
"""


def refused(call, path, spare=200 * 2**20, imports=""):
    """Run a call in a process that may allocate little, and return the error that it prints."""
    code = LIMITED.format(call=call.format(path=repr(str(path))), spare=spare, imports=imports)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    message = done.stdout.strip()
    assert str(path) in message, message
    return message


def test_an_npz_file_that_asks_for_gigabytes(tmp_path):
    path = tmp_path / "a.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (1280, 1024, 1024)}
    )
    zeros = bytes(2**20)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as stream:
            stream.write(header.getvalue())
            for _ in range(60):  # a claim is enough; and so many zeros are 60 kilobytes
                stream.write(zeros)
        archive.writestr("y.npy", b"")
    with pytest.raises(ValueError, match=r"x.npy must hold 5368709120 bytes, holds"):
        load_npz(path)
    x = np.zeros((60, 1024, 1024), np.uint8)
    np.savez_compressed(path, x=x, y=np.arange(60))
    assert path.stat().st_size < 10**5
    message = r"a\.npz asks for 300 MiB, more than the 256 MiB allowed"
    with budgets(data=2**28), pytest.raises(BudgetError, match=message):
        load_npz(path)
    message = refused("with neocog.budgets.budgets(data=2**28): neocog.data.load_npz({path})", path)
    assert "NEOCOG_BUDGET_DATA" in message


def test_many_names_of_one_array_in_an_npz_file_are_summed(tmp_path):
    x = np.zeros((50, 64, 64), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", x_train=x, y_train=np.arange(50), x_val=x, y_val=np.arange(50))
    each = x.size * 5
    with budgets(data=2 * each + 10_000):
        assert load_npz(tmp_path / "a.npz").train[0].shape == (50, 1, 64, 64)
    with budgets(data=2 * each), pytest.raises(BudgetError, match=r"a\.npz asks for"):
        load_npz(tmp_path / "a.npz")


def test_a_large_file_may_ask_for_what_is_in_it(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (50, 16, 16), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(50) % 2)
    with budgets(data=0):
        assert load_npz(tmp_path / "a.npz").image_shape == (1, 16, 16)


def test_an_npz_file_compressed_by_what_needs_gigabytes_itself(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_LZMA) as archive:
        for name in "xy":
            stream = io.BytesIO()
            np.save(stream, np.zeros(3, np.uint8))
            archive.writestr(f"{name}.npy", stream.getvalue())
    with pytest.raises(ValueError, match=r"x\.npy is compressed in a way that NumPy does not use"):
        load_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(("count", "asked"), [(2**13, "640 MiB"), (2**31, "163,840.0 GiB")])
def test_an_idx_file_that_asks_for_gigabytes(tmp_path, count, asked):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    head = bytes([0, 0, 8, 3]) + struct.pack(">III", count, 128, 128)
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = bytes(2**20)
    content = [squeeze.compress(head), *(squeeze.compress(zeros) for _ in range(128)), squeeze.flush()]
    path.write_bytes(b"".join(content))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b""))
    assert path.stat().st_size < 1.4e5
    message = refused("with neocog.budgets.budgets(data=2**26): neocog.data.load_idx({path})", tmp_path)
    assert f"train-images-idx3-ubyte.gz asks for {asked}, more than the 64 MiB allowed" in message


@pytest.mark.parametrize(
    "line", ["1," * 10_000_000, "x" * 200_000_000, "1;" * 10_000_000], ids=["commas", "no end", "semicolons"]
)
def test_a_csv_file_with_a_row_without_end(tmp_path, line):
    path = tmp_path / "a.csv"
    path.write_text("label,a,b,c,d\n" + line)
    message = refused("neocog.data.load_csv({path})", path, 500 * 2**20)
    assert "a.csv, line 2, asks for " in message
    assert "columns, more than the 4,194,304 columns allowed" in message


def test_the_budget_of_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("label,a,b,c,d\n0,1,2,3,4\n1,1,2,3,4\n")
    with budgets(columns=5):
        assert load_csv(path, 0).image_shape == (1, 2, 2)
    with budgets(columns=4), pytest.raises(BudgetError, match=r"a\.csv, line 1, asks for 5 columns, more"):
        load_csv(path, 0)


def swollen(path, layers):
    """Write a model file of these layers, named 0, 1, 2 ..., with one small array in it."""
    network = Sequential(Dense(2, 2))
    neocog.save(network, path)
    header, arrays = read(path)
    children = [[str(k), layer] for k, layer in enumerate(layers)]
    config = {"$map": [["layers", {"$map": children}]]}
    header["network"]["layers"] = {"$layer": "Sequential", "config": config}
    del header["arrays"]
    write(path, header, arrays)


def described(name, **config):
    return {"$layer": name, "config": {"$map": list(config.items())}}


@pytest.mark.parametrize(
    "layers",
    [
        [described("BatchNorm1D", num_features=99_999)] * 2000,
        [described("Dense", in_features=99_999, out_features=99_999)],
        [described("Conv2D", in_channels=1, out_channels=1, kernel_size=[99_999, 99_999])],
        [described("SparseConv2D", in_channels=1, connections=[[0]] * 5, kernel_size=30_000)],
        [described("Dense", in_features=3000, out_features=30)] * 9000,
    ],
    ids=["many", "one", "window", "sparse", "dense"],
)
def test_the_layers_of_a_model_file_are_summed(tmp_path, layers):
    path = tmp_path / "a.neocog"
    swollen(path, layers)
    assert path.stat().st_size < 1.2e6
    message = refused("neocog.load({path})", path)
    assert f"{layers[0]['$layer']} is larger than the arrays in the file" in message


def test_a_model_file_whose_input_shape_asks_for_gigabytes(tmp_path):
    path = tmp_path / "a.neocog"
    network = Sequential(Conv2D(1, 2, 1), GlobalAvgPool2D())
    network.input_shape = (1, 6000, 7000)
    neocog.save(network, path)
    message = refused("neocog.load({path})", path)
    assert "layer '0', for images of shape (1, 6000, 7000), asks for 84,000,000 numbers" in message
    assert "more than the 67,108,864 numbers allowed" in message
    assert "NEOCOG_BUDGET_VALUES" in message
    with budgets(values=84_000_000):
        assert neocog.load(path).input_shape == (1, 6000, 7000)
    with budgets(values=83_999_999), pytest.raises(ModelFileError, match=r"a\.neocog: layer '0'"):
        neocog.load(path)


def test_the_same_of_an_onnx_file(tmp_path):
    from neocog.interop.onnx import OnnxImportError, from_onnx, to_onnx

    path = tmp_path / "a.onnx"
    network = Sequential(Conv2D(1, 2, 1), GlobalAvgPool2D())
    network.input_shape = (1, 600, 700)
    to_onnx(network, path)
    with budgets(values=840_000):
        assert from_onnx(path).input_shape == (1, 600, 700)
    with (
        budgets(values=839_999),
        pytest.raises(OnnxImportError, match=r"a\.onnx: .*asks for 840,000 numbers"),
    ):
        from_onnx(path)
    with budgets(values=419_999), pytest.raises(OnnxImportError, match=r"a\.onnx: input .*asks for 420,000"):
        from_onnx(path)


def test_a_graph_in_a_model_file_is_measured_along_its_arrows(tmp_path):
    from neocog.layers import Add, Concat, Graph

    path = tmp_path / "a.neocog"
    nodes = {
        "conv": (Conv2D(1, 3, 1), "input"),
        "all": (Concat(), "conv", "input"),
        "sum": (Add(), "all", "all"),
    }
    network = Graph(nodes)
    network.input_shape = (1, 10, 10)
    neocog.save(network, path)
    with budgets(values=400):
        neocog.load(path)
    with budgets(values=399), pytest.raises(ModelFileError, match=r"layer 'all', .* asks for 400 numbers"):
        neocog.load(path)


def jpeg_of_scans(path, scans):
    """Write a progressive picture that repeats its last scan."""
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000), dtype=np.uint8)
    Image.fromarray(pixels).resize((1024, 1024)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rindex(b"\xff\xda")
    path.write_bytes(content[:last] + content[last:-2] * scans + content[-2:])


def test_a_jpeg_file_of_thousands_of_scans(tmp_path):
    path = tmp_path / "a.jpg"
    jpeg_of_scans(path, 1)
    assert load_image(path, (1, 8, 8)).shape == (1, 8, 8)
    jpeg_of_scans(path, 600)
    with pytest.raises(BudgetError, match=r"a\.jpg, of 60\d scans, asks for 6\d\d,\d+,\d+ pixels, more"):
        load_image(path, (1, 8, 8))


def test_a_sequential_jpeg_file_whose_components_are_together_is_not_searched_for_further_scans(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(stream, "JPEG")
    content = stream.getvalue()
    scan = content[content.rindex(b"\xff\xda") : -2]
    (tmp_path / "a.jpg").write_bytes(content[:-2] + 9 * scan + content[-2:])
    with budgets(scanned=64 * 64), pytest.raises(ValueError, match="broken data stream"):  # says libjpeg
        load_image(tmp_path / "a.jpg", (3, 8, 8))


def test_the_scans_of_components_one_by_one_are_counted():
    frame = "ffc0 0011 08 0008 0008 03 011100 021100 031100"
    scans = "".join(f"ffda 0008 01 0{k}00 003f00 2a" for k in (1, 2, 3))
    assert _count_scans(bytes.fromhex(f"ffd8 {frame} {scans} ffd9")) == 3
    together = "ffda 000c 03 010002000300 003f00 2a"
    assert _count_scans(bytes.fromhex(f"ffd8 {frame} {together} {scans} ffd9")) == 1
    assert _count_scans(bytes.fromhex(f"ffd8 {frame.replace('c0', 'c2')} {together} {scans} ffd9")) == 4


def jpeg_in_tiff(path, jpegs, height, width):
    """Write a TIFF file of strips, one below the other, each compressed by JPEG."""
    content, offsets = bytearray(b"II*\0\0\0\0\0"), []
    for jpeg in jpegs:
        offsets.append(len(content))
        content += jpeg + bytes(len(jpeg) % 2)
    places = {}
    for name, values in {"offsets": offsets, "sizes": [len(jpeg) for jpeg in jpegs]}.items():
        places[name] = len(content) if len(jpegs) > 1 else values[0]
        content += struct.pack(f"<{len(values)}I", *values)
    struct.pack_into("<I", content, 4, len(content))
    many, rows = len(jpegs), height // len(jpegs)
    tags = [(256, 1, width), (257, 1, height), (258, 1, 8), (259, 1, 7), (262, 1, 1)]
    tags += [(273, many, places["offsets"]), (277, 1, 1), (278, 1, rows), (279, many, places["sizes"])]
    content += struct.pack("<H", len(tags))
    content += b"".join(struct.pack("<HHII", tag, 4, count, value) for tag, count, value in tags)
    path.write_bytes(content + bytes(4))


def test_a_jpeg_picture_of_thousands_of_scans_in_a_tiff_file(tmp_path):
    for scans in (1, 600):
        jpeg_of_scans(tmp_path / "a.jpg", scans)
        jpeg_in_tiff(tmp_path / "a.tif", [(tmp_path / "a.jpg").read_bytes()], 1024, 1024)
        if scans == 1:
            one = load_image(tmp_path / "a.jpg", (1, 8, 8))
            in_full = load_image(tmp_path / "a.tif", (1, 8, 8))  # the other is decoded at an eighth
            np.testing.assert_allclose(in_full, one, rtol=0, atol=2 / 255)
    with pytest.raises(BudgetError, match=r"a\.tif, of 60\d scans, asks for 6\d\d,\d+,\d+ pixels, more"):
        load_image(tmp_path / "a.tif", (1, 8, 8))


def test_the_strips_of_a_tiff_file_are_no_scans_of_all_pixels(tmp_path):
    path = tmp_path / "a.tif"
    Image.new("RGB", (64, 512)).save(path, compression="jpeg")  # Pillow writes strips
    with budgets(scanned=64 * 512):
        assert load_image(path, (3, 8, 8)).shape == (3, 8, 8)
    stream = io.BytesIO()
    Image.new("L", (64, 64)).save(stream, "JPEG", progressive=True)
    jpeg = stream.getvalue()
    jpeg_in_tiff(path, [jpeg, jpeg], 128, 64)
    scans = 2 * jpeg.count(b"\xff\xda")
    with budgets(scanned=64 * 64 * scans):
        assert load_image(path, (1, 8, 8)).shape == (1, 8, 8)
    with budgets(scanned=64 * 64 * scans - 1), pytest.raises(BudgetError, match=f"of {scans} scans"):
        load_image(path, (1, 8, 8))


def test_thumbnails_and_what_follows_a_jpeg_picture_are_no_scans(tmp_path):
    stream = io.BytesIO()
    thumbnail = b"Exif\0\0" + b"\xff\xda\x00\x02" * 5000
    Image.new("L", (32, 32)).save(stream, "JPEG", exif=thumbnail)
    (tmp_path / "a.jpg").write_bytes(stream.getvalue() + b"\xff\xda\x00\x02" * 5000)
    with budgets(scanned=1024):
        assert load_image(tmp_path / "a.jpg", (1, 8, 8)).shape == (1, 8, 8)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "bmp", "webp"])
def test_the_budget_of_pixels(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (30, 20)).save(path)
    with budgets(pixels=600):
        load_image(path, (3, 4, 4))
    with (
        budgets(pixels=599),
        pytest.raises(BudgetError, match=rf"a\.{suffix} asks for 600 pixels"),
    ):
        load_image(path, (3, 4, 4))


def test_the_environment_and_the_block(monkeypatch):
    monkeypatch.setenv("NEOCOG_BUDGET_PIXELS", "2MiB")
    assert limit("pixels") == 2**21
    with budgets(pixels=7):
        assert limit("pixels") == 7
        with budgets(values=3):
            assert (limit("pixels"), limit("values")) == (7, 3)
        assert limit("values") == BUDGETS["values"].default
    assert limit("pixels") == 2**21
    for text, number in [
        ("500", 500),
        ("3k", None),
        ("4 G", 2**32),
        ("lots", None),
        ("-1", None),
        ("", 2**26),
    ]:
        monkeypatch.setenv("NEOCOG_BUDGET_PIXELS", text)
        if number is None:
            with pytest.raises(ValueError, match=f"NEOCOG_BUDGET_PIXELS must be a size .*, got {text!r}"):
                limit("pixels")
        else:
            assert limit("pixels") == number
    with pytest.raises(ValueError, match=r"budget must be one of .* Did you mean 'pixels'"), budgets(pixel=3):
        pass
    with pytest.raises(ValueError, match="pixels must be at least 0"), budgets(pixels=-1):
        pass
    check_budget("pixels", BUDGETS["pixels"].default, "x")


def test_a_batch_is_as_large_as_the_budget_allows():
    network = Sequential(Conv2D(1, 4, 1, rng=0), GlobalAvgPool2D())
    x = np.random.default_rng(0).normal(size=(10, 1, 5, 5))
    sizes = []
    conv = network["0"]
    forward = conv.forward
    conv.forward = lambda x, training=False: sizes.append(len(x)) or forward(x, training)
    with use_kernels("im2col"):
        everything = network.predict_logits(x)
        with budgets(values=300):  # three of 100 numbers each
            assert np.allclose(network.predict_logits(x), everything)
        with budgets(values=0):
            assert np.allclose(network.predict_logits(x), everything)
    assert sizes == [10, 3, 3, 3, 1, *[1] * 10]


def test_the_network_of_settings(tmp_path):
    from neocog.runs import network_for
    from neocog.settings import Settings

    data = line_patterns("a")
    settings = Settings("lines", "conv-net", filters=(4, 8))
    weights = network_for(settings, data).parameter_count - 4 - 8 - 3  # biases are counted, too
    with budgets(weights=weights + 15, layers=6):
        network_for(settings, data)
    message = (
        r"network 'conv-net' of the filters 4-8, for images of shape \(1, 8, 8\), asks for more than the"
    )
    with budgets(weights=weights + 14), pytest.raises(BudgetError, match=message):
        network_for(settings, data)
    with (
        budgets(layers=5),
        pytest.raises(BudgetError, match="of 2 filters asks for 6 layers, more than the 5"),
    ):
        network_for(settings, data)
