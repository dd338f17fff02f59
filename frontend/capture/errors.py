"""What is said where a function cannot be compiled."""

from __future__ import annotations

from ingot.ir.location import describe
from ingot.runtime.recorder import user_location

__all__ = ["CaptureError", "LeakedTensorError", "refuse"]


class CaptureError(RuntimeError):
    """A function does something that cannot be compiled: the message says what, where, and the alternative."""


class LeakedTensorError(CaptureError):
    """A tensor made while a function was traced was kept somewhere that compiled code cannot write to."""


def refuse(what: str, instead: str) -> CaptureError:
    """The error for something that cannot be compiled, with the user's line."""
    where = describe(user_location(3))
    return CaptureError(f"{what}\n{where}\n{instead}" if where else f"{what}; {instead}")
