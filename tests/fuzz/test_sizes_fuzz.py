"""Random functions that read sizes in Python in every way: compiled once for all sizes, they give what they give eagerly.

`python -m pytest tests/fuzz/test_sizes_fuzz.py --long` tries many more.
"""

import numpy as np
import pytest

import ingot
from tests.support.interpreter import interpreter  # noqa: F401

SIZES = [(3, 2), (5, 7), (7, 3), (2, 11), (1, 5), (0, 4), (4, 1), (1, 1), (13, 13), (6, 0)]


def program(seed):
    """A function (x: [n, 4], y: [m, 4], k) -> results that takes the same random steps each time, with what sizes it reads."""

    def run(x, y, k):
        rng = np.random.default_rng(seed)
        pool, numbers = [x, y], [x.shape[0], y.size(0), k, 2, x.numel(), 3]

        def pick(rank=None):
            fit = [t for t in pool if rank is None or t.ndim == rank]
            return fit[int(rng.integers(len(fit)))]

        def number():
            return numbers[int(rng.integers(len(numbers)))]

        for _ in range(8):
            t, n, m = pick(), number(), number()
            kind = KINDS[int(rng.integers(len(KINDS)))]
            if kind == "arithmetic":
                numbers.append([n + m, n - m + 5, n * m % 7, n // 2, abs(n - m), -n + m, divmod(n, 3)[1], min(n, m), max(n, 2)][
                    int(rng.integers(9))
                ])  # fmt: skip
            elif kind == "extent":
                numbers.append([t.shape[0], t.size(-1), t.stride(0), t.numel(), t.shape.numel(), t.ndim][int(rng.integers(6))])
            elif kind == "length":
                numbers.append(len(t))
            elif kind == "branch":
                pool.append(t * 2 if n > m else t + 1)
            elif kind == "equal":
                pool.append(t - 1 if n == m else t)
            elif kind == "parity":
                pool.append(-t if n % 2 else t)
            elif kind == "scale":
                pool.append(t * n)
            elif kind == "divide":
                pool.append(t / (abs(n) + 1))
            elif kind == "fill":
                pool.append(ingot.zeros(abs(n) % 9, 4) + t.mean() if t.numel() else ingot.ones(abs(n) % 9, 4))
            elif kind == "arange":
                pool.append(ingot.arange(abs(n) % 11).float()[:, None] * ingot.ones(1, 4))
            elif kind == "mask":
                pool.append(t * (ingot.arange(t.shape[0]) < n)[:, None])
            elif kind == "slice":
                pool.append(t[: abs(n) % 6])
            elif kind == "tail":
                pool.append(t[1:])
            elif kind == "step":
                pool.append(t[::2])
            elif kind == "narrow":
                pool.append(t.narrow(0, 0, min(t.shape[0], 3)))
            elif kind == "view":
                pool.append(t.reshape(-1).reshape(t.shape[0], 4))
            elif kind == "turn":
                pool.append(t.t().reshape(4, t.size(0)).T)
            elif kind == "join":
                pool.append(ingot.cat([t, pick()], 0))
            elif kind == "sum":
                pool.append(t + t.sum(0, keepdim=True))
            elif kind == "softmax":
                pool.append(t.softmax(0))
            elif kind == "write":
                c = t.clone()
                c[1:] += 1
                c[:, 0] = n
                pool.append(c)
            elif kind == "pad":
                pool.append(ingot.nn.functional.pad(t, (0, 0, abs(n) % 3, 1)))
            elif kind == "outer":
                pool.append((t[:, None] - y[None]).sum(1))
            elif kind == "expand":
                pool.append(t[:1].expand(t.shape[0] if t.shape[0] else 0, 4) if t.shape[0] else t)
            elif kind == "unroll":
                pool.append(t + sum(float(i) for i in range(abs(n) % 4)))
            elif kind == "text":
                pool.append(t + len(f"{n}"))
            elif kind == "look up":
                pool.append(t * {1: 2.0, 3: 0.5}.get(n, 1.0))
            elif kind == "root":
                pool.append(t * (1 / (abs(n) + 1) ** 0.5))
        return [t for t in pool[2:]][-3:] + [numbers[-1]]

    return run


KINDS = (
    "arithmetic", "arithmetic", "extent", "length", "branch", "equal", "parity", "scale", "divide", "fill", "arange", "mask", "slice",
    "tail", "step", "narrow", "view", "turn", "join", "sum", "softmax", "write", "pad", "outer", "expand", "unroll", "text", "look up",
    "root",
)  # fmt: skip


def _same(a, b):
    if not isinstance(b, ingot.Tensor):
        return type(a) is type(b) and a == b
    return a.shape == b.shape and a.dtype is b.dtype and np.allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-4, equal_nan=True)


def test_random_functions_of_sizes(request):
    for seed in range(2000 if request.config.getoption("--long") else 40):
        f = program(seed)
        compiled, rng = ingot.compile(f), np.random.default_rng(seed)
        for n, m in SIZES:
            x, y = (ingot.tensor(rng.standard_normal((i, 4)).astype(np.float32)) for i in (n, m))
            k = int(rng.integers(9))
            try:
                want = f(x, y, k)
            except (RuntimeError, IndexError, ZeroDivisionError) as error:  # the program does not fit these sizes
                with pytest.raises(type(error)):
                    compiled(x, y, k)
                continue
            got = compiled(x, y, k)
            assert all(map(_same, got, want)), f"seed {seed}, sizes {n} and {m}, number {k}: {got} and not {want}"
