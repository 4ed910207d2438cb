import hashlib
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

import neocog
from neocog import (
    GELU,
    Add,
    AvgPool2D,
    BatchNorm1D,
    BatchNorm2D,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool2D,
    Graph,
    LeakyReLU,
    MaxPool2D,
    Pad2D,
    PadChannels,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
    model_file,
)
from neocog.budgets import budgets
from neocog.model_file import FORMAT_VERSION, ModelFileError
from neocog.serialization import import_layers


def everything():
    """A network of layers that are nested, named and shared."""
    shared = Conv2D(4, 4, 3, padding="same", rng=5, dtype="float64")
    graph = Graph(
        {
            "a": (shared, "input"),
            "b": (Sequential(LeakyReLU(0.2), shared), "a"),
            "sum": (Add(), "a", "b"),
            "join": (Concat(), "sum", "input"),
        }
    )
    body = Sequential(
        Conv2D(8, 8, 3, padding=1, groups=2, rng=1, dtype="float64"),
        BatchNorm2D(8, 1e-3, 0.2, dtype="float64"),
    )
    network = Sequential(
        Conv2D(
            1, 4, (3, 2), stride=(1, 2), padding=(1, 0), dilation=(1, 2), bias=False, rng=0, dtype="float64"
        ),
        graph,
        Residual(body, Conv2D(8, 8, 1, rng=2, dtype="float64")),
        Residual(Sequential(Tanh())),
        GELU("tanh"),
        Pad2D(((1, 0), (0, 1)), 0.5),
        AvgPool2D(2, 1, 1, count_include_pad=False),
        MaxPool2D((2, 1)),
        Sequential(
            pool=GlobalAvgPool2D(),
            drop=Dropout(0.1, rng=0),
            norm=BatchNorm1D(8, dtype="float64"),
            dense=Dense(8, 3, rng=3, dtype="float64"),
            end=Sigmoid(),
        ),
    )
    network.class_names = ("ä", "b", "c")
    network.input_shape = (1, 9, 9)
    return network


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.neocog"


def test_everything_comes_back(path):
    network = everything()
    x = np.random.default_rng(0).normal(size=(4, 1, 9, 9))
    network.forward(x, training=True)  # moves the running statistics
    neocog.save(network, path)
    twin = neocog.load(path)
    assert repr(twin) == repr(network)
    assert twin.class_names == ("ä", "b", "c")
    assert twin.input_shape == (1, 9, 9)
    for kind in ("params", "buffers"):
        mine, theirs = getattr(network, kind), getattr(twin, kind)
        assert list(mine) == list(theirs)
        for name in mine:
            assert mine[name].dtype == theirs[name].dtype
            np.testing.assert_array_equal(mine[name], theirs[name])
    np.testing.assert_array_equal(network(x), twin(x))


def test_shared_layers_stay_shared(path):
    neocog.save(everything(), path)
    twin = neocog.load(path)
    leaves = dict(twin.leaves())
    assert leaves["1.a"] is leaves["1.b.1"]
    assert twin.parameter_count == everything().parameter_count


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_kept_and_arrays_can_be_written(path, dtype):
    neocog.save(neocog.models.tiny_cnn(dtype=dtype), path)
    twin = neocog.load(path)
    assert twin.dtype == dtype
    neocog.fit(twin, neocog.data.line_patterns("b"), epochs=1, rng=0)


def test_arrays_that_are_not_contiguous_survive(path):
    network = Sequential(Dense(3, 2, dtype="float64"))
    array = np.arange(12.0).reshape(4, 3)[::2].T
    assert not array.flags.c_contiguous
    network[0].params["weight"] = array
    neocog.save(network, path)
    np.testing.assert_array_equal(neocog.load(path).params["0.weight"], array)


def test_other_safetensors_readers_see_the_arrays(path):
    network = neocog.models.tiny_cnn()
    neocog.save(network, path)
    arrays = load_file(path)
    assert sorted(arrays) == sorted(network.params)


def test_a_single_layer_can_be_saved(path):
    neocog.save(Dense(3, 2, rng=0), path)
    assert repr(neocog.load(path)) == "Dense(3, 2)"


class Twice(ReLU):
    def forward(self, x, training=False):
        y, cache = super().forward(x, training)
        return 2 * y, cache


MODULE = """
from neocog.layers import ReLU

class Thrice(ReLU):
    def forward(self, x, training=False):
        y, cache = super().forward(x, training)
        return 3 * y, cache

class Holder:
    class Inner(ReLU):
        pass

number = 3
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder of modules, which is the current one."""
    (tmp_path / "own_layers.py").write_text(MODULE)
    (tmp_path / "other_layers.py").write_text(MODULE)
    (tmp_path / "needs_another.py").write_text("import not_there_at_all")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_layers_of_your_own(path):
    neocog.save(Sequential(Twice()), path)
    with pytest.raises(ModelFileError, match="unknown layer 'Twice'") as caught:
        neocog.load(path)
    assert 'load(path, layers=["package.module:Twice"])' in str(caught.value)
    assert "--layers package.module:Twice" in str(caught.value)
    assert neocog.load(path, layers=[Twice])(np.array([3.0])) == [6.0]
    assert neocog.load(path, layers=Twice)(np.array([3.0])) == [6.0]


def test_layers_of_your_own_by_import_path(path, modules):
    search_path = [*sys.path]
    (cls,) = import_layers("own_layers:Thrice")
    neocog.save(Sequential(cls()), path)
    for layers in ("own_layers:Thrice", ["own_layers:Thrice", ReLU], iter([cls, "own_layers:Thrice"])):
        assert neocog.load(path, layers=layers)(np.array([3.0])) == [9.0]
    assert import_layers(["own_layers:Holder.Inner"])[0].__qualname__ == "Holder.Inner"
    assert sys.path == search_path


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        ("own_layers", ValueError, "'own_layers' must have the form \"package.module:Class\""),
        ("own_layers:", ValueError, "must have the form"),
        ("own_layers.Thrice", ValueError, "must have the form"),
        ("../own_layers:Thrice", ValueError, "must have the form"),
        (["not_there:Thrice"], ValueError, "there is no module 'not_there' for 'not_there:Thrice'"),
        (["own_layers.deeper:Thrice"], ValueError, "there is no module 'own_layers.deeper'"),
        (["own_layers:Fourfold"], ValueError, "module 'own_layers' has no 'Fourfold'"),
        (["own_layers:number"], TypeError, "must be a subclass of neocog.layers.Layer, got 3"),
        (["own_layers:Holder"], TypeError, "must be a subclass of neocog.layers.Layer"),
        ([3], TypeError, "must be a subclass of neocog.layers.Layer"),
        (["needs_another:Thrice"], ModuleNotFoundError, "not_there_at_all"),
        (["own_layers:Thrice", "other_layers:Thrice"], ValueError, "two classes are named Thrice, own_l"),
    ],
)
def test_layers_that_cannot_be_imported(path, modules, layers, error, message):
    neocog.save(Sequential(ReLU()), path)
    with pytest.raises(error, match=message):
        neocog.load(path, layers=layers)


def test_two_classes_of_one_name_cannot_be_saved(path):
    own = type("ReLU", (Twice,), {})
    with pytest.raises(ValueError, match="two classes of layers are named ReLU"):
        neocog.save(Sequential(ReLU(), own()), path)
    neocog.save(Sequential(own(), own()), path)
    assert neocog.load(path, layers=own)(np.array([3.0])) == [12.0]


def test_a_file_never_has_anything_imported(path, modules):
    neocog.save(Sequential(ReLU()), path)
    rewrite(path, lambda h: h["network"]["layers"].update({"$layer": "own_layers:Thrice"}))
    refuse(path, "unknown layer 'own_layers:Thrice'")
    assert "own_layers" not in sys.modules


def test_arrays_tied_between_two_layers_are_refused(path):
    one, two = Dense(2, 2), Dense(2, 2)
    two.params["weight"] = one.params["weight"]
    with pytest.raises(ValueError, match="share an array"):
        neocog.save(Sequential(one, two), path)
    assert not path.exists()


# Files that are not as they should be


def refuse(path, message):
    with pytest.raises(ModelFileError, match=message):
        neocog.load(path)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file"):
        neocog.load(tmp_path / "none.neocog")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        neocog.load(tmp_path)


def test_empty(path):
    path.touch()
    refuse(path, "is empty")


def test_truncated_anywhere(path):
    neocog.save(neocog.models.tiny_cnn(), path)
    whole = path.read_bytes()
    for length in [1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refuse(path, "not a neocog file, or is truncated")


def test_every_flipped_byte_of_the_header_is_refused_or_harmless(path):
    neocog.save(neocog.models.tiny_cnn(), path)
    whole = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", whole[:8])
    rng = np.random.default_rng(0)
    for place in rng.choice(8 + length, 150, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            network = neocog.load(path)
        except ModelFileError:
            continue
        assert isinstance(network, neocog.Layer)
        assert network.output_shape((1, 1, 8, 8))[0] == 1


def test_garbage_and_pickles(path):
    path.write_bytes(os.urandom(1000))
    refuse(path, "not a neocog file")
    path.write_bytes(pickle.dumps({"weight": [1, 2]}))
    refuse(path, "not a neocog file")


def test_anothers_safetensors(path):
    path.write_bytes(to_bytes({"a": np.zeros(3)}))
    refuse(path, "not one of neocog's")


def table_of(arrays):
    """The table of arrays of format 2."""
    return {name: [str(a.dtype), list(a.shape), [zlib.crc32(a.tobytes())]] for name, a in arrays.items()}


def digest_of(content):
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def rewrite(path, change=None, arrays=None, text=None, entry=None):
    """Save TinyCNN with another description or other arrays; the digest fits unless ``entry`` changes it."""
    network = neocog.models.tiny_cnn()
    content = {"kind": "model", "network": neocog.serialization.describe(network)}
    content = json.loads(json.dumps(content))
    tensors = dict(network.params) if arrays is None else arrays(dict(network.params))
    content["arrays"] = table_of(tensors)
    if change:
        change(content)
    whole = {"version": FORMAT_VERSION, "sha256": digest_of(content), "content": content}
    if entry:
        entry(whole)
    path.write_bytes(to_bytes(tensors, {"neocog": json.dumps(whole) if text is None else text}))


def conv(header):
    """Its arguments, as [[name, value], ...]."""
    return header["network"]["layers"]["config"]["$map"][0][1]["$map"][0][1]["config"]["$map"]


def set_conv(header, name, value):
    (argument,) = [pair for pair in conv(header) if pair[0] == name]
    argument[1] = value


def test_the_rewriting_itself_is_sound(path):
    rewrite(path)
    assert neocog.load(path).parameter_count == 114


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda h: h.update(kind="poem"), "is a poem, not a model"),
        (lambda h: h.pop("network"), "KeyError"),
        (lambda h: h["network"].update(layers=None), "no network in it"),
        (lambda h: h["network"].update(layers={"$again": 7}), "IndexError"),
        (lambda h: h["network"]["layers"].update({"$layer": "os.system"}), "unknown layer 'os.system'"),
        (lambda h: h["network"]["layers"].update({"$layer": "Layer"}), "unknown layer 'Layer'"),
        (lambda h: h["network"]["layers"].update({"$layer": ["a"]}), "not a usable"),
        (lambda h: h["network"].update(input_shape=[1, 8]), "image_shape must be"),
        (lambda h: h["network"].update(class_names=3), "not iterable"),
        (lambda h: h["network"].update(output="angles"), "output is 'angles', which this neocog does not"),
        (
            lambda h: h["network"].update(image={"fit": "crop"}),
            "preprocessing must have the values channels, .*got {'fit': 'crop'}",
        ),
        (lambda h: h["network"].update(input_shape=[1, 9, 12]), "layer 'dense': Dense needs inputs"),
        (lambda h: set_conv(h, "out_channels", 4), r"conv1.weight must have shape \(4, 1, 3, 3\)"),
        (lambda h: set_conv(h, "out_channels", 10**15), "larger than the arrays in the file"),
        (lambda h: set_conv(h, "out_channels", -1), "out_channels must be at least 1"),
        (lambda h: set_conv(h, "kernel_size", "big"), "kernel_size must be an integer"),
        (lambda h: conv(h).append(["rng", 3]), r"no arguments \['rng'\]"),
        (lambda h: conv(h).append(["evil", 3]), r"no arguments \['evil'\]"),
    ],
)
def test_headers_that_lie(path, change, message):
    rewrite(path, change)
    refuse(path, message)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (lambda e: e.update(version=3), "format version 3, this neocog reads up to 2: upgrade neocog"),
        (lambda e: e.update(version="1"), "unknown format version '1'"),
        (lambda e: e.update(version=True), "unknown format version True"),
        (lambda e: e.update(version=0), "unknown format version 0"),
        (lambda e: e.pop("version"), "KeyError"),
        (lambda e: e.update(version=1), "is damaged: its format version does not fit its digest"),
        (lambda e: (e.update(version=1), e.pop("sha256")), "is damaged: its format version"),
        (lambda e: e.update(e.pop("content"), version=1, sha256=None), "is damaged: its format version"),
        (
            lambda e: (e.update(e.pop("content"), version=1), e.pop("sha256")),
            "is damaged: its format version",
        ),
        (lambda e: e.pop("sha256"), "KeyError"),
        (lambda e: e.update(sha256="0" * 64), "is damaged: its description does not fit its digest"),
        (lambda e: e.pop("content"), "KeyError"),
        (lambda e: e["content"].update(extra=0), "is damaged: its description"),
        (lambda e: e["content"].pop("arrays"), "is damaged: its description"),
    ],
)
def test_versions_and_digests_that_lie(path, entry, message):
    rewrite(path, entry=entry)
    refuse(path, message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("arrays"), "KeyError"),
        (lambda c: c.update(arrays=[]), "describes no arrays"),
        (lambda c: c["arrays"].pop("dense.bias"), "damaged: the list of its arrays"),
        (lambda c: c["arrays"].update(extra=["float64", [1], [0]]), "damaged: the list of its arrays"),
        (lambda c: c["arrays"]["dense.bias"][2].append(0), "damaged: the array 'dense.bias'"),
        (lambda c: c["arrays"].update({"dense.bias": None}), "damaged: the array 'dense.bias'"),
        (lambda c: c["arrays"]["conv1.weight"].__setitem__(1, [9, 3]), "damaged: the array 'conv1.weight'"),
        (lambda c: c["arrays"]["dense.bias"].__setitem__(0, "int64"), "damaged: the array 'dense.bias'"),
    ],
)
def test_tables_of_arrays_that_lie(path, change, message):
    rewrite(path, change)
    refuse(path, message)


def test_every_flipped_bit_is_noticed_or_changes_nothing(path):
    """Single bits and whole bytes, everywhere in the file."""
    network = neocog.models.tiny_cnn(seed=3)
    network.class_names, network.input_shape = ("a", "b", "c"), (1, 8, 8)
    neocog.save(network, path)
    sound, text = path.read_bytes(), repr(network)
    rng, noticed = np.random.default_rng(0), 0
    for place in rng.choice(len(sound), 1500, replace=False):
        changed = bytearray(sound)
        changed[place] ^= int(1 << rng.integers(8)) if rng.random() < 0.5 else int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            twin = neocog.load(path)
        except ModelFileError as error:
            noticed += str(path) in str(error)
            continue
        assert (repr(twin), twin.class_names, twin.input_shape) == (text, ("a", "b", "c"), (1, 8, 8))
        assert all((twin.params[name] == network.params[name]).all() for name in network.params)
    assert noticed > 1400


def test_a_file_of_format_1_is_read():
    network = neocog.load(Path(__file__).parent / "files/format-1.neocog")
    assert network.class_names == ("a", "b", "c")
    assert network.input_shape == (1, 4, 4)
    for name, array in network.params.items():  # as they were when it was written
        np.testing.assert_array_equal(array, np.arange(array.size).reshape(array.shape) / 8, name)
    for name, array in network.buffers.items():
        np.testing.assert_array_equal(array, 1 + np.arange(array.size), name)


def test_large_arrays_are_checked_in_blocks(path, monkeypatch):
    monkeypatch.setattr(model_file, "BLOCK", 100)
    network = neocog.models.tiny_cnn(seed=3)
    neocog.save(network, path)
    with safe_open(path, framework="numpy") as file:
        content = json.loads(file.metadata()["neocog"])["content"]
    weight = network.params["dense.weight"].tobytes()
    blocks = [weight[start : start + 100] for start in range(0, len(weight), 100)]
    assert content["arrays"]["dense.weight"][2] == [zlib.crc32(block) for block in blocks]
    assert repr(neocog.load(path)) == repr(network)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (lambda a: {k: v for k, v in a.items() if k != "dense.bias"}, r"missing \['dense.bias'\]"),
        (lambda a: a | {"extra": np.zeros(1)}, r"unknown \['extra'\]"),
        (lambda a: a | {"dense.bias": np.zeros(4)}, r"dense.bias must have shape \(3,\)"),
        (lambda a: a | {"dense.bias": np.zeros(3, int)}, "dense.bias must be floating point, is int64"),
        (lambda a: {}, "missing"),
    ],
)
def test_arrays_that_do_not_fit(path, arrays, message):
    rewrite(path, arrays=arrays)
    refuse(path, message)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"version": 1e999}', "[" * 100_000])
def test_headers_that_are_not_json_objects(path, text):
    rewrite(path, text=text)
    refuse(path, "usable|version")


def test_deeply_nested_layers(path):
    def nest(header):
        for _ in range(3000):
            inner = header["network"]["layers"]
            config = {"$map": [["layers", {"$map": [["0", inner]]}]]}
            header["network"]["layers"] = {"$layer": "Sequential", "config": config}

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)  # to write it
    try:
        rewrite(path, nest)
    finally:
        sys.setrecursionlimit(limit)
    refuse(path, "RecursionError|recursion")


# Disks that are not as they should be


def test_a_full_disk_leaves_the_old_file(path):
    """A limit on file sizes makes the write fail half way, as a full disk does."""
    neocog.save(neocog.models.tiny_cnn(seed=1), path)
    old = path.read_bytes()
    code = (
        "import resource, signal, sys, neocog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: neocog.save(neocog.models.tiny_cnn(seed=2), sys.argv[1])\n"
        "except OSError as error: print('OSError', error.errno)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert result.stdout.startswith("OSError"), result.stderr
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_read_only_disk_leaves_the_old_file(path, monkeypatch):
    neocog.save(neocog.models.tiny_cnn(seed=1), path)
    old = path.read_bytes()

    def refuse_to_move(source, target):
        raise OSError(30, "Read-only file system", str(target))

    monkeypatch.setattr(os, "replace", refuse_to_move)
    with pytest.raises(OSError, match="Read-only file system"):
        neocog.save(neocog.models.tiny_cnn(seed=2), path)
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_a_disk_that_garbles_is_noticed(path, monkeypatch):
    neocog.save(neocog.models.tiny_cnn(seed=1), path)
    old = path.read_bytes()

    monkeypatch.setattr(os, "fsync", lambda file: os.pwrite(file, b"~", 3000))
    with pytest.raises(OSError, match="differs after writing"):
        neocog.save(neocog.models.tiny_cnn(seed=2), path)
    assert path.read_bytes() == old


@pytest.mark.parametrize("size", [0, 1, 25, 26])
def test_a_file_is_one_of_safetensors(path, monkeypatch, size):
    """Written piece by piece, with the header last, whatever the pieces are."""
    monkeypatch.setattr(model_file, "BLOCK", 100)
    rng = np.random.default_rng(0)
    arrays = {
        "b": rng.normal(size=size),
        "a": rng.normal(size=(size, 3)).astype("f4").T,
        "ü": np.arange(size),
        "truth": np.array(True),
        "big": np.arange(size, dtype=">f4"),
    }
    model_file.write(path, {"kind": "test"}, arrays)
    for found in (load_file(path), model_file.read(path)[1]):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
    with pytest.raises(TypeError, match=r"c must be of one of the types float16, .*, got complex128"):
        model_file.write(path, {"kind": "test"}, {"c": np.zeros(2, complex)})


def test_saving_needs_no_second_copy_of_the_weights(path):
    network = neocog.Sequential(neocog.Dense(1024, 1024, rng=0))
    tracemalloc.start()
    try:
        neocog.save(network, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20  # of weights there are 4 MiB


def test_places_that_do_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        neocog.save(neocog.models.tiny_cnn(), tmp_path / "no" / "where.neocog")
    with pytest.raises(IsADirectoryError):
        neocog.save(neocog.models.tiny_cnn(), tmp_path)
    assert list(Path(tmp_path).iterdir()) == []


def test_many_threads_may_save_to_one_path(path):
    import threading

    errors = []

    def work():
        try:
            for seed in range(15):
                neocog.save(neocog.models.tiny_cnn(seed), path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert neocog.load(path).parameter_count == 114
    assert os.listdir(path.parent) == [path.name]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link.neocog").symlink_to(tmp_path / "real.neocog")
    neocog.save(neocog.models.tiny_cnn(), tmp_path / "link.neocog")
    assert (tmp_path / "link.neocog").is_symlink()
    assert neocog.load(tmp_path / "real.neocog").parameter_count == 114


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere to write m.neocog into"):
        neocog.save(neocog.models.tiny_cnn(), tmp_path / "nowhere" / "m.neocog")


def test_dropout_goes_on_drawing_where_it_was(path):
    network = Sequential(Dropout(0.5, rng=3))
    network.forward(np.ones(5), training=True)
    neocog.save(network, path)
    twin = neocog.load(path)
    x = np.ones(50)
    assert np.array_equal(network.forward(x, training=True)[0], twin.forward(x, training=True)[0])


def test_dropouts_that_share_a_generator_go_on_sharing_it(path):
    rng = np.random.default_rng(3)
    network = Sequential(Dropout(0.5, rng=rng), Dropout(0.5, rng=9), Dropout(0.2, rng=rng))
    network.forward(np.ones(5), training=True)
    neocog.save(network, path)
    twin = neocog.load(path)
    assert twin[0].rng is twin[2].rng is not twin[1].rng
    x = np.ones(50)
    assert np.array_equal(network.forward(x, training=True)[0], twin.forward(x, training=True)[0])


def test_a_bomb_of_repeats_is_refused_at_once(path):
    """Each level holds the one below twice: 60 levels are 2^60 layers in a few kB."""

    def nest(header):
        inner = {"$layer": "ReLU", "config": {"$map": []}}
        for level in range(60):
            again = {"$again": 60 - level}
            children = {"$map": [["a", inner], ["b", again]]}
            inner = {"$layer": "Sequential", "config": {"$map": [["layers", children]]}}
        header["network"]["layers"] = inner

    rewrite(path, nest, arrays=lambda a: {"x": np.zeros(1)})
    refuse(path, "Sequential is larger than the arrays in the file")


def test_the_guards_against_bombs_let_the_limit_itself_pass(path):
    """100 layers, and a size of 100 in a file whose arrays are smaller, at a limit of 100."""
    neocog.save(Sequential(*[ReLU() for _ in range(99)], PadChannels(100)), path)
    with budgets(layers=100):
        assert len(list(neocog.load(path).leaves())) == 100
    for layers, name in [([ReLU() for _ in range(101)], "Sequential"), ([PadChannels(101)], "PadChannels")]:
        neocog.save(Sequential(*layers), path)
        with budgets(layers=100):
            refuse(path, f"{name} is larger than the arrays in the file")


def test_a_layer_of_billions_is_refused_before_it_is_made(path):
    def swell(header):
        config = {"$map": [["num_features", 3_000_000_000]]}
        header["network"]["layers"] = {"$layer": "BatchNorm1D", "config": config}

    rewrite(path, swell)
    refuse(path, "BatchNorm1D is larger than the arrays in the file")


@pytest.mark.parametrize("dtype", [np.complex128, np.longdouble])
def test_only_real_numbers_are_saved(path, dtype):
    with pytest.raises(TypeError, match=r"dense.bias must be float32 or float64|conv1.weight must be"):
        neocog.save(neocog.models.tiny_cnn(dtype=dtype), path)
    assert not path.exists()


def test_an_input_shape_that_could_not_be_read_back_is_not_saved(path):
    network = neocog.models.tiny_cnn()
    network.input_shape = (1, 8)
    with pytest.raises(ValueError, match="image_shape must be"):
        neocog.save(network, path)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_kind_of_generator_goes_on(kind, path, tmp_path):
    rng = np.random.Generator(getattr(np.random, kind)(5))
    network = Sequential(drop=Dropout(0.5, rng=rng), flatten=neocog.Flatten(), dense=Dense(64, 3, rng=0))
    checkpoint = neocog.training.Checkpoint(tmp_path / "c")
    neocog.fit(network, neocog.data.line_patterns("a"), epochs=1, rng=0, callbacks=[checkpoint])
    neocog.save(network, path)
    twin = neocog.load(path)
    np.testing.assert_array_equal(twin["drop"].rng.random(9), rng.random(9))


def tamper(path, change):
    """Change the description in a file, and give it the digest of what it then says."""
    with safe_open(path, framework="numpy") as file:
        content = json.loads(file.metadata()["neocog"])["content"]
    change(content)
    entry = {"version": FORMAT_VERSION, "sha256": digest_of(content), "content": content}
    path.write_bytes(to_bytes(load_file(path), {"neocog": json.dumps(entry)}))


def test_a_generator_of_no_known_kind_is_refused(path):
    network = Sequential(Dropout(0.5, rng=3))
    neocog.save(network, path)
    tamper(path, lambda content: content["network"]["rngs"][0].update(bit_generator="evil!"))
    with pytest.raises(ModelFileError, match=r"bit_generator must be one of 'PCG64', .*, got 'evil!'"):
        neocog.load(path)


@pytest.mark.parametrize("rng_of", [[0, 2], [-1, 0], [0, 0]])
def test_generators_that_are_not_there_are_refused(path, rng_of):
    neocog.save(Sequential(Dropout(0.5, rng=3), Dropout(0.5, rng=4)), path)
    tamper(path, lambda content: content["network"].update(rng_of=rng_of))
    with pytest.raises(ModelFileError, match=r"draw from the generators .*, there are 2"):
        neocog.load(path)


def test_the_same_network_makes_the_same_file(path):
    network = neocog.models.tiny_cnn(seed=1)
    files = set()
    for _ in range(8):
        neocog.save(network, path)
        files.add(path.read_bytes())
    assert len(files) == 1
