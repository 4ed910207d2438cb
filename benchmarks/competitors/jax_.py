"""JAX: a compiled step, a compiled epoch of steps, and compiled inference, for the small networks."""

from __future__ import annotations

import os

if "OMP_NUM_THREADS" in os.environ:  # JAX does not look at it, but counts the cores that it may use
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(os.environ["OMP_NUM_THREADS"])])

import functools

import jax
import jax.numpy as jnp
from jax import lax

from networks import Conv, Dense, Flatten, Network, Pool, ReLU


def forward(network: Network, params, x):
    weights = iter(params)
    for layer in network.layers:
        match layer:
            case Conv(padding=p, stride=s):
                x = lax.conv_general_dilated(x, next(weights), (s, s), [(p, p), (p, p)])
                x = x + next(weights)[:, None, None]
            case Pool(size, stride):
                x = lax.reduce_window(
                    x, -jnp.inf, lax.max, (1, 1, size, size), (1, 1, stride, stride), "VALID"
                )
            case ReLU():
                x = jax.nn.relu(x)
            case Flatten():
                x = x.reshape(len(x), -1)
            case Dense():
                x = x @ next(weights) + next(weights)
            case _:
                raise TypeError(layer)
    return x


def begin(network: Network):
    """Return the parameters and their velocities, and the step that updates them."""
    lr, momentum = network.sgd["lr"], network.sgd.get("momentum", 0.0)
    decay = network.sgd.get("weight_decay", 0.0)

    def loss(params, x, t):
        return -jax.nn.log_softmax(forward(network, params, x))[jnp.arange(len(t)), t].mean()

    def update(state, batch):
        params, velocity = state
        value, grads = jax.value_and_grad(loss)(params, *batch)
        velocity = [
            momentum * v - lr * (g + decay * w) for v, g, w in zip(velocity, grads, params, strict=True)
        ]
        return ([w + v for w, v in zip(params, velocity, strict=True)], velocity), value

    params = [jnp.asarray(w) for w in network.weights()]
    return (params, [jnp.zeros_like(w) for w in params]), update


def step(network: Network, x, t):
    state, update = begin(network)
    update, batch = jax.jit(update, donate_argnums=0), (jnp.asarray(x), jnp.asarray(t))

    def call():
        nonlocal state
        state, value = update(state, batch)
        return float(value)

    return call


def epoch(network: Network, x, t):
    """Take all steps of an epoch in one compiled loop; the first axis of ``x`` and ``t`` counts them."""
    state, update = begin(network)

    @functools.partial(jax.jit, donate_argnums=0)
    def loop(state, batches):
        return lax.scan(update, state, batches)

    batches = jnp.asarray(x), jnp.asarray(t)

    def call():
        nonlocal state
        state, values = loop(state, batches)
        return jax.device_get(values)

    return call


def inference(network: Network, x):
    params, x = [jnp.asarray(w) for w in network.weights()], jnp.asarray(x)
    compiled = jax.jit(functools.partial(forward, network))
    return lambda: compiled(params, x).block_until_ready()
