"""`ingot.nn.attention`: how `F.scaled_dot_product_attention` is computed, which compiled code chooses itself."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """torch's ways to compute attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[None]:
    """A block for which torch would choose among `backends`, one or a list of `SDPBackend`: accepted, and without effect.

    AssertionError for anything else.

    >>> with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
    ...     F.scaled_dot_product_attention(*[ingot.ones(1, 2, 4)] * 3).shape
    ingot.Size([1, 2, 4])
    """
    items = backends if isinstance(backends, (list, tuple)) else [backends]
    if not all(isinstance(b, SDPBackend) for b in items):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend instances")
    yield
