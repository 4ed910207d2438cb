"""Define activations: straight pieces, exponentials, squashing, gates, and the base of them all."""

from neocog.layers.activation.elementary import Abs, Exp, Power, Sqrt
from neocog.layers.activation.elementwise import DECLARED, Elementwise, states_function
from neocog.layers.activation.exponential import ELU, SELU, Softplus
from neocog.layers.activation.gated import GELU, Hardswish, Mish, SiLU
from neocog.layers.activation.rectified import Clip, LeakyReLU, PReLU, ReLU
from neocog.layers.activation.sigmoidal import Hardsigmoid, ScaledTanh, Sigmoid, Tanh

__all__ = [
    "DECLARED",
    "ELU",
    "GELU",
    "SELU",
    "Abs",
    "Clip",
    "Elementwise",
    "Exp",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "Mish",
    "PReLU",
    "Power",
    "ReLU",
    "ScaledTanh",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Sqrt",
    "Tanh",
    "states_function",
]
