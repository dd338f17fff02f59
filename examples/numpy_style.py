"""Ingot without neural networks: arrays, gradients and compiled functions.

    python examples/numpy_style.py
"""

from __future__ import annotations

import time

import numpy as np

import ingot


def mandelbrot(c_re: ingot.Tensor, c_im: ingot.Tensor, steps: int) -> ingot.Tensor:
    """How many of `steps` iterations of z -> z * z + c stay within |z| < 2."""
    re, im, count = ingot.zeros_like(c_re), ingot.zeros_like(c_re), ingot.zeros_like(c_re)
    for _ in range(steps):
        re, im = re * re - im * im + c_re, 2 * re * im + c_im
        count = count + (re * re + im * im < 4).float()
    return count


def main() -> float:
    """Three small problems; returns the error of the last one."""
    # 1. arrays: NumPy's idioms, and both ways without copying where that is possible
    x = ingot.from_numpy(np.linspace(0, 1, 5, dtype=np.float32))
    table = x[:, None] * x[None, :] + ingot.eye(5)
    print("row sums", table.sum(1).numpy().round(3), " largest", table.max().item(), " even columns", tuple(table[:, ::2].shape))

    # 2. a compiled function: 60 fused steps in one pass over the memory
    re, im = ingot.meshgrid(ingot.linspace(-2, 0.6, 72), ingot.linspace(-1.1, 1.1, 26), indexing="xy")
    fast = ingot.compile(mandelbrot)
    start = time.perf_counter()
    fast(re, im, 60)
    print(f"compiled and run in {time.perf_counter() - start:.2f} s")
    for row in fast(re, im, 60).numpy():
        print("".join(" .:-=+*#%@"[min(int(v) // 6, 9)] for v in row))

    # 3. gradients: fit a curve by Newton's method, the second derivatives by differentiating twice
    t = ingot.linspace(0, 4, 40, dtype=ingot.float64)
    data = 2.5 * ingot.exp(-1.3 * t) + 0.4
    p = ingot.tensor([2.0, 1.0, 0.0], dtype=ingot.float64, requires_grad=True)
    for i in range(8):
        loss = ((p[0] * ingot.exp(-p[1] * t) + p[2] - data) ** 2).sum()
        (g,) = ingot.autograd.grad(loss, p, create_graph=True)
        hessian = np.stack([ingot.autograd.grad(g[k], p, retain_graph=True)[0].numpy() for k in range(3)])
        step = np.linalg.solve(hessian + 1e-3 * np.eye(3) * loss.item(), g.detach().numpy())
        with ingot.no_grad():
            p -= ingot.from_numpy(step)
        print(f"step {i}: loss {loss.item():.3e}  parameters {p.detach().numpy().round(6)}")
    return float(np.abs(p.detach().numpy() - [2.5, 1.3, 0.4]).max())


if __name__ == "__main__":
    main()
