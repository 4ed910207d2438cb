"""Load pretrained weights."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neocog.initializers import zeros
from neocog.layers import BatchNorm2D, Container, Conv2D, Dense, Normalize, Scale, Sequential
from neocog.models import timm_names
from neocog.models.alexnet import alexnet_one_tower
from neocog.models.convnext import convnext_small, convnext_tiny
from neocog.models.efficientnet import efficientnet_b0
from neocog.models.heads import head_of
from neocog.models.hub import fetch, is_hub
from neocog.models.mobilenet import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from neocog.models.regnet import regnet_y_400mf, regnet_y_800mf
from neocog.models.resnet import resnet18, resnet34, resnet50, resnet101
from neocog.models.shufflenet import shufflenet_v2_x0_5, shufflenet_v2_x1_0
from neocog.models.vgg import vgg11, vgg13, vgg16, vgg19
from neocog.validation import image_shape as check_image_shape

__all__ = ["ARCHITECTURES", "Pretrained", "load_pretrained", "load_torchvision", "pretrained", "read_weights"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's weights expect of red, green and blue in 0..1."""

_vgg = {"vgg11": vgg11, "vgg13": vgg13, "vgg16": vgg16, "vgg19": vgg19}
ARCHITECTURES: dict[str, Callable[..., Sequential]] = {
    "alexnet": alexnet_one_tower,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    **_vgg,
    **{f"{name}_bn": functools.partial(make, batch_norm=True) for name, make in _vgg.items()},
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_small": mobilenet_v3_small,
    "mobilenet_v3_large": mobilenet_v3_large,
    "efficientnet_b0": efficientnet_b0,
    "shufflenet_v2_x0_5": shufflenet_v2_x0_5,
    "shufflenet_v2_x1_0": shufflenet_v2_x1_0,
    "regnet_y_400mf": regnet_y_400mf,
    "regnet_y_800mf": regnet_y_800mf,
    "convnext_tiny": convnext_tiny,
    "convnext_small": convnext_small,
}
"""The networks that take the weights of torchvision's of the same name, and of timm's."""

_FORMATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True)
class Pretrained:
    """A network with pretrained weights, and where they are from.

    Attributes
    ----------
    network : Sequential
        Led by a layer ``normalize``, so that it takes pixels in 0..1.
    name : str
        What the weights are called by, with the revision of a repository.
    architecture : str
    """

    network: Sequential
    name: str
    architecture: str


def pretrained(
    name: str, network: str | None = None, image_shape: tuple[int, int, int] | None = None
) -> Sequential:
    """Return a network with pretrained weights, of torchvision's or timm's file or from the Hugging Face Hub.

    A layer ``normalize`` leads it, so that it takes pixels in 0..1: with the mean and the deviation that the
    repository states, else those of torchvision, (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225).

    Parameters
    ----------
    name : str or path
        A safetensors file of a state dict, in float32, float16 or bfloat16; or a repository such as
        ``"hf:timm/resnet18.a1_in1k"``, at a revision with ``@REVISION``, which needs the extra ``hub``.
    network : str, optional
        Which network of ``neocog.models`` it is of; default what the repository says, or the file's name.
    image_shape : (channels, height, width), optional
        Default what the repository says, or (3, 224, 224).

    Returns
    -------
    Sequential
        In float32.

    Raises
    ------
    ValueError
        If the network is not known, or the weights do not fit it.
    ImportError, ConnectionError
        If the hub's client is missing, or the hub cannot be reached and its cache lacks the files.

    See Also
    --------
    with_new_head : Replace its head, for other classes.

    Examples
    --------
    >>> import tempfile
    >>> from safetensors.numpy import save_file
    >>> from neocog.models import resnet18
    >>> twin = resnet18(classes=10, rng=0)
    >>> weights = {**twin.params, **twin.buffers, "fc.weight": twin.params["fc.weight"].T.copy()}
    >>> path = tempfile.mkdtemp() + "/resnet18.safetensors"
    >>> save_file(weights, path)
    >>> network = pretrained(path)
    >>> network["normalize"], network["fc"]
    (Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), Dense(512, 10))
    """
    return load_pretrained(name, network, image_shape).network


def load_pretrained(
    name: str | Path, network: str | None = None, image_shape: tuple[int, int, int] | None = None
) -> Pretrained:
    """Return what :func:`pretrained` does, with the name of the architecture, and of the revision."""
    name = str(name)
    stated: dict[str, Any] = {}
    architecture: str | None
    if is_hub(name):
        path, config, revision = fetch(name)
        name = f"{name.partition('@')[0]}@{revision}"
        stated = {**config, **(config.get("pretrained_cfg") or {})}
        architecture = network or str(stated.get("architecture"))
    else:
        path = Path(name)
        architecture = network or _named_in(path.stem)
    architecture = architecture and architecture.replace("-", "_")
    architecture = timm_names.ARCHITECTURES.get(architecture or "", architecture)
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{name}: which network it is of must be one of {', '.join(ARCHITECTURES)}, got "
            f"{architecture!r}; name it, by network= or --network."
        )
    arrays = read_weights(path)
    try:
        shape = check_image_shape(tuple(image_shape or stated.get("input_size") or (3, 224, 224)))
        made = _filled(ARCHITECTURES[architecture], arrays, shape)
        mean, std = stated.get("mean") or IMAGENET_MEAN, stated.get("std") or IMAGENET_STD
        if shape[0] != len(mean):
            mean, std = [float(np.mean(mean))] * shape[0], [float(np.mean(std))] * shape[0]
        led = Sequential(normalize=Normalize(mean, std), **made.children)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} does not fit {architecture}: {error}") from error
    led.input_shape = shape
    return Pretrained(led, name, architecture)


def _named_in(stem: str) -> str | None:
    """Return the architecture that the name of a file begins with, as resnet18 of resnet18-f37072fd."""
    word = re.split(r"[-. ]", stem.lower())[0]
    return word if word in ARCHITECTURES or word in timm_names.ARCHITECTURES else None


def _filled(
    make: Callable[..., Sequential], arrays: Mapping[str, np.ndarray], shape: tuple[int, int, int]
) -> Sequential:
    """Build a network with as many classes as the weights are for, and copy them into it."""
    made = make(image_shape=shape, init=zeros)
    head, layer = head_of(made)
    named = timm_names.renamed(made, arrays) if timm_names.has_timms_names(arrays) else arrays
    given = named.get(f"{head}.weight")
    if given is not None and given.ndim and len(given) != layer.params["weight"].shape[-1]:
        made = make(len(given), shape, init=zeros)
    load_torchvision(made, arrays)
    return made


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """Read a safetensors file of a state dict, as float32 or float64.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no safetensors file, or holds numbers of another format.
    """
    from safetensors import SafetensorError, deserialize

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    if path.suffix.lower() in (".pt", ".pth", ".bin"):
        raise ValueError(
            f"{path}: only safetensors is read, as a pickle can run code; with PyTorch: "
            'safetensors.torch.save_file(torch.load(path, weights_only=True), "weights.safetensors").'
        )
    try:
        entries = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file, or is damaged: {error}.") from error
    arrays = {}
    for name, entry in entries:
        if name.endswith("num_batches_tracked"):
            continue
        if entry["dtype"] not in _FORMATS:
            allowed = ", ".join(_FORMATS)
            raise ValueError(f"{path}: {name} must be one of {allowed}, got {entry['dtype']}.")
        array = np.frombuffer(entry["data"], _FORMATS[entry["dtype"]]).reshape(entry["shape"])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = array if array.dtype == np.float64 else array.astype(np.float32)
    return arrays


def load_torchvision(network: Container, state_dict: Mapping[str, Any]) -> None:
    """Copy weights from PyTorch into a network whose arrays have the same names, such as torchvision's.

    That is so for :func:`alexnet_one_tower`, :func:`vgg11` to :func:`vgg19` with or without batch norm,
    :func:`resnet18` to :func:`resnet101`, :func:`mobilenet_v2`, :func:`mobilenet_v3_small`,
    :func:`mobilenet_v3_large`, :func:`efficientnet_b0`, :func:`shufflenet_v2_x0_5`,
    :func:`shufflenet_v2_x1_0`, :func:`regnet_y_400mf`, :func:`regnet_y_800mf`, :func:`convnext_tiny` and
    :func:`convnext_small`; timm's names of these arrays are translated, and timm's eps of batch norm, which
    differs in MobileNetV3, is taken over. PyTorch's dense weights are transposed, or become those of a 1 x 1
    convolution;
    a learned factor gets the name of its layer; the counters ``num_batches_tracked`` are omitted. Build the
    network with ``init=neocog.initializers.zeros`` to save the time of drawing weights. torchvision's
    networks take pixels in 0..1, in RGB, less the mean (0.485, 0.456, 0.406), divided by
    (0.229, 0.224, 0.225).

    Parameters
    ----------
    network : Container
        Unchanged if anything does not fit.
    state_dict : mapping of str to array or tensor
        ``torch.load(path)``, or ``safetensors.numpy.load_file(path)``, for which no PyTorch is needed.

    Raises
    ------
    TypeError
        If ``state_dict`` is no mapping, or an array is not floating point.
    ValueError
        If a name is missing or unknown, or a shape differs.

    Examples
    --------
    >>> from neocog.models import resnet_cifar
    >>> network, twin = (resnet_cifar(8, rng=seed) for seed in (0, 1))
    >>> weights = {**twin.params, **twin.buffers, "fc.weight": twin.params["fc.weight"].T}
    >>> load_torchvision(network, weights)
    >>> all((network.params[name] == twin.params[name]).all() for name in twin.params)
    True
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"state_dict must be a mapping of names to arrays, got {state_dict!r}.")
    arrays = {
        name: np.asarray(tensor.detach().cpu() if hasattr(tensor, "detach") else tensor)
        for name, tensor in state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    from_timm = timm_names.has_timms_names(arrays)
    if from_timm:
        arrays = timm_names.renamed(network, arrays)
    for prefix, layer in network.leaves():
        name = f"{prefix}.weight"
        if isinstance(layer, Dense) and name in arrays:
            shape = (layer.out_features, layer.in_features)
            if arrays[name].shape != shape:
                raise ValueError(
                    f"parameter {name!r} must have PyTorch's shape {shape}, got {arrays[name].shape}."
                )
            arrays[name] = arrays[name].T
        if isinstance(layer, Conv2D) and name in arrays and arrays[name].ndim == 2:
            arrays[name] = arrays[name][:, :, None, None]
        if isinstance(layer, Scale) and prefix in arrays:
            arrays[name] = arrays.pop(prefix)
    remembered = network.buffers
    buffers = {name: arrays.pop(name) for name in remembered if name in arrays}
    network.load(arrays, buffers)
    for _, layer in network.leaves() if from_timm else ():
        if isinstance(layer, BatchNorm2D):
            layer.eps = timm_names.EPS
