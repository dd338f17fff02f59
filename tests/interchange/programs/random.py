"""Programs: random."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.interchange.programs.program import Program

__all__ = ["random"]


def random() -> Iterator[Program]:
    seed = np.int32(42)
    r = jax.random
    cases: dict[str, Callable] = {
        "bits": lambda k: r.bits(k, (7,)),
        "bits8": lambda k: r.bits(k, (7,), jnp.uint8),
        "bits16": lambda k: r.bits(k, (2, 3), jnp.uint16),
        "uniform": lambda k: r.uniform(k, (5, 3)),
        "normal": lambda k: r.normal(k, (5, 3)),
        "split": lambda k: r.key_data(r.split(k, 4)),
        "fold_in": lambda k: r.key_data(r.fold_in(k, 9)),
        "randint": lambda k: r.randint(k, (10,), 3, 77),
        "bernoulli": lambda k: r.bernoulli(k, 0.3, (20,)),
        "permutation": lambda k: r.permutation(k, 10),
        "choice": lambda k: r.choice(k, 10, (4,), replace=False),
        "categorical": lambda k: r.categorical(k, jnp.log(jnp.array([0.1, 0.2, 0.7])), shape=(6,)),
        "exponential": lambda k: r.exponential(k, (6,)),
        "gumbel": lambda k: r.gumbel(k, (6,)),
        "laplace": lambda k: r.laplace(k, (6,)),
        "logistic": lambda k: r.logistic(k, (6,)),
        "truncated_normal": lambda k: r.truncated_normal(k, -1, 1, (6,)),
        "cauchy": lambda k: r.cauchy(k, (6,)),
        "gamma": lambda k: r.gamma(k, 2.0, (5,)),
        "beta": lambda k: r.beta(k, 2.0, 3.0, (4,)),
        "dirichlet": lambda k: r.dirichlet(k, jnp.ones(3), (2,)),
        "poisson": lambda k: r.poisson(k, 3.0, (6,)),
        "orthogonal": lambda k: jnp.abs(r.orthogonal(k, 3)),
        "multivariate_normal": lambda k: r.multivariate_normal(k, jnp.zeros(2), jnp.eye(2), (3,), method="cholesky"),
        "rademacher": lambda k: r.rademacher(k, (8,)),
        "maxwell": lambda k: r.maxwell(k, (4,)),
        "uniform16": lambda k: r.uniform(k, (6,), jnp.float16),
        "uniform_bf16": lambda k: r.uniform(k, (6,), jnp.bfloat16),
        "dropout": lambda k: jnp.where(r.bernoulli(k, 0.5, (4, 4)), jnp.ones((4, 4)) * 2, 0),
        "ball": lambda k: r.ball(k, 3, shape=(2,)),
        "weibull": lambda k: r.weibull_min(k, 1.0, 2.0, (4,)),
        "rayleigh": lambda k: r.rayleigh(k, 1.0, (4,)),
        "geometric": lambda k: r.geometric(k, 0.3, (5,)),
        "shuffle_rows": lambda k: r.permutation(k, jnp.arange(12).reshape(4, 3)),
    }
    for n, fn in cases.items():
        yield Program("random", n, lambda s, fn=fn: fn(r.key(s)), (seed,), tol=1e-4)
    for impl in ("rbg", "unsafe_rbg"):
        for n in ("bits", "uniform", "normal", "split", "fold_in", "randint", "bits8"):
            yield Program("random", f"{n}_{impl}", lambda s, fn=cases[n], impl=impl: fn(r.key(s, impl=impl)), (seed,), tol=1e-4)
    for n in ("bits64", "uniform64"):
        yield Program(
            "random",
            n,
            lambda s, n=n: r.bits(r.key(s), (5,), jnp.uint64) if n == "bits64" else r.uniform(r.key(s), (5,), jnp.float64),
            (seed,),
            wide=True,
            tol=1e-12,
        )
    state = np.array([3, 2**64 - 2], np.uint64)
    for algorithm in ("threefry", "philox"):
        which = getattr(lax.RandomAlgorithm, {"threefry": "RNG_THREE_FRY", "philox": "RNG_PHILOX"}[algorithm])
        for d in ("uint32", "uint64", "uint8", "uint16"):
            yield Program(
                "random",
                f"generator_{algorithm}_{d}",
                lambda s, d=d, w=which: lax.rng_bit_generator(s, (3, 5), dtype=jnp.dtype(d), algorithm=w),
                (state,),
                wide=True,
            )
