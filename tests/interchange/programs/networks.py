"""Programs: networks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["networks"]


def networks() -> Iterator[Program]:
    for n in (
        "relu relu6 sigmoid softplus silu elu selu gelu leaky_relu hard_tanh hard_sigmoid "
        "hard_swish celu glu log_sigmoid soft_sign softmax log_softmax standardize squareplus mish sparse_plus"
    ).split():
        yield Program("networks", n, getattr(jax.nn, n), draw(n, (3, 4)))
        yield Program("networks", f"{n}_grad", jax.grad(lambda x, n=n: (getattr(jax.nn, n)(x) ** 2).sum()), draw(n, (3, 4)), tol=1e-4)
    x, w = draw("conv", (2, 3, 9, 8), (4, 3, 3, 2))
    convs: dict[str, dict] = {
        "valid": {},
        "same": {"padding": "SAME"},
        "stride": {"window_strides": (2, 3)},
        "pads": {"padding": ((1, 2), (0, 3))},
        "negative": {"padding": ((-1, 1), (2, -1))},
        "lhs": {"lhs_dilation": (2, 3), "padding": ((0, 1), (2, 0))},
        "rhs": {"rhs_dilation": (2, 1)},
        "all": {"padding": ((1, 2), (0, 1)), "lhs_dilation": (1, 2), "rhs_dilation": (2, 2), "window_strides": (2, 1)},
    }
    masks = draw("conv_bool", ("bool", (2, 3, 9)), ("bool", (4, 3, 2)))
    yield Program("networks", "conv_bool", lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME"), masks)
    for n, options in convs.items():
        options = {"window_strides": (1, 1), "padding": "VALID", **options}
        conv = lambda x, w, o=options: lax.conv_general_dilated(x, w, **o)  # noqa: E731
        yield Program("networks", f"conv_{n}", conv, (x, w), tol=1e-4)
        yield Program("networks", f"conv_{n}_grad", jax.grad(lambda x, w, c=conv: (c(x, w) ** 2).sum(), (0, 1)), (x, w), tol=1e-4)
    for spec in (("NHWC", "HWIO", "NHWC"), ("CHWN", "OIHW", "NHWC"), ("NCHW", "HWOI", "HNWC")):
        shape = [{"N": 2, "C": 3, "H": 9, "W": 8}[c] for c in spec[0]]
        kernel = [{"O": 4, "I": 3, "H": 3, "W": 2}[c] for c in spec[1]]
        yield Program(
            "networks",
            f"conv_{'_'.join(spec)}",
            lambda x, w, s=spec: lax.conv_general_dilated(x, w, (1, 2), "SAME", dimension_numbers=s),
            draw(str(spec), tuple(shape), tuple(kernel)),
            tol=1e-4,
        )
    g = draw("groups", (2, 4, 7), (6, 2, 3), (4, 6, 7), (6, 6, 3))
    yield Program(
        "networks", "conv_groups", lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME", feature_group_count=2), g[:2], tol=1e-4
    )
    yield Program(
        "networks", "conv_batch_groups", lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME", batch_group_count=2), g[2:], tol=1e-4
    )
    yield Program(
        "networks",
        "conv_groups_grad",
        jax.grad(lambda x, w: (lax.conv_general_dilated(x, w, (1,), "SAME", feature_group_count=2) ** 2).sum(), (0, 1)),
        g[:2],
        tol=1e-4,
    )
    yield Program(
        "networks",
        "conv3d",
        lambda x, w: lax.conv_general_dilated(x, w, (1, 2, 1), "SAME"),
        draw("c3", (1, 2, 4, 5, 3), (3, 2, 2, 3, 2)),
        tol=1e-4,
    )
    yield Program(
        "networks",
        "conv_transpose",
        lambda x, w: lax.conv_transpose(x, w, (2, 2), "SAME"),
        draw("ct", (1, 4, 4, 3), (3, 3, 3, 2)),
        tol=1e-4,
    )
    yield Program(
        "networks",
        "conv_int",
        lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME", preferred_element_type=jnp.int32),
        draw("ci", ("i8", (1, 2, 6)), ("i8", (3, 2, 3))),
    )
    yield Program(
        "networks",
        "conv_bf16",
        lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME"),
        draw("cb", ("bf16", (1, 2, 6)), ("bf16", (3, 2, 3))),
        tol=3e-2,
    )
    yield Program("networks", "conv_0d", lambda x, w: lax.conv_general_dilated(x, w, (), ()), draw("c0", (4, 3), (2, 3)), tol=1e-4)
    yield Program(
        "networks",
        "conv_complex",
        lambda x, w: lax.conv_general_dilated(x, w, (1,), "SAME"),
        draw("cc", ("c64", (1, 2, 6)), ("c64", (3, 2, 3))),
        tol=1e-4,
    )
    yield Program(
        "networks", "patches", lambda x: lax.conv_general_dilated_patches(x, (2, 2), (1, 1), "VALID"), draw("cp", (1, 2, 5, 5)), tol=1e-4
    )
    a, b, q = draw("net", (4, 6, 8), (8, 16), (2, 5, 3, 4))

    def norm(x: Any) -> Any:
        return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-5)

    def block(x: Any, w: Any) -> Any:
        h = norm(x)
        p = jax.nn.softmax(h @ jnp.swapaxes(h, 1, 2) / 8**0.5)
        x = x + p @ h
        return x + jax.nn.gelu(norm(x) @ w) @ w.T

    def adam(w: Any, m: Any, v: Any, x: Any) -> Any:
        g = jax.grad(lambda w: (block(x, w) ** 2).mean())(w)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        return w - 0.01 * m / (jnp.sqrt(v) + 1e-8), m, v

    def lenet(x: Any, k: Any, w: Any) -> Any:
        h = jax.nn.relu(lax.conv_general_dilated(x, k, (1, 1), "SAME"))
        h = lax.reduce_window(h, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        return jax.nn.log_softmax(h.reshape(h.shape[0], -1) @ w)

    def lstm(x: Any, w: Any) -> Any:
        def step(s: Any, t: Any) -> Any:
            h, c = s
            i, f, g, o = jnp.split(jnp.concatenate([t, h]) @ w, 4)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        return lax.scan(step, (jnp.zeros(4), jnp.zeros(4)), x)

    images = draw("lenet", (2, 1, 8, 8), (3, 1, 3, 3), (48, 5))
    cells = draw("lstm", (5, 3), (7, 16))
    tokens = draw("tok", ("i32", (2, 5), 0, 9), (10, 8))
    nets: dict[str, tuple[Callable, tuple]] = {
        "layer_norm": (norm, (a,)),
        "block": (block, (a, b)),
        "block_grad": (jax.grad(lambda x, w: block(x, w).sum(), (0, 1)), (a, b)),
        "adam": (adam, (b, b * 0, b * 0 + 0.1, a)),
        "lenet": (lenet, images),
        "lenet_grad": (jax.grad(lambda *p: lenet(*p)[:, 0].sum(), (0, 1, 2)), images),
        "lstm": (lstm, cells),
        "lstm_grad": (jax.grad(lambda x, w: lstm(x, w)[1].sum(), (0, 1)), cells),
        "attention": (lambda q: jax.nn.dot_product_attention(q, q, q), (q,)),
        "attention_causal": (lambda q: jax.nn.dot_product_attention(q, q, q, is_causal=True), (q,)),
        "embedding": (lambda t, e: e[t].sum(1), tokens),
        "embedding_grad": (jax.grad(lambda e, t: (e[t] ** 2).sum()), tokens[::-1]),
        "cross_entropy": (
            lambda x: -jnp.take_along_axis(jax.nn.log_softmax(x[0]), jnp.array([[1], [2], [0], [3], [1], [7]]), 1).mean(),
            (a,),
        ),
        "batch_norm": (lambda x: (x - x.mean((0, 1))) / jnp.sqrt(x.var((0, 1)) + 1e-5), (a,)),
        "rms_norm": (lambda x: x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-6), (a,)),
        "resize": (lambda x: jax.image.resize(x, (4, 9, 5), "linear"), (a,)),
        "resize_cubic": (lambda x: jax.image.resize(x, (4, 12, 16), "cubic"), (a,)),
        "resize_nearest": (lambda x: jax.image.resize(x, (4, 3, 16), "nearest"), (a,)),
        "rope": (
            lambda x: jnp.concatenate([x[..., :4] * jnp.cos(jnp.arange(6.0)[:, None]), x[..., 4:] * jnp.sin(jnp.arange(6.0)[:, None])], -1),
            (a,),
        ),
        "moe": (lambda x, w: jnp.einsum("bsd,df,bsf->bsd", x, w, jax.nn.softmax(x @ w)), (a, b)),
        "bf16_block": (lambda x, w: block(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16)).astype(jnp.float32), (a, b)),
        "beam": (lambda x: lax.top_k(jax.nn.log_softmax(x).reshape(4, -1), 3), (a,)),
        "dropout": (lambda x: jnp.where(jax.random.bernoulli(jax.random.key(1), 0.9, x.shape), x / 0.9, 0), (a,)),
        "map_coordinates": (lambda x: jax.scipy.ndimage.map_coordinates(x[0], [jnp.array([0.5, 2.2]), jnp.array([1.1, 3.7])], 1), (a,)),
        "ragged_dot": (lambda x, w: lax.ragged_dot(x[0], jnp.stack([w, w * 2, -w]), jnp.array([2, 1, 3])), (a, b)),
        "quantize": (lambda x: jnp.clip(jnp.round(x / 0.05), -128, 127).astype(jnp.int8), (a,)),
    }
    for n, (fn, args) in nets.items():
        yield Program("networks", f"net_{n}", fn, args, tol=5e-2 if n == "bf16_block" else 2e-4)
