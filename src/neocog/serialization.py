"""Save and load models: safetensors, with the architecture as JSON in the header; never pickle.

A file (see :mod:`neocog.model_file`) holds the arrays under their dotted names, and describes the layers with
their arguments, class names, input shape and what the outputs are. Reading builds only layers of
:mod:`neocog.layers` (or those passed in); nothing in a file is ever executed.
"""

from __future__ import annotations

import importlib
import math
import operator
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from neocog import layers as known_layers
from neocog.budgets import BudgetError, allowance, check_budget, limit
from neocog.data.preprocessing import Preprocessing
from neocog.layers import Container, Elementwise, Layer
from neocog.layers.base import generator_places, random_generators
from neocog.layers.outputs import OUTPUT_KINDS
from neocog.layers.prediction import largest_output
from neocog.model_file import ModelFileError, PathLike, blaming, read, write
from neocog.representation import printable
from neocog.validation import image_shape, number, one_of

__all__ = ["ModelFileError", "check_values", "import_layers", "load", "save"]

MODEL_NAME = "model.neocog"
"""The model's name in a run directory."""
MARGIN = 2**20
BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")

LayerSource: TypeAlias = str | type[Layer]
"""A layer's class, or its import path ``"package.module:Class"``."""


def save(network: Layer, path: PathLike) -> None:
    """Write a network to a file: architecture, parameters, buffers, class names, input shape, kind of output.

    The file is written completely or not at all; on an error an older file of that name stays.

    Parameters
    ----------
    network : Layer
    path : path
        ``.neocog`` is customary.

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If two different layers share one array (use the same layer at both places instead), or two classes
        of layers have the same name, by which the file names them.
    TypeError
        If a parameter is not float32 or float64, or a layer's argument is not plain data.

    Examples
    --------
    >>> import tempfile
    >>> from neocog.models import tiny_cnn
    >>> path = tempfile.mkdtemp() + "/lines.neocog"
    >>> save(tiny_cnn(), path)
    >>> load(path).parameter_count
    114
    """
    network = network.original
    write(path, {"kind": "model", "network": describe(network)}, arrays_of(network))


def load(path: PathLike, layers: LayerSource | Iterable[LayerSource] = ()) -> Any:
    """Read a network from a file that :func:`save` wrote.

    Parameters
    ----------
    path : path
        Of the file, or of a run directory, which holds one.
    layers : class, ``"package.module:Class"``, or iterable of these
        Your own layers that the file may name, as :func:`import_layers` takes them. A file names a layer by
        its class name alone and cannot cause an import.

    Returns
    -------
    Layer
        As a rule a :class:`~neocog.layers.Sequential`, with ``predict`` and ``predict_proba``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If the file is empty, truncated, malformed, inconsistent, of a newer version, or names a
        layer that is neither built in nor among ``layers``.
    ValueError, TypeError
        If ``layers`` cannot be imported or are no layers.
    """
    known = import_layers(layers)
    path = Path(path)
    if path.is_dir():
        if not (path / MODEL_NAME).exists():
            raise IsADirectoryError(f"{path} is a folder that holds no {MODEL_NAME}; name a model file.")
        path /= MODEL_NAME
    header, arrays = read(path)
    if header.get("kind") != "model":
        raise ModelFileError(f"{path} is a {printable(header.get('kind'))}, not a model.")
    with blaming(path):
        return rebuild(header["network"], arrays, known)


def import_layers(names: LayerSource | Iterable[LayerSource]) -> list[type[Layer]]:
    """Import the layer classes that import paths name.

    Modules are searched on Python's path, then in the current folder.

    Parameters
    ----------
    names : ``"package.module:Class"``, class, or iterable of these
        A class is returned as it is.

    Returns
    -------
    list of Layer classes

    Raises
    ------
    ValueError
        If a path has another form, there is no such module or class, or two classes have one name, by which
        a model file could not tell them apart.
    TypeError
        If something is no subclass of :class:`~neocog.layers.Layer`.

    Examples
    --------
    >>> import_layers("neocog.layers:ReLU")
    [<class 'neocog.layers.activation.rectified.ReLU'>]
    """
    classes: dict[str, type[Layer]] = {}
    for name in [names] if isinstance(names, str | type) else names:
        cls = _imported(name) if isinstance(name, str) else name
        if not (isinstance(cls, type) and issubclass(cls, Layer)):
            raise TypeError(f"layers: {name!r} must be a subclass of neocog.layers.Layer, got {cls!r}.")
        if classes.setdefault(cls.__name__, cls) is not cls:
            first = classes[cls.__name__]
            raise ValueError(
                f"layers: two classes are named {cls.__name__}, {first.__module__}:{first.__qualname__} and "
                f"{cls.__module__}:{cls.__qualname__}; a model file cannot tell them apart: pass one of them."
            )
    return list(classes.values())


def _imported(path: str) -> Any:
    """Return the object at an import path ``package.module:Class``."""
    module_name, _, attribute = path.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), *attribute.split(".")]):
        raise ValueError(f'layers: {path!r} must have the form "package.module:Class".')
    folder = os.getcwd()
    searched = folder in sys.path
    if not searched:
        sys.path.append(folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module exists, and imports another that does not
        raise ValueError(f"layers: there is no module {module_name!r} for {path!r}.") from error
    finally:
        if not searched:
            sys.path.remove(folder)
    try:
        return operator.attrgetter(attribute)(module)
    except AttributeError:
        raise ValueError(f"layers: module {module_name!r} has no {attribute!r}.") from None


def describe(network: Layer) -> dict[str, Any]:
    """Return a network's architecture as JSON data."""
    seen: dict[int, int] = {}
    classes: dict[str, type] = {}

    def encode(value: Any) -> Any:
        if isinstance(value, Layer):
            layer: Layer = value.original
            if id(layer) in seen:
                return {"$again": seen[id(layer)]}
            seen[id(layer)] = len(seen)
            name = type(layer).__name__
            if classes.setdefault(name, type(layer)) is not type(layer):
                raise ValueError(
                    f"two classes of layers are named {name}; rename one, or neither can be loaded."
                )
            return {"$layer": name, "config": encode(layer.config())}
        if isinstance(value, Mapping):
            return {"$map": [[key, encode(item)] for key, item in value.items()]}
        if isinstance(value, tuple | list):
            return [encode(item) for item in value]
        return value

    rngs = random_generators(network)
    described: dict[str, Any] = {
        "layers": encode(network),
        "rngs": [_as_lists(rng.bit_generator.state) for rng in rngs],
        # The generator that each layer draws from: several layers may share one.
        "rng_of": [[id(rng) for rng in rngs].index(id(rng)) for _, _, rng in generator_places(network)],
    }
    if isinstance(network, Container):
        names, shape = network.class_names, network.input_shape
        described["class_names"] = None if names is None else [str(name) for name in names]
        described["input_shape"] = None if shape is None else image_shape(tuple(shape))
        image = network.preprocessing
        described["output"], described["output_stated"] = network.output_kind, network.stated_kind is not None
        described["image"] = None if image is None else image.to_dict()
        if network.class_weight is not None:
            described["class_weight"] = [float(weight) for weight in network.class_weight]
        if network.frozen:
            described["frozen"] = network.frozen
        _check_input_shape(network)
    return described


def arrays_of(network: Layer) -> dict[str, np.ndarray]:
    """Return parameters and buffers by dotted name."""
    arrays = {**network.params, **network.buffers}
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name} must be float32 or float64 to be saved, got {array.dtype}.")
    leaves = {id(leaf): leaf for _, leaf in network.leaves()}.values()
    if len(arrays) != sum(len(leaf.params) + len(leaf.buffers) for leaf in leaves):
        raise ValueError("two different layers share an array; let one layer stand at both places instead.")
    return arrays


def rebuild(
    described: Mapping[str, Any], arrays: Mapping[str, np.ndarray], layers: Iterable[type[Layer]] = ()
) -> Layer:
    """Build the network that :func:`describe` described, with these arrays."""
    known = {name: getattr(known_layers, name) for name in known_layers.__all__}
    known = {name: cls for name, cls in known.items() if cls not in (Layer, Container, Elementwise)}
    known |= {cls.__name__: cls for cls in layers}
    built: list[Layer | None] = []
    leaves: dict[int, int] = {}  # number of layers in each one, repeats included
    most = limit("layers")
    # A file that does not fit its layers may have them made, so that the error can say what differs.
    left = [MARGIN + 2 * sum(array.size for array in arrays.values())]
    largest = max([most, *(array.size for array in arrays.values())])

    def decode(value: Any) -> Any:
        if isinstance(value, list):
            return tuple(decode(item) for item in value)
        if not isinstance(value, dict):
            return value
        if "$again" in value:
            return built[value["$again"]]
        if "$map" in value:
            return {key: decode(item) for key, item in value["$map"]}
        name = value["$layer"]
        if name not in known:
            raise ModelFileError(
                f"unknown layer {name!r}; if it is your own, pass where it is defined: "
                f'load(path, layers=["package.module:{name}"]), or --layers package.module:{name} on the '
                "command line"
            )
        place = len(built)
        built.append(None)  # numbered before its children, as describe does
        config = decode(value["config"])
        # Check sizes before anything is allocated: a file of a few bytes must not build a network that fills
        # memory.
        count = sum(leaves[id(inner)] for inner in _layers_in(config)) or 1
        sizes = [size for size in config.values() if isinstance(size, int)]
        if count > most or max(sizes, default=0) > largest:
            raise ModelFileError(f"{name} is larger than the arrays in the file")
        try:
            with allowance(left[0]):  # counts weights before they are made
                layer = known[name].from_config(config)
        except BudgetError:
            left[0] = -1
        else:
            left[0] -= 0 if isinstance(layer, Container) else _numbers_in(layer)
        if left[0] < 0:
            raise ModelFileError(f"{name} is larger than the arrays in the file")
        built[place] = layer
        leaves[id(layer)] = count
        return layer

    network = decode(described["layers"])
    if not isinstance(network, Layer):
        raise ModelFileError("no network in it")
    _fill(network, arrays)
    rngs = [_generator_in(state) for state in described["rngs"]]
    places = generator_places(network)
    rng_of = described.get("rng_of", range(len(places)))
    if sorted(set(rng_of)) != list(range(len(rngs))):
        raise ValueError(f"its layers draw from the generators {list(rng_of)}, there are {len(rngs)}")
    for (layer, name, _), k in zip(places, rng_of, strict=True):
        setattr(layer, name, rngs[k])
    if isinstance(network, Container):
        names, shape = described["class_names"], described["input_shape"]
        kind = described.get("output", "logits")
        if kind not in OUTPUT_KINDS:
            raise ModelFileError(f"its output is {kind!r}, which this neocog does not know")
        image = described.get("image")
        network.preprocessing = None if image is None else Preprocessing.from_dict(image)
        network.class_weight = _class_weight(described.get("class_weight"))
        network.freeze_only(_frozen(described.get("frozen", {})))
        network.class_names = None if names is None else tuple(str(name) for name in names)
        network.input_shape = None if shape is None else image_shape(shape)
        _check_input_shape(network)
        # Files of neocog before output_kind call every output logits: there the network's end decides.
        network.output_kind = kind if described.get("output_stated") else None
        if network.input_shape is not None:
            check_values(network, network.input_shape)
    return network


def _class_weight(weights: Any) -> tuple[float, ...] | None:
    """Return the weights of the classes that a file states; ValueError or TypeError if they are none."""
    if weights is None:
        return None
    if not isinstance(weights, list | tuple) or not weights:
        raise TypeError(f"class_weight must be a list of numbers, got {weights!r}")
    return tuple(number("class_weight", weight, 0, math.inf, True, True) for weight in weights)


def _frozen(frozen: Any) -> dict[str, bool]:
    """Return what a file says is frozen; TypeError if that is no map of names to truths."""
    if not isinstance(frozen, dict) or not all(isinstance(mode, bool) for mode in frozen.values()):
        raise TypeError(f"frozen must be a map of names to true or false, got {frozen!r}")
    return frozen


def check_values(network: Layer, image: tuple[int, ...]) -> None:
    """Raise BudgetError if a layer would compute more for an image of a shape than the budget "values"."""
    check_budget("values", math.prod(image), f"input_shape {image}")
    name, numbers = largest_output(network, image)
    check_budget("values", numbers, f"layer {name!r}, for images of shape {image},")


def _numbers_in(layer: Layer) -> int:
    return sum(array.size for arrays in (layer.params, layer.buffers) for array in arrays.values())


def _as_lists(state: Any) -> Any:
    """Return a generator's state with lists in place of the arrays that some kinds of generators use."""
    if isinstance(state, Mapping):
        return {key: _as_lists(value) for key, value in state.items()}
    return state.tolist() if isinstance(state, np.ndarray) else state


def _generator_in(state: Mapping[str, Any]) -> np.random.Generator:
    """Make one of NumPy's generators in a state read from a file."""
    kind = one_of("bit_generator", state["bit_generator"], BIT_GENERATORS)
    generator = np.random.Generator(getattr(np.random, kind)())
    generator.bit_generator.state = state
    return generator


def _check_input_shape(network: Container) -> None:
    """Raise ValueError if layers or preprocessing do not fit images of the network's ``input_shape``."""
    shape, image = network.input_shape, network.preprocessing
    if shape is not None:
        network.output_shape((1, *shape))
    if None not in (shape, image) and image.image_shape != shape:
        raise ValueError(f"preprocessing makes images of shape {image.image_shape}, input_shape is {shape}")


def _layers_in(value: Any) -> Iterator[Layer]:
    """Yield the layers among a layer's arguments."""
    if isinstance(value, Layer):
        yield value
    elif isinstance(value, Mapping | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _layers_in(item)


def _fill(network: Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Give a network its arrays, after checking every name, shape and dtype."""
    expected = arrays_of(network)
    missing, unknown = sorted(set(expected) - set(arrays)), sorted(set(arrays) - set(expected))
    if missing or unknown:
        raise ModelFileError(f"arrays do not fit the layers: missing {missing}, unknown {unknown}")
    for name, array in expected.items():
        if array.shape != arrays[name].shape:
            raise ModelFileError(
                f"{name} must have shape {array.shape} by the layers, has {arrays[name].shape}"
            )
        if arrays[name].dtype.kind != "f":
            raise ModelFileError(f"{name} must be floating point, is {arrays[name].dtype}")
    for prefix, leaf in network.leaves():
        for own in (leaf.params, leaf.buffers):
            for key in own:
                name = f"{prefix}.{key}" if prefix else key
                if name in arrays:  # absent for a layer that occurred before
                    own[key] = np.array(arrays[name])
