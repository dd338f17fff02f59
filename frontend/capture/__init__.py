"""Capture: tracing a function, and running what was traced in its place."""

from ingot.capture.errors import CaptureError, LeakedTensorError
from ingot.capture.function import RECOMPILES as RECOMPILES
from ingot.capture.function import CompiledFunction, CompiledModule, compile
from ingot.capture.pytree import flatten as flatten
from ingot.capture.pytree import unflatten as unflatten
from ingot.runtime.frozen import FrozenError, frozen

__all__ = ["CaptureError", "CompiledFunction", "CompiledModule", "FrozenError", "LeakedTensorError", "compile", "frozen"]
