"""ONNX: models are read, run, trained and compiled like any other Module.

    model = ingot.onnx.load("model.onnx")
    model.run({"x": array})["y"]            # NumPy in and out, compiled
    y = model(x)                            # a Module, with the file's parameters

Files are not written yet; what libraries ask for when they are imported is here too.
"""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, Any

from ingot._refused import refused, refused_class

if TYPE_CHECKING:
    from ingot.interchange.onnx.model import OnnxModule

__all__ = [
    "ONNXProgram", "OnnxError", "OnnxModule", "OperatorExportTypes", "TrainingMode", "dynamo_export", "export", "is_in_onnx_export",
    "is_onnxrt_backend_supported", "load", "register_custom_op_symbolic", "unregister_custom_op_symbolic",
]  # fmt: skip

_NONE = "ONNX files are not written yet; ingot.export writes a model as one file of machine code"
export, dynamo_export = refused("onnx.export", _NONE), refused("onnx.dynamo_export", _NONE)
ONNXProgram = refused_class("onnx.ONNXProgram", _NONE)


def load(source: str | os.PathLike[str] | bytes) -> OnnxModule:
    r"""A model from an ONNX file, or from its bytes, as a Module.

    Floating initializers are its parameters, under their own names (a dot makes a submodule, as torch's exporters name them);
    running statistics and integers are buffers. Weights that lie in other files are mapped from the model's folder. Nothing of
    the file is executed.

    `model.run({name: array})` takes and gives NumPy arrays by name; a call takes tensors in the order of `model.input_names`, and
    has gradients. Ops are those of the default domain at op sets 7 to 28 (and most of the older ones), with functions, If, Loop,
    Scan, sequences and optionals, and those of com.microsoft and ai.onnx.ml that exported transformers use.

    OnnxError for what has no rule, with the node's name; ValueError for a file that is damaged, or data outside of its folder;
    OSError where it cannot be read.

    >>> data = b'\x08\nB\x02\x10\x14:\x18\n\x0c\n\x01x\x12\x01y"\x04ReluZ\x03\n\x01xb\x03\n\x01y'
    >>> model = ingot.onnx.load(data)
    >>> model.input_names, model.output_names
    (['x'], ['y'])
    >>> model.run({"x": np.array([-1.0, 2.0], np.float32)})["y"]
    array([0., 2.], dtype=float32)
    """
    from ingot.interchange.onnx.model import read

    return read(source)


def __getattr__(name: str) -> Any:
    if name == "OnnxError":
        from ingot.interchange.onnx.rules import OnnxError

        return OnnxError
    if name == "OnnxModule":
        from ingot.interchange.onnx.model import OnnxModule

        return OnnxModule
    raise AttributeError(f"module 'ingot.onnx' has no attribute {name!r}")


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
