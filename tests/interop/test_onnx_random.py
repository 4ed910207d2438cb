"""Random graphs: whatever the operators, their order and who reads whom, the numbers are ONNX Runtime's."""

import math

import numpy as np
import pytest

from neocog.interop.onnx import from_onnx, to_onnx

from .onnx_graphs import model, node, runtime

INPUT = (2, 4, 6)


class Drawing:
    """A graph that grows by a random node at a time; ``values`` are names with shapes, without the batch."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.values, self.nodes, self.arrays = [("x", INPUT)], [], {}
        while len(self.nodes) < self.rng.integers(2, 11):
            getattr(self, self.rng.choice([name for name in dir(Drawing) if name.startswith("draw_")]))()

    def model(self):
        return model(self.nodes, self.arrays, ("N", *INPUT), opset=18)

    def value(self):
        """As a rule the last value, now and then an older one."""
        last = self.rng.random() < 0.75
        return self.values[-1 if last else self.rng.integers(len(self.values))]

    def alike(self, fits):
        """Another value whose shape fits."""
        found = [name for name, shape in self.values if fits(shape)]
        return found[self.rng.integers(len(found))]

    def array(self, *shape):
        return self.constant(self.rng.normal(size=shape).astype("float32"))

    def constant(self, content):
        number = len(self.arrays)
        name = self.rng.choice([f"c{number}", f"p{number}.weight"])
        self.arrays[name] = np.asarray(content)
        return name

    def add(self, operator, inputs, shape, **attributes):
        number = len(self.nodes)
        name = self.rng.choice(["", f"group.{number}", f"n{number}"])
        self.nodes.append(node(operator, inputs, f"t{number}", name, **attributes))
        self.values.append((f"t{number}", tuple(shape)))

    def draw_activation(self):
        name, shape = self.value()
        self.add(self.rng.choice(["Relu", "Sigmoid", "Identity"]), name, shape)

    def draw_sum(self):
        name, shape = self.value()

        def broadcasts(other):
            return len(other) == len(shape) and all(b in (a, 1) for a, b in zip(shape, other, strict=True))

        self.add("Add", f"{name} {self.alike(broadcasts)}", shape)

    def draw_constant(self):
        name, shape = self.value()
        some = [size if self.rng.random() < 0.5 else 1 for size in shape]
        ones = [1] * (len(shape) - 1)
        sizes = [some, [], [shape[0], *ones], [1, shape[0], *ones]][self.rng.integers(4)]
        self.add(self.rng.choice(["Add", "Sub"]), f"{name} {self.array(*sizes)}", shape)

    def draw_scale(self):
        name, shape = self.value()
        if len(shape) == 3:
            self.add("Mul", f"{name} {self.array(shape[0], 1, 1)}", shape)

    def draw_convolution(self):
        name, shape = self.value()
        if len(shape) == 3 and shape[1] > 2:
            outs = int(self.rng.integers(1, 4))
            arrays = [
                self.array(outs, shape[0], 3, 1),
                *([self.array(outs)] if self.rng.random() < 0.4 else []),
            ]
            self.add("Conv", " ".join([name, *arrays]), (outs, *shape[1:]), pads=[1, 0, 1, 0])

    def draw_batch_norm(self):
        name, shape = self.value()
        arrays = [self.array(shape[0]) for _ in range(3)]
        variance = self.constant(self.rng.uniform(0.5, 2, shape[0]).astype("float32"))
        self.add("BatchNormalization", " ".join([name, *arrays, variance]), shape)

    def draw_flatten(self):
        name, shape = self.value()
        self.add("Flatten", name, [math.prod(shape)])

    def draw_reshape(self):
        name, shape = self.value()
        left, sizes = math.prod(shape), []
        for _ in range(self.rng.integers(0, 3)):
            sizes.append(int(self.rng.choice([d for d in range(1, left + 1) if left % d == 0])))
            left //= sizes[-1]
        sizes.append(left)
        target = [[0, *sizes], [-1, *sizes], [0, *sizes[:-1], -1]][self.rng.integers(3)]
        self.add("Reshape", f"{name} {self.constant(np.array(target))}", sizes)

    def draw_squeeze(self):
        name, shape = self.value()
        if 1 in shape and len(shape) > 1:
            axis = shape.index(1)
            without = shape[:axis] + shape[axis + 1 :]
            self.add("Squeeze", f"{name} {self.constant(np.array([axis + 1]))}", without)

    def draw_unsqueeze(self):
        name, shape = self.value()
        axis = int(self.rng.integers(len(shape) + 1))
        self.add(
            "Unsqueeze", f"{name} {self.constant(np.array([axis + 1]))}", (*shape[:axis], 1, *shape[axis:])
        )

    def draw_transpose(self):
        name, shape = self.value()
        axes = self.rng.permutation(len(shape))
        self.add(
            "Transpose", name, [shape[axis] for axis in axes], perm=[0, *(int(axis) + 1 for axis in axes)]
        )

    def draw_pooling(self):
        name, shape = self.value()
        if len(shape) > 1:
            operator = self.rng.choice(["GlobalAveragePool", "GlobalMaxPool"])
            self.add(operator, name, (shape[0], *[1] * (len(shape) - 1)))

    def draw_mean(self):
        name, shape = self.value()
        if len(shape) > 1:
            axis, keep = int(self.rng.integers(len(shape))), int(self.rng.integers(2))
            sizes = (*shape[:axis], *[1] * keep, *shape[axis + 1 :])
            self.add("ReduceMean", f"{name} {self.constant(np.array([axis + 1]))}", sizes, keepdims=keep)

    def draw_product(self):
        name, shape = self.value()
        outs = int(self.rng.integers(1, 5))
        self.add("MatMul", f"{name} {self.array(shape[-1], outs)}", (*shape[:-1], outs))

    def draw_softmax(self):
        name, shape = self.value()
        operator = self.rng.choice(["Softmax", "LogSoftmax"])
        self.add(operator, name, shape, axis=int(self.rng.integers(len(shape))) + 1)

    def draw_concat(self):
        name, shape = self.value()
        axis = int(self.rng.integers(len(shape)))
        self.add(
            "Concat", f"{name} {name}", (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :]), axis=axis + 1
        )


@pytest.mark.parametrize("seed", range(200))
def test_a_random_graph(seed):
    """Read, and written and read once more."""
    drawing = Drawing(seed)
    proto = drawing.model()
    network = from_onnx(proto)
    again = to_onnx(network, input_shape=INPUT)
    assert set(from_onnx(again).params) == set(network.params)
    for size in (1, 3):
        x = drawing.rng.normal(size=(size, *INPUT)).astype("float32")
        expected = runtime(proto, x)
        for y in (network(x), runtime(again, x)):
            assert y.shape == expected.shape
            np.testing.assert_allclose(y, expected, rtol=1e-3, atol=1e-4)
