"""Transforms of functions that are measured, written once: `T` is torch or ingot, whose `T.func` is meant."""

from __future__ import annotations

from typing import Any

WIDE, CNN = {"a": (256, 64), "b": (1, 256)}, {"a": (8, 1, 3, 3), "b": (16, 8, 3, 3), "c": (10, 16)}
DENSE = {"a": (256, 784), "b": (256, 256), "c": (10, 256)}


def _module(T: Any, shapes: dict[str, tuple[int, ...]], forward: Any) -> Any:
    """A Module with parameters of these shapes: forward(parameters, *inputs)."""

    class Transformed(T.nn.Module):
        def __init__(self):
            super().__init__()
            for name, shape in shapes.items():
                self.register_parameter(name, T.nn.Parameter(T.empty(shape)))

        def forward(self, *inputs):
            return forward(tuple(getattr(self, name) for name in shapes), *inputs)

    return Transformed()


def vmap_grad(T: Any) -> Any:
    """The gradient of a small network by its input, for each row of a batch."""

    def f(x, a, b):
        return T.tanh(T.tanh(a @ x) @ b[0])

    return _module(T, WIDE, lambda p, x: T.func.vmap(T.func.grad(f), (0, None, None))(x, *p))


def hessian(T: Any) -> Any:
    """The Hessian of a small network by its input."""

    def f(x, a, b):
        return T.tanh(T.tanh(a @ x) @ b[0])

    return _module(T, WIDE, lambda p, x: T.func.hessian(f)(x, *p))


def per_sample(T: Any) -> Any:
    """The gradients of a convolutional network by its weights, for each image: a row each."""
    F = T.nn.functional

    def loss(p, x, y):
        h = F.relu(F.conv2d(F.relu(F.conv2d(x[None], p[0], padding=1)), p[1], padding=1, stride=2))
        return F.cross_entropy(h.mean((2, 3)) @ p[2].t(), y[None])

    def rows(p, x, y):
        grads = T.func.vmap(T.func.grad(loss), (None, 0, 0))(p, x, y)
        return T.cat([g.reshape(x.shape[0], -1) for g in grads], 1)

    return _module(T, CNN, rows)


def hvp(T: Any) -> Any:
    """The Hessian of a loss by the weights, times the weights: forward over reverse."""
    F = T.nn.functional

    def product(p, x, y):
        def loss(p):
            return F.cross_entropy(T.tanh(T.tanh(x @ p[0].t()) @ p[1].t()) @ p[2].t(), y)

        made = T.func.jvp(T.func.grad(loss), (p,), (p,))[1]
        return T.cat([g.reshape(-1) for g in made])

    return _module(T, DENSE, product)
