"""Import an nn.Module as a network."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from neocog.interop.nesting import apart, has_arrays
from neocog.interop.torch import modules
from neocog.interop.torch.exporting import NOTES, own_tensors, unwrapped, wrapped
from neocog.interop.torch.graph_builder import (
    Builder,
    ConversionWarning,
    TracedValue,
    UnsupportedError,
    values_in,
    with_location,
)
from neocog.interop.torch.layer_modules import LayerModule
from neocog.interop.torch.registry import LAYERS, Chain, Loaded, layers_of
from neocog.interop.torch.tracing import TracedForward, place_of
from neocog.layers import Container, Dense, Layer, Residual, Sequential
from neocog.validation import image_shape, one_of

MADE = (nn.Sequential, modules.Graph, modules.GraphOfSeveralInputs, modules.Residual, LayerModule)
"""The classes that :func:`to_torch` makes of a network; only their notes are read."""


def from_torch(
    module: nn.Module,
    input_shape: tuple[int, int, int] | None = None,
    *,
    path: Literal["evaluation", "training"] | None = "evaluation",
) -> Any:
    """Build the network that computes what a PyTorch module computes.

    It has the same weights (copied) under the same names, the same outputs and gradients, and the same
    dtype. ``nn.Sequential`` becomes a :class:`Sequential`; the ``forward`` of any other module runs once on
    stand-ins for its tensors, which have sizes and no numbers, and becomes a :class:`Sequential` if it is a
    chain, else a :class:`Graph`. Nested modules become nested containers. Functions become layers named
    after them, such as ``relu_1``. Parts that do not lead to the output are omitted. A layer none of whose
    parameters requires a gradient is frozen; ``network.unfreeze()`` lets it learn. A layer of your own that
    :func:`to_torch` has wrapped in a module is unwrapped, and so are modules wrapped by ``torch.compile``,
    ``nn.DataParallel`` or ``DistributedDataParallel``.

    Parameters
    ----------
    module : nn.Module
        In either mode.
    input_shape : (channels, height, width), optional
        Needed where a module reads the sizes of maps, such as ``nn.AdaptiveAvgPool2d(7)``, on which its
        control flow may depend, or for the batch after a ``view(-1, ...)``, which may have mixed its images.
        The network keeps it. Default: what :func:`to_torch` has noted in a module that it made, as it notes
        the names of the classes.
    path : {"evaluation", "training"} or None, default "evaluation"
        Which way the network goes, in both modes, where a forward goes another in training than in
        evaluation, as with auxiliary heads; a warning names the module. None refuses such modules.

    Returns
    -------
    Sequential or Graph; the layer itself if the module is but one

    Raises
    ------
    TypeError
        If ``module`` is no module.
    ValueError
        If ``input_shape`` is not one, or does not fit; or (an ``UnsupportedError``) if the module holds
        something without a counterpart; the message has its name, its place and what is supported.

    Warns
    -----
    ConversionWarning
        If a forward takes another path in the other mode, or a weight that is computed from parameters
        there is a parameter here.

    See Also
    --------
    to_torch : The opposite direction.
    register_module : For modules of your own.

    Notes
    -----
    The calls of a list's modules, as ``layers.0`` and ``layers.1`` of an ``nn.ModuleList``, become a
    container ``layers`` with the functions between them. Where that is impossible, as several of their
    values are used elsewhere, or other modules lie between, the names become ``layers_0`` and ``layers_1``.

    A module whose own parameters go to one function, and that has no others, becomes the layer of that name
    with what it does before and after it beside: a batch norm ``bn1`` with an activation ``bn1`` and
    ``bn1_act``. Otherwise a parameter that a function is given, rather than a module, is named after the
    function: in ``torch.relu(x + self.offset)`` it is ``bias.bias``, in
    ``F.linear(x.flatten(1), self.kernel)`` it is ``linear.weight``.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> class Block(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(4, 4, 3, padding=1)
    ...     def forward(self, x):
    ...         return torch.relu(self.conv(x) + x)
    >>> from_torch(Block())
    Graph({
      'conv': (Conv2D(4, 4, 3, padding=1), 'input'),
      'add': (Add(), 'conv', 'input'),
      'relu': (ReLU(), 'add'),
    })
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, got {module!r}.")
    inner = unwrapped(module)
    notes = {name: vars(inner).get(name) for name in NOTES} if type(inner) in MADE else {}
    names = _input_names(inner)
    if input_shape is None and len(names) == 1:
        input_shape = notes.get("input_shape")
    shape = None if input_shape is None else image_shape(input_shape)
    if shape is not None and len(names) > 1:
        raise ValueError(f"input_shape must be left out for a module of several inputs, {names}.")
    rank = None if shape is None else len(shape) + 1
    values = [TracedValue(name, shape, rank=rank) for name in names]
    several = isinstance(inner, modules.Graph) and len(values) > 1
    if path is not None:
        one_of("path", path, ("evaluation", "training"))
    reader = _Reader(path, module)
    with torch.enable_grad():  # what is computed from a parameter is known by its gradient
        network, _ = reader.layer(module, values, (tuple(values),) if several else tuple(values), "")
    if reader.notes:
        warnings.warn(". ".join(reader.notes) + ".", ConversionWarning, stacklevel=2)
    if isinstance(network, Container):
        if frozen := reader.frozen(network):
            network.freeze_only(dict.fromkeys(frozen, True))
        network.input_shape, network.class_names = shape, notes.get("class_names")
        network.class_weight, network.stated_kind = notes.get("class_weight"), notes.get("stated_kind")
        if shape == notes.get("input_shape"):
            network.preprocessing = notes.get("preprocessing")
    return network


def _input_names(module: nn.Module) -> list[str]:
    """Return the names of the inputs that a module requires."""
    _refuse_scripts(module)
    if isinstance(module, modules.Graph):
        return list(module._inputs)
    if _is_sequential(module) or layers_of(module):
        return ["input"]
    given = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    names = [each.name for each in parameters if each.default is each.empty and each.kind in given]
    return names if len(names) > 1 else ["input"]


def _refuse_scripts(module: nn.Module) -> None:
    """Raise UnsupportedError for a module of TorchScript, which cannot be traced: it runs no Python."""
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedError("a module of TorchScript cannot be traced; pass the module before scripting.")


def _is_sequential(module: nn.Module) -> bool:
    return type(module).forward is nn.Sequential.forward


def _is_known(module: nn.Module) -> bool:
    """Return whether a module is converted without tracing its forward."""
    containers = (modules.Graph, modules.Residual)
    return bool(layers_of(module)) or isinstance(module, containers) or _is_sequential(module)


class _Reader:
    """One run of :func:`from_torch`: tensors that are shared in the module are shared in the network."""

    def __init__(self, path_taken: str | None, module: nn.Module) -> None:
        self.path_taken = path_taken
        tensors = (*module.parameters(), *module.buffers())
        floating = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
        self.dtype = next(floating, torch.get_default_dtype())
        self.notes: dict[str, None] = {}  # each once, in order
        self._chains: dict[int, Chain] = {}  # by the module's id
        self._arrays: dict[Any, np.ndarray] = {}  # by the tensor's id and shape, and whether transposed
        self._held: list[Tensor] = []  # so that no other tensor has the id of one of these
        self._shapes: dict[int, tuple[int, ...]] = {}  # in which a parameter is used, by its id
        self._sources: dict[int, Tensor] = {}  # by the array's id, the tensor from which it is copied
        self._fixed: set[int] = set()  # ids of the arrays whose tensors require no gradient

    def note(self, text: str) -> None:
        """Tell the user something of how the module was converted."""
        self.notes[text] = None

    def frozen(self, network: Container) -> list[str]:
        """Return the names of the layers none of whose parameters requires a gradient."""
        return [
            name
            for name, layer in network.leaves()
            if layer.params and all(id(array) in self._fixed for array in layer.params.values())
        ]

    def layer(
        self, module: nn.Module, inputs: Sequence[TracedValue], args: tuple[Any, ...], path: str
    ) -> tuple[Layer, bool]:
        """Return the layer of a module, and whether the module writes into its inputs."""
        builder = Builder(inputs)
        result = self.call(builder, "layer", module, args, {}, path)
        if not isinstance(result, TracedValue):
            error = UnsupportedError("it returns no single tensor, which alone is supported")
            raise with_location(error, place_of(module, path))
        if result.name in [value.name for value in inputs]:
            return Sequential(), builder.writes
        if len(builder.nodes) == 1:
            ((layer, *_),) = builder.nodes.values()
            return layer, builder.writes
        return builder.finish(result), builder.writes

    def call(
        self, builder: Builder, name: str, module: nn.Module, args: Any, kwargs: Mapping[str, Any], path: str
    ) -> Any:
        """Apply a module to values, at a new node or several; return its value, or several as it does."""
        try:
            return self._call(builder, name, module, args, kwargs, path)
        except (TypeError, ValueError) as error:
            raise with_location(error, place_of(module, path)) from error.__cause__

    def _call(
        self, builder: Builder, name: str, module: nn.Module, args: Any, kwargs: Mapping[str, Any], path: str
    ) -> Any:
        _refuse_scripts(module)
        hooks = (module._forward_hooks, module._forward_pre_hooks)
        if any(hooks) or module._backward_hooks or module._backward_pre_hooks:
            raise UnsupportedError("its hooks cannot be traced; remove them")
        if (within := wrapped(module)) is not None:
            return self.call(builder, name, within, args, kwargs, path)
        if "forward" in vars(module) and _is_known(module):
            raise UnsupportedError("its forward was replaced, which cannot be traced; define it in a class")
        outer = [*values_in(args), *values_in(kwargs)]
        if not outer:
            raise UnsupportedError("it is called without a tensor made of the input")
        more = len(outer) < len(args) + len(kwargs)
        sized = more and isinstance(module, nn.ConvTranspose2d)  # an output_size, which its forward reads
        if more and not sized and _is_known(module):
            raise UnsupportedError("it is called with more than tensors, which has no counterpart")
        if not sized and (make := layers_of(module)) is not None:
            tensors = own_tensors(module)
            chain = self._chains.get(id(module)) or make(module, outer[0])
            if tensors:  # the same layers at each call
                self._chains[id(module)] = chain
            result = self.apply(builder, name, chain, outer, tensors, child=True)
            if getattr(module, "inplace", False):
                builder.overwrite(outer[0], result)
            return result
        if isinstance(module, modules.Residual):
            return builder.add(builder.free(name, child=True), self._residual(module, outer[0], path), *outer)
        several = _is_sequential(module) and not isinstance(args[0], TracedValue)
        if _is_sequential(module) and not several:
            inner, output = self._sequential(module, args[0], path)
        elif isinstance(module, modules.Graph):
            inner, output = self._graph(module, outer, path)
        elif _is_torchs(module) and not several and not sized:
            classes = [each for each in LAYERS if not isinstance(each, str)]
            names = sorted(each.__name__ for each in classes if each.__module__.startswith("torch."))
            raise UnsupportedError(
                f"it has no counterpart; supported are {', '.join(names)}, and your own modules by "
                "neocog.interop.torch.register_module"
            )
        else:
            forward = TracedForward(self, module, args, kwargs, path)
            inner, outer, output = forward.builder, forward.outer, forward.run()
        names = [value.name for value in inner.inputs]
        if inner.writes:
            for value in outer:
                builder.overwrite(value)
        if not isinstance(output, TracedValue):
            return builder.inline(name, inner, outer, output)
        if output.name in names:
            return outer[names.index(output.name)]
        used = inner.used(output)  # a module may not read all that it is given
        outer = [value for value, name in zip(outer, names, strict=True) if name in used]
        inner.inputs = [value for value in inner.inputs if value.name in used]
        made = isinstance(module, modules.Graph)
        moves = any(isinstance(each, modules.Permute | modules.Reshape) for each in module.children())
        # What to_torch has made comes back as it was.
        layer = inner.finish(output, chain=not made, merge=not moves)
        owner = self._owner(module, layer) if builder.is_child(name) else None
        if owner is None:
            return builder.add(builder.free(name, child=True), layer, *outer)
        return builder.splice(name, layer, owner, outer)

    def _owner(self, module: nn.Module, layer: Layer) -> str | None:
        """Return the only child with arrays, if these are the module's own and have their names there."""
        owners = [name for name, child in getattr(layer, "children", {}).items() if has_arrays(child)]
        if len(owners) != 1:
            return None
        child = layer.children[owners[0]]  # type: ignore[attr-defined]
        own = module._parameters | module._buffers
        arrays = {**child.params, **child.buffers}
        theirs = all(self._sources.get(id(array)) is own.get(key, array) for key, array in arrays.items())
        return owners[0] if theirs else None

    def apply(
        self,
        builder: Builder,
        name: str,
        chain: Chain,
        values: Sequence[TracedValue],
        tensors: Mapping[str, Tensor],
        child: bool = False,
    ) -> TracedValue:
        """Apply layers one after another; the one with parameters gets the name, or else the first."""
        parts = chain if isinstance(chain, tuple) else (chain,)
        layers = [part.layer if isinstance(part, Loaded) else part for part in parts]
        main = next((layer for layer in layers if layer.params), next(iter(layers), Sequential()))
        given = [part for part in parts if isinstance(part, Loaded)]
        for part in given or [Loaded(main, dict(tensors))]:
            self._load(part.layer, part.tensors)
        for layer in layers:
            kind = type(layer).__name__.lower()
            own = builder.free(name, child) if layer is main else builder.free(f"{name}_{kind}")
            values = [builder.add(own, layer, *values)]
        return values[0]

    def _load(self, layer: Layer, tensors: Mapping[str, Tensor | None]) -> None:
        """Copy tensors into a layer's arrays; raise UnsupportedError unless names and shapes are the same.

        An array without a tensor, None, is fixed.
        """
        rest = dict(tensors)
        loaded: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # by the ids of both, which are kept
        for prefix, leaf in layer.leaves():
            for arrays in (leaf.params, leaf.buffers):
                for key, array in arrays.items():
                    if id(array) in loaded:  # shared, it has one name
                        arrays[key] = loaded[id(array)][1]
                        continue
                    name = f"{prefix}.{key}".lstrip(".")
                    transposed = isinstance(leaf, Dense) and key == "weight"
                    if name not in rest:
                        raise UnsupportedError(f"it has no tensor {name!r} for {layer!r}")
                    tensor = rest.pop(name)
                    if tensor is None:
                        tensor = torch.from_numpy(array).to(self.dtype)
                    arrays[key] = self._array(name, tensor, transposed)
                    if arrays[key].shape != array.shape:
                        raise UnsupportedError(
                            f"its tensor {name!r} is of shape {arrays[key].shape} here, {layer!r} has one of "
                            f"shape {array.shape}"
                        )
                    loaded[id(array)] = loaded[id(arrays[key])] = (array, arrays[key])
        if rest:
            raise UnsupportedError(f"its tensors {sorted(rest)} have no place in {layer!r}")

    def _array(self, name: str, tensor: Tensor, transposed: bool) -> np.ndarray:
        whole = tensor if tensor._base is None else tensor._base  # of a view, which is a new one each time
        shape = tuple(tensor.shape)
        if isinstance(whole, nn.Parameter) and self._shapes.setdefault(id(whole), shape) != shape:
            raise UnsupportedError(f"its tensor {name!r} is used in two shapes, as if it were two")
        key = (id(whole), shape, tensor.storage_offset(), transposed)
        if key not in self._arrays:
            self._held.append(whole)
            if whole._backward_hooks or whole._post_accumulate_grad_hooks:
                raise UnsupportedError(f"its tensor {name!r} has hooks, which cannot be traced; remove them")
            if tensor.is_meta or not (tensor.is_floating_point() or tensor.is_complex()):
                raise UnsupportedError(f"its tensor {name!r} holds no floating point numbers")
            array = tensor.detach().cpu().numpy()
            self._arrays[key] = np.array(array.T if transposed else array, order="C")
            self._sources[id(self._arrays[key])] = whole
            if not whole.requires_grad:
                self._fixed.add(id(self._arrays[key]))
        return self._arrays[key]

    def _sequential(self, module: nn.Module, x: TracedValue, path: str) -> tuple[Builder, Any]:
        value: Any = replace(x, name=apart("input", module._modules), base=None)
        builder = Builder([value], module._modules)
        for name, each in module._modules.items():
            assert each is not None
            value = self.call(builder, name, each, (value,), {}, _within(path, name))
        return builder, value

    def _graph(
        self, module: modules.Graph, outer: Sequence[TracedValue], path: str
    ) -> tuple[Builder, TracedValue]:
        whole = len(outer) < len(module._inputs)  # one value stands for the tuple of all inputs
        like = [replace(outer[0], shape=None, rank=None)] * len(module._inputs) if whole else outer
        inputs = [
            replace(value, name=name, base=None) for name, value in zip(module._inputs, like, strict=True)
        ]
        builder = Builder(inputs, module._modules)
        values = {value.name: value for value in inputs}
        for name, sources in module._sources.items():
            given = values[sources] if isinstance(sources, str) else tuple(values[s] for s in sources)
            child = module.get_submodule(name)
            values[name] = self.call(builder, name, child, (given,), {}, _within(path, name))
            if builder.overwritten:
                raise UnsupportedError(f"its {name!r} writes into its input; inplace=False is supported")
        return builder, values[module._output]

    def _residual(self, module: modules.Residual, x: TracedValue, path: str) -> Residual:
        ways: list[Layer] = []
        for name, child in module.named_children():
            value = replace(x, name="input", base=None)
            layer, writes = self.layer(child, [value], (value,), _within(path, name))
            if writes:
                raise UnsupportedError(f"its {name} writes into its input; inplace=False is supported")
            ways.append(layer)
        return Residual(*ways)


def _is_torchs(module: nn.Module) -> bool:
    """Return whether a module is of PyTorch's own whose forward is not traced."""
    return type(module).__module__.startswith("torch.nn.modules.") and not isinstance(module, nn.RMSNorm)


def _within(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
