"""How tensors print, by the names of torch._tensor_str."""

from __future__ import annotations

from ingot._tensor import Tensor
from ingot.printing import _Options as PRINT_OPTS
from ingot.printing import array_text

__all__ = ["PRINT_OPTS", "_tensor_str"]


def _tensor_str(self: Tensor, indent: int) -> str:
    """The elements, without `tensor(` and what follows them; `indent` columns stand before every line but the first."""
    return array_text(self._value(), indent)
