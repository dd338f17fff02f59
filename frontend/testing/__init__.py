"""`ingot.testing`: comparing results, and tensors to test with."""

from __future__ import annotations

from ingot.testing.comparing import assert_allclose, assert_close
from ingot.testing.making import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
