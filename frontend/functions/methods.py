"""Tensor's methods and properties: the functions of this package under their names, and in-place twins.

A method `name` is the function `name` with the tensor as first argument; `name_` writes the function's result into the
tensor. What differs (shapes given as separate arguments, operators) a module spells out in a table METHODS of its own. Tensor gets what
a module gives when one of it is first looked up: see `ingot._tensor.methods`.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Callable
from typing import Any

from ingot import _names
from ingot._tensor.methods import TensorMethods
from ingot.functions.common import Tensor, before, store

__all__: list[str] = []

# functions that are methods as they are, by their module; * stands for all that it gives to `ingot`
FUNCTIONS: dict[str, str] = {
    "unary": "*",
    "binary": "* -rsub",
    "select": "addcdiv addcmul allclose clamp clamp_max clamp_min clip equal isclose lerp",
    "reduce": "* -std_mean -var_mean",
    "extrema": "aminmax max min",
    "exponentials": "*",
    "sort": "*",
    "spectral": "istft stft",
    "statistics": "corrcoef cov histogram mode",
    "bits": "frexp nextafter",
    "integers": "gcd lcm",
    "gamma": "i0 mvlgamma",
    "incomplete_gamma": "igamma igammac",
    "norm": "renorm",
    "factor": "cholesky pinverse qr svd",
    "lu": "lu lu_solve",
    "solvers": "cholesky_inverse cholesky_solve triangular_solve",
    "systems": "det inverse logdet matrix_power slogdet",
    "cumulative": "cummax cummin cumprod cumsum diff logcumsumexp",
    "matmul": "addbmm addmm addmv addr baddbmm bmm cross dot ger inner kron matmul mm mv outer trace vdot",
    "matrix_exponential": "matrix_exp",
    "reflections": "geqrf orgqr ormqr",
    "index": "gather index_add index_copy index_fill index_reduce index_select put scatter scatter_add scatter_reduce take take_along_dim",
    "masks": "masked_fill masked_scatter masked_select",
    "subscript": "index_put index_put_",
    "search": "argwhere bincount histc nonzero nonzero_static unique unique_consecutive",
    "join": "chunk dsplit hsplit split_with_sizes tensor_split unbind vsplit",
    "shape": "diagonal expand flatten movedim moveaxis narrow ravel select swapaxes swapdims t transpose "
    "unflatten unfold unsqueeze view",
    "strided": "as_strided as_strided_scatter",
    "arrange": "diag diag_embed diagflat fliplr flipud repeat repeat_interleave roll rot90 "
    "tril triu diagonal_scatter select_scatter slice_scatter",
    "copies": "narrow_copy",
    "creation": "new_empty new_full new_ones new_zeros",
    "from_data": "new_tensor",
    "typeinfo": "is_nonzero",
    "complex": "adjoint conj conj_physical is_conj is_neg resolve_conj resolve_neg",
}

# functions with an in-place twin `name_`
INPLACE: dict[str, str] = {
    "unary": "* -isfinite -isinf -isnan -isneginf -isposinf -isreal -positive -signbit",
    "binary": "* -rsub -fmax -fmin -maximum -minimum -logaddexp -logaddexp2",
    "select": "addcdiv addcmul clamp clamp_max clamp_min clip lerp",
    "cumulative": "cumprod cumsum",
    "matmul": "addbmm addmm addmv addr baddbmm",
    "integers": "gcd lcm",
    "bits": "nextafter",
    "gamma": "i0 mvlgamma",
    "incomplete_gamma": "igamma igammac",
    "norm": "renorm",
    "index": "index_add index_copy index_fill index_reduce put scatter scatter_add scatter_reduce",
    "masks": "masked_fill masked_scatter",
    "arrange": "tril triu",
    "complex": "conj_physical",
}
_installed: set[str] = set()
_LOCK = threading.Lock()


def in_place(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The method that writes `function`'s result into the tensor: RuntimeError where dtype or shape do not fit."""

    @functools.wraps(function)
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if "out" in kwargs:
            raise TypeError(f"{name}_() got an unexpected keyword argument 'out'")
        return store(self, function(before(self), *args, **kwargs))

    method.__name__ = method.__qualname__ = f"{name}_"
    method.__doc__ = f"`{name}`, in place.\n\n    RuntimeError where the result's shape or kind of dtype does not fit this tensor."
    return method


def _chosen(module: Any, names: str) -> list[str]:
    """The names of a row of the tables above."""
    first, *left_out = names.split() or [""]
    return names.split() if first != "*" else [n for n in module.__all__ if f"-{n}" not in left_out]


def given(home: str) -> dict[str, Any]:
    """What a module gives to Tensor."""
    module, short = importlib.import_module(home), home.removeprefix("ingot.functions.")
    found = {name: getattr(module, name) for name in _chosen(module, FUNCTIONS.get(short, ""))}
    found |= {f"{name}_": in_place(name, getattr(module, name)) for name in _chosen(module, INPLACE.get(short, ""))}
    return found | getattr(module, "METHODS", {})


def install(home: str) -> None:
    """Give Tensor what a module has for it."""
    methods = given(home)
    with _LOCK:
        if home not in _installed:
            for name, method in methods.items():
                if name not in vars(Tensor):  # whoever has put another one there means it
                    type.__setattr__(Tensor, name, method)  # around its class, which would take it for a change
                if name in vars(TensorMethods):  # what stood for it
                    delattr(TensorMethods, name)
            _installed.add(home)


def method(home: str, name: str) -> Any:
    """What Tensor has from a module under a name, as a class holds it."""
    install(home)
    return vars(Tensor)[name]


def complete() -> None:
    """Give Tensor all of its methods now."""
    for home in _names.METHODS:
        install(home)
