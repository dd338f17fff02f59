"""ONNX: files are not written yet. What libraries ask for when they are imported is here."""

from __future__ import annotations

import enum
from typing import Any

from ingot._refused import refused, refused_class

__all__ = [
    "ONNXProgram", "OperatorExportTypes", "TrainingMode", "dynamo_export", "export", "is_in_onnx_export", "is_onnxrt_backend_supported",
    "register_custom_op_symbolic", "unregister_custom_op_symbolic",
]  # fmt: skip

_NONE = "ONNX files are not written yet; ingot.export writes a model as one file of machine code"
export, dynamo_export = refused("onnx.export", _NONE), refused("onnx.dynamo_export", _NONE)
ONNXProgram = refused_class("onnx.ONNXProgram", _NONE)


class OperatorExportTypes(enum.IntEnum):
    """How torch's exporter writes an operator: constants that scripts name."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2
    ONNX_FALLTHROUGH = 3


class TrainingMode(enum.IntEnum):
    """In which mode torch's exporter puts a model: constants that scripts name."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


def is_in_onnx_export() -> bool:
    """False: nothing is being exported.

    >>> ingot.onnx.is_in_onnx_export()
    False
    """
    return False


def is_onnxrt_backend_supported() -> bool:
    """False."""
    return False


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Nothing: no exporter would look for it. Libraries register when they are imported."""


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Nothing: see `register_custom_op_symbolic`."""
