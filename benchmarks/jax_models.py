"""The networks of models.py in JAX's own terms. Each function builds one: a jitted function of the workload's inputs.

The weights are those of models.weights, under torch's names. A training step keeps its state and returns the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from benchmarks.models import MLP, weights
from benchmarks.transforms import CNN, DENSE, WIDE

Params = dict[str, Any]


def _params(shapes: dict[str, tuple[int, ...]]) -> Params:
    return {name: jnp.asarray(value) for name, value in weights(shapes).items()}


def _linear(p: Params, name: str, x: Any) -> Any:
    y = x @ p[name + ".weight"].T
    return y + p[name + ".bias"] if name + ".bias" in p else y


def _norm(p: Params, name: str, x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    centred = x - mean
    return centred * lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p[name + ".weight"] + p[name + ".bias"]


def _cross_entropy(logits: Any, targets: Any) -> Any:
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], 1).mean()


def _trainer(forward: Callable, params: Params, start: Callable, update: Callable) -> Callable:
    """A training step that owns its parameters and the optimizer's state."""
    state = start(params)

    def step(params: Params, state: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(lambda p: _cross_entropy(forward(p, x), y))(params)
        params, state = update(params, grads, state)
        return loss, params, state

    compiled = jax.jit(step, donate_argnums=(0, 1))

    def run(x: Any, y: Any) -> Any:
        nonlocal params, state
        loss, params, state = compiled(params, state, x, y)
        return loss

    return run


def _adamw_start(params: Params) -> Any:
    return jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, params), jax.tree.map(jnp.zeros_like, params)


def _adamw(params: Params, grads: Params, state: Any, lr: float = 1e-3, b1: float = 0.9, b2: float = 0.999, decay: float = 0.01) -> Any:
    step, m, v = state
    step = step + 1
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
    c1, c2 = 1 - b1**step, 1 - b2**step
    params = jax.tree.map(lambda p, m, v: p * (1 - lr * decay) - lr * (m / c1) / (jnp.sqrt(v / c2) + 1e-8), params, m, v)
    return params, (step, m, v)


def _sgd_start(params: Params) -> Any:
    return jax.tree.map(jnp.zeros_like, params)


def _sgd(params: Params, grads: Params, state: Any, lr: float = 0.01, momentum: float = 0.9) -> Any:
    state = jax.tree.map(lambda b, g: momentum * b + g, state, grads)
    return jax.tree.map(lambda p, b: p - lr * b, params, state), state


def tiny() -> Callable:
    return jax.jit(lambda x, y: x * y + x)


def chain() -> Callable:
    return jax.jit(lambda x, y: jax.nn.sigmoid(jax.nn.gelu(x, approximate=False) * y + x))


def softmax_layer_norm() -> Callable:
    p = _params({"norm.weight": (4096,), "norm.bias": (4096,)})
    return jax.jit(lambda x: _norm(p, "norm", jax.nn.softmax(x, axis=-1)))


def matmul() -> Callable:
    return jax.jit(jnp.matmul)


def _mlp(p: Params, x: Any) -> Any:
    x = jax.nn.relu(_linear(p, "0", x))
    return _linear(p, "4", jax.nn.relu(_linear(p, "2", x)))


def mlp() -> Callable:
    p = _params(MLP)
    compiled = jax.jit(_mlp)
    return lambda x: compiled(p, x)


def mlp_lowered(x: Any) -> Any:
    """The MLP as JAX would compile it for `x`, weights as arguments: call `.compile()`."""
    return jax.jit(_mlp).lower(_params(MLP), x)


def mlp_train() -> Callable:
    return _trainer(_mlp, _params(MLP), _adamw_start, _adamw)


def lenet_train() -> Callable:
    shapes = {
        "0.weight": (32, 1, 5, 5), "0.bias": (32,), "3.weight": (64, 32, 5, 5), "3.bias": (64,),
        "7.weight": (512, 3136), "7.bias": (512,), "9.weight": (10, 512), "9.bias": (10,),
    }  # fmt: skip

    def layer(p: Params, name: str, x: Any) -> Any:
        x = lax.conv_general_dilated(x, p[name + ".weight"], (1, 1), [(2, 2), (2, 2)]) + p[name + ".bias"][:, None, None]
        return lax.reduce_window(jax.nn.relu(x), -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def forward(p: Params, x: Any) -> Any:
        x = layer(p, "3", layer(p, "0", x)).reshape(x.shape[0], -1)
        return _linear(p, "9", jax.nn.relu(_linear(p, "7", x)))

    return _trainer(forward, _params(shapes), _sgd_start, _sgd)


def lstm() -> Callable:
    p = _params({"lstm.weight_ih_l0": (512, 128), "lstm.weight_hh_l0": (512, 128), "lstm.bias_ih_l0": (512,), "lstm.bias_hh_l0": (512,)})

    def forward(p: Params, x: Any) -> Any:
        gates = x @ p["lstm.weight_ih_l0"].T + p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]
        w = p["lstm.weight_hh_l0"].T

        def step(carry: Any, g: Any) -> Any:
            h, c = carry
            i, f, u, o = jnp.split(g + h @ w, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(u)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zero = jnp.zeros((x.shape[1], 128), x.dtype)
        return lax.scan(step, (zero, zero), gates)[1]

    compiled = jax.jit(forward)
    return lambda x: compiled(p, x)


def gpt_train() -> Callable:
    width, heads, vocabulary, length = 256, 8, 4096, 128
    shapes: dict[str, tuple[int, ...]] = {"tokens.weight": (vocabulary, width), "positions.weight": (length, width)}
    for i in range(4):
        for name in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{name}.weight": (width,), f"blocks.{i}.{name}.bias": (width,)}
        for name, out, inner in (("qkv", 3, 1), ("out", 1, 1), ("up", 4, 1), ("down", 1, 4)):
            shapes |= {f"blocks.{i}.{name}.weight": (out * width, inner * width), f"blocks.{i}.{name}.bias": (out * width,)}
    shapes |= {"norm.weight": (width,), "norm.bias": (width,), "head.weight": (vocabulary, width)}

    def forward(p: Params, tokens: Any) -> Any:
        b, t = tokens.shape
        x = p["tokens.weight"][tokens] + p["positions.weight"][:t]
        mask = jnp.tril(jnp.ones((t, t), bool))
        for i in range(4):
            name = f"blocks.{i}."
            qkv = _linear(p, name + "qkv", _norm(p, name + "norm1", x))
            q, k, v = (a.reshape(b, t, heads, -1).transpose(0, 2, 1, 3) for a in jnp.split(qkv, 3, axis=-1))
            scores = jnp.where(mask, q @ k.transpose(0, 1, 3, 2) / jnp.sqrt(jnp.float32(width // heads)), -jnp.inf)
            y = (jax.nn.softmax(scores, axis=-1) @ v).transpose(0, 2, 1, 3).reshape(b, t, width)
            x = x + _linear(p, name + "out", y)
            x = x + _linear(p, name + "down", jax.nn.gelu(_linear(p, name + "up", _norm(p, name + "norm2", x)), approximate=False))
        return _linear(p, "head", _norm(p, "norm", x)).reshape(-1, vocabulary)

    return _trainer(forward, _params(shapes), _adamw_start, _adamw)


def _tanh(x: Any, a: Any, b: Any) -> Any:
    return jnp.tanh(jnp.tanh(a @ x) @ b[0])


def vmap_grad() -> Callable:
    p = _params(WIDE)
    compiled = jax.jit(jax.vmap(jax.grad(_tanh), (0, None, None)))
    return lambda x: compiled(x, p["a"], p["b"])


def hessian() -> Callable:
    p = _params(WIDE)
    compiled = jax.jit(jax.hessian(_tanh))
    return lambda x: compiled(x, p["a"], p["b"])


def per_sample() -> Callable:
    p = _params(CNN)

    def loss(p: Params, x: Any, y: Any) -> Any:
        h = jax.nn.relu(lax.conv_general_dilated(x[None], p["a"], (1, 1), [(1, 1), (1, 1)]))
        h = jax.nn.relu(lax.conv_general_dilated(h, p["b"], (2, 2), [(1, 1), (1, 1)]))
        return _cross_entropy(h.mean((2, 3)) @ p["c"].T, y[None])

    def rows(p: Params, x: Any, y: Any) -> Any:
        grads = jax.vmap(jax.grad(loss), (None, 0, 0))(p, x, y)
        return jnp.concatenate([grads[name].reshape(x.shape[0], -1) for name in CNN], 1)

    compiled = jax.jit(rows)
    return lambda x, y: compiled(p, x, y)


def hvp() -> Callable:
    p = _params(DENSE)

    def product(p: Params, x: Any, y: Any) -> Any:
        def loss(p: Params) -> Any:
            return _cross_entropy(jnp.tanh(jnp.tanh(x @ p["a"].T) @ p["b"].T) @ p["c"].T, y)

        made = jax.jvp(jax.grad(loss), (p,), (p,))[1]
        return jnp.concatenate([made[name].reshape(-1) for name in DENSE])

    compiled = jax.jit(product)
    return lambda x, y: compiled(p, x, y)
