"""`grad`, `grad_and_value` and `vjp`: the tape, run backwards to the arguments of a function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ingot._tensor import wrap
from ingot.capture import unflatten
from ingot.func.pulling import Pulled
from ingot.func.trees import chosen
from ingot.runtime import tape

__all__ = ["grad", "grad_and_value", "vjp"]


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """(func(*primals), vjp_fn): vjp_fn takes cotangents like the output, and gives vᵀ J by each of the primals.

    With `has_aux`, func gives (output, aux), and aux comes third. RuntimeError for cotangents that do not fit, and for integers.

    >>> y, back = ingot.func.vjp(ingot.sin, ingot.zeros(2))
    >>> back(ingot.ones(2))
    (tensor([1., 1.]),)
    """
    pulled = Pulled("vjp", func, primals, range(len(primals)), has_aux=has_aux)

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        return unflatten(pulled.structure, pulled.back(pulled.seeds(cotangents), retain_graph))

    if has_aux:
        return pulled.output(), vjp_fn, pulled.aux
    return pulled.output(), vjp_fn


def grad_and_value(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of `func` by its arguments `argnums`, and the value: (gradient, value).

    `func` gives a tensor of one number; with `has_aux`, (that, aux), and (gradient, (value, aux)) comes.

    >>> ingot.func.grad_and_value(lambda x: x**2)(ingot.tensor(3.0))
    (tensor(6.), tensor(9.))
    """

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        which = chosen("grad", argnums, args)
        pulled = Pulled("grad", func, args, which, kwargs, has_aux)
        if pulled.out_structure != "*":
            raise RuntimeError("grad: expected f(*args) to return a Tensor; with has_aux=True it returns (output, aux)")
        (out,) = pulled.outs
        if out.ndim:
            raise RuntimeError(
                f"grad: expected f(*args) to return a scalar tensor, got tensor with {out.ndim} dims. Maybe you wanted to use the vjp "
                "or jacrev APIs instead?"
            )
        if out.dtype.kind != "f":
            raise RuntimeError(f"grad: expected f(*args) to return a floating point tensor, got {out.dtype}")
        value = pulled.output()
        found = unflatten(pulled.structure, pulled.back([wrap(tape.ones(out._array.type))], keep=False))
        first = found[0] if isinstance(argnums, int) else found
        return first, (value, pulled.aux) if has_aux else value

    return wrapped


def grad(func: Callable, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of `func` by its arguments `argnums`: one of the argument's structure, or a tuple of them.

    `func` gives a tensor of one number; with `has_aux`, (that, aux), and (gradient, aux) comes. RuntimeError for another output.
    Semantics: https://docs.pytorch.org/docs/stable/generated/torch.func.grad.html.

    >>> cosine = ingot.func.grad(ingot.sin)
    >>> cosine(ingot.tensor(0.0))
    tensor(1.)
    >>> ingot.func.grad(cosine)(ingot.tensor(0.0))
    tensor(-0.)
    """
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapped
