"""What torch._dynamo raises, by its names."""

from ingot.capture import CaptureError as Unsupported

__all__ = ["TorchRuntimeError", "Unsupported"]

TorchRuntimeError = RuntimeError
