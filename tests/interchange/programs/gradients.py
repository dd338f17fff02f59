"""Programs: gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.interchange.programs.program import Program, draw

__all__ = ["gradients"]


def gradients() -> Iterator[Program]:
    for n in (
        "sin cos tan tanh exp log1p sqrt sinh cosh arctan arcsinh square abs "
        "expm1 cbrt sinc i0 log cumsum cumprod prod max min sort var std mean logaddexp"
    ).split():
        fn = getattr(jnp, n)
        args = draw("g" + n, ("f32", (3, 4), 0.2, 2), ("f32", (3, 4), 0.2, 2))[: 2 if n == "logaddexp" else 1]
        yield Program("gradients", n, jax.grad(lambda *a, fn=fn: (fn(*a) * 1.5).sum()), args, tol=1e-4)
    for n in "erf erfc digamma gammaln expit i0e i1e logsumexp".split():
        fn = getattr(jax.scipy.special, n)
        yield Program(
            "gradients", f"special_{n}", jax.grad(lambda a, fn=fn: fn(a).sum()), draw("gs" + n, ("f32", (3, 4), 0.3, 2)), tol=2e-4
        )
    x, w, y = draw("grads", (4, 5), (5, 3), (4, 3))
    loss = lambda w, x, y: ((jnp.tanh(x @ w) - y) ** 2).mean()  # noqa: E731
    cases: dict[str, tuple[Callable, tuple]] = {
        "mse": (jax.grad(loss), (w, x, y)),
        "value_and_grad": (jax.value_and_grad(loss), (w, x, y)),
        "all": (jax.grad(loss, (0, 1, 2)), (w, x, y)),
        "jacfwd": (jax.jacfwd(lambda x: jnp.sin(x).sum(0)), (x,)),
        "jacrev": (jax.jacrev(lambda x: (x**2).sum(1)), (x,)),
        "hessian": (jax.hessian(lambda v: (v**3).sum()), (x[0],)),
        "jvp": (lambda x: jax.jvp(jnp.sin, (x,), (x,)), (x,)),
        "vjp": (lambda x: jax.vjp(jnp.cumsum, x)[1](jnp.ones(20)), (x,)),
        "hvp": (lambda x: jax.jvp(jax.grad(lambda v: (v**4).sum()), (x,), (x,)), (x,)),
        "vmap_grad": (jax.vmap(jax.grad(lambda r: (r**2).sum())), (x,)),
        "take": (jax.grad(lambda x: x[jnp.array([0, 2, 0])].sum()), (x,)),
        "dyn_slice": (jax.grad(lambda x: lax.dynamic_slice(x, (1, 2), (2, 2)).sum()), (x,)),
        "scatter": (jax.grad(lambda x: (x.at[jnp.array([0, 0, 1])].multiply(2.0) ** 2).sum()), (x,)),
        "softmax": (jax.grad(lambda x: jax.nn.log_softmax(x)[:, 1].sum()), (x,)),
        "norm": (jax.grad(jnp.linalg.norm), (x,)),
        "sgd": (lambda w, x, y: w - 0.1 * jax.grad(loss)(w, x, y), (w, x, y)),
        "maxpool": (jax.grad(lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2, 2), (2, 2), "VALID").sum()), (x,)),
        "avgpool": (jax.grad(lambda x: (lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 1), "SAME") ** 2).sum()), (x,)),
        "argsort": (jax.grad(lambda x: (jnp.sort(x, 0) * jnp.arange(5.0)).sum()), (x,)),
        "concat": (jax.grad(lambda x: (jnp.concatenate([x, x * 2]) ** 2).sum()), (x,)),
        "where": (jax.grad(lambda x: jnp.where(x > 0, x**2, jnp.sin(x)).sum()), (x,)),
        "einsum": (jax.grad(lambda x: jnp.einsum("ij,ik->jk", x, x).max()), (x,)),
        "third": (jax.grad(jax.grad(jax.grad(lambda v: jnp.tanh(v)))), (np.float32(0.3),)),
        "stop": (jax.grad(lambda x: (x * lax.stop_gradient(x)).sum()), (x,)),
        "linearize": (lambda x: jax.linearize(jnp.sin, x)[1](x), (x,)),
        "custom": (jax.grad(lambda x: jax.nn.gelu(x).sum()), (x,)),
        "top_k": (jax.grad(lambda x: lax.top_k(x, 2)[0].sum()), (x,)),
        "cummax": (jax.grad(lambda x: lax.cummax(x, 0).sum()), (x,)),
        "logdet": (jax.grad(lambda x: jnp.linalg.slogdet(x @ x.T + jnp.eye(4))[1]), (x,)),
        "fori": (jax.grad(lambda x: lax.fori_loop(0, 4, lambda i, c: jnp.sin(c) * x, x).sum()), (x,)),
        "complex": (jax.grad(lambda x: jnp.abs(jnp.exp(1j * x) + x).sum()), (x,)),
        "pad": (jax.grad(lambda x: (jnp.pad(x, 1) ** 2).sum()), (x,)),
    }
    for n, (fn, args) in cases.items():
        yield Program("gradients", f"of_{n}", fn, args, tol=1e-4)
