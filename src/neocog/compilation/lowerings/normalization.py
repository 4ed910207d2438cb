"""Lower batch normalization."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from neocog.compilation.emitter import Emitter, Lowering, Use, lowers
from neocog.compilation.nodes import LayerNode, Uncompilable
from neocog.kernels.fused.program import Maps
from neocog.layers import BatchNorm1D, BatchNorm2D
from neocog.layers.base import Shape


@lowers(BatchNorm1D, BatchNorm2D)
class BatchNormalization(Lowering):
    """Batch normalization, in training by the statistics of the batch, else by the running ones."""

    settings = ("eps", "momentum")
    takes_relu = True
    undoes_relu = True

    def supports(self, layer: Any, input_shapes: Sequence[Shape], output_shape: Shape, use: Use) -> None:
        N, _, *sizes = input_shapes[0]
        if use.training and N * math.prod(sizes) == 1:
            raise Uncompilable("batch norm of one value")  # which the layer refuses

    def forward(self, emit: Emitter, node: LayerNode) -> None:
        layer, x, y = node.layer, node.input.place, emit.maps(node.output)
        mean, inv_std = (emit.program.memory(y.C) for _ in range(2))
        node.memo.update(mean=mean, inv_std=inv_std)
        emit.pointwise(
            "normalise",
            6.0,
            x=x,
            y=y,
            training=int(emit.training),
            weight=layer.params["weight"],
            bias=layer.params["bias"],
            running_mean=layer.buffers["running_mean"],
            running_var=layer.buffers["running_var"],
            mean=mean,
            inv_std=inv_std,
            momentum=layer.momentum,
            eps=layer.eps,
            floor=node.floor,
        )

    def backward(self, emit: Emitter, node: LayerNode, dy: Maps) -> None:
        fields = {
            "x": node.input.place,
            "dy": dy,
            "training": int(emit.training),
            "weight": node.layer.params["weight"],
            "mean": node.memo["mean"],
            "inv_std": node.memo["inv_std"],
            "d_weight": emit.gradient(node, "weight"),
            "d_bias": emit.gradient(node, "bias"),
        }
        if node.relu and not emit.pooling_undoes_relu(node):
            fields |= {"relu_output": node.output.place}
        if not node.input.wanted:
            emit.pointwise("normalise_back", 8.0, **fields)
            return
        with emit.into(node.input) as dx:
            emit.pointwise("normalise_back", 8.0, **fields, dx=dx)
