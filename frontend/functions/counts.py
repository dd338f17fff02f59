"""Poisson and binomial numbers."""

from __future__ import annotations

from ingot import _draws
from ingot.functions.common import Tensor, check_tensor, dtype_name
from ingot.random import Generator, _of, _stream

__all__ = ["binomial", "poisson"]


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers with the rates of `input`, in its dtype, which is floating. RuntimeError for another dtype.

    >>> ingot.poisson(ingot.zeros(3))
    tensor([0., 0., 0.])
    """
    check_tensor("poisson", input)
    if input.dtype.kind != "f":
        raise NotImplementedError(f"\"poisson_cpu\" not implemented for '{dtype_name(input.dtype)}'")
    return _draws.poisson(input.detach(), lambda words: _stream(_of(generator, input.device), words)).to(input.dtype)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """The numbers of successes in `count` trials of probability `prob`, both floating and of one dtype (RuntimeError), broadcast.

    >>> ingot.binomial(ingot.tensor([3.0, 5.0]), ingot.tensor([0.0, 1.0]))
    tensor([0., 5.])
    """
    check_tensor("binomial", count, "count")
    check_tensor("binomial", prob, "prob", 2)
    if count.dtype is not prob.dtype or count.dtype.kind != "f":
        raise RuntimeError(f"binomial only supports floating-point dtypes, one for both, got: {count.dtype} and {prob.dtype}")
    return _draws.binomial(count.detach(), prob.detach(), lambda words: _stream(_of(generator, count.device), words)).to(count.dtype)
