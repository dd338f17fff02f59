"""ONNX: models are read, run, trained and compiled like any other Module.

    model = ingot.onnx.load("model.onnx")
    model.run({"x": array})["y"]            # NumPy in and out, compiled
    y = model(x)                            # a Module, with the file's parameters

    ingot.onnx.export(model, (x,), "again.onnx", input_names=["x"], output_names=["y"])
"""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from ingot._refused import refused

if TYPE_CHECKING:
    from ingot.interchange.onnx.model import OnnxModule

__all__ = [
    "ONNXProgram", "OnnxError", "OnnxModule", "OperatorExportTypes", "TrainingMode", "dynamo_export", "export", "is_in_onnx_export",
    "is_onnxrt_backend_supported", "load", "register_custom_op_symbolic", "unregister_custom_op_symbolic",
]  # fmt: skip

_NONE = "ingot.onnx.export takes modules and functions; programs of torch.export are not made here"
dynamo_export = refused("onnx.dynamo_export", _NONE)


class ONNXProgram:
    """What `export` has made: a model in memory, which `save` writes."""

    def __init__(self, model: Any):
        self.model_proto = model

    def save(self, destination: str | os.PathLike[str], *, external_data: bool | None = None) -> None:
        """Write it; with `external_data`, its weights as a file beside it (None: only if it is too large for one file)."""
        from ingot.interchange.onnx.export import write

        write(self.model_proto, os.fspath(destination), external_data)

    def serialize(self) -> bytes:
        """The file's bytes. ValueError beyond the 2 GB that one file can hold."""
        from ingot.interchange.onnx.export import serialized

        return serialized(self.model_proto)


def export(
    model: Any, args: Any = (), f: str | os.PathLike[str] | IO[bytes] | None = None, *, kwargs: dict[str, Any] | None = None,
    verbose: bool | None = None, input_names: Sequence[str] | None = None, output_names: Sequence[str] | None = None,
    opset_version: int | None = None, dynamo: bool = True, external_data: bool | None = None, dynamic_shapes: Any = None,
    report: bool = False, optimize: bool = True, verify: bool = False, profile: bool = False, dump_exported_program: bool = False,
    artifacts_dir: str | os.PathLike[str] = ".", export_params: bool = True, keep_initializers_as_inputs: bool = False,
    dynamic_axes: Any = None, training: TrainingMode | None = None, do_constant_folding: bool = True,
    custom_opsets: Mapping[str, int] | None = None, autograd_inlining: bool = True,
) -> ONNXProgram:  # fmt: skip
    """Write a function or Module as an ONNX file, with torch's arguments.

    args: the example inputs, a tuple of tensors, arrays, and structures of them; a function of one tensor takes it as it is.
    f: the path, or a file that takes bytes; where None, the program that is returned can be saved.
    kwargs: more arguments, by name.
    input_names, output_names: in order; the parameters' names, and `output`, `output_1`, ..., where None.
    opset_version: 11 to 26; 20 where None. From 17 on layer norm is an op, from 20 on GELU, from 23 on attention and RMS norm are.
    dynamic_shapes: sizes that vary, as torch.export takes them: for each argument a dict by dim, or a tuple, of `ingot.Dim`s.
    dynamic_axes: the same in the older form: {input name: {axis: name}}.
    external_data: write the weights as `f.data` beside it; None: only where they are too large for one file of 2 GB.
    export_params: False for a file without the weights, which are its inputs then; keep_initializers_as_inputs: True for weights that are
    in the file and may be passed.
    training: EVAL and TRAINING put the module in that mode for as long as it is traced; None and PRESERVE leave it as it is.
    custom_opsets: versions of more domains that the model imports, by their names.
    verify: run what was written, here, and compare it with the model.
    verbose, dynamo, report, optimize, profile, dump_exported_program, artifacts_dir, do_constant_folding, autograd_inlining: read by
    torch, and mean nothing here.

    Softmax, norms, recurrent layers, convolutions and linear layers are written as ONNX's own ops; what the op set has no op for, as a
    function of the domain `ingot` (attention, RMS norm, GELU; from op set 15 on), and all else op by op. Sizes that the model computes (of
    `nonzero`, a boolean index) are computed by what is written. Parameters and buffers have the names that the module has for them.
    Nothing is compiled. A training step exports as well as a model does: return the gradients.

    RuntimeError for what draws random numbers or changes captured tensors (call `eval()` first), for what the op set has no op
    for, and for what `verify` finds; CaptureError, with the user's line, for what cannot be traced; ValueError for names or an op set that
    cannot be; OSError where the file cannot be written.

    >>> program = ingot.onnx.export(nn.Linear(4, 2).eval(), (ingot.zeros(1, 4),), "linear.onnx", input_names=["x"])
    >>> model = ingot.onnx.load("linear.onnx")
    >>> model.input_names, [name for name, _ in model.named_parameters()]
    (['x'], ['weight', 'bias'])
    """
    from ingot.interchange.onnx.export import moded, program, verified

    stored_as = "inputs" if not export_params else "both" if keep_initializers_as_inputs else "initializers"
    with moded(model, None if training in (None, TrainingMode.PRESERVE) else training is TrainingMode.TRAINING):
        made = ONNXProgram(
            program(
                model, args, kwargs or {}, input_names, output_names, opset_version or 20, dynamic_shapes, dynamic_axes, stored_as,
                custom_opsets,
            )
        )  # fmt: skip
        if verify:
            verified(made.model_proto, model, args, kwargs or {})
    if isinstance(f, (str, os.PathLike)):
        made.save(f, external_data=external_data)
    elif f is not None:
        f.write(made.serialize())
    return made


def load(source: str | os.PathLike[str] | bytes) -> OnnxModule:
    """A model from an ONNX file, or from its bytes, as a Module.

    Floating initializers are its parameters, under their own names (a dot makes a submodule, as torch's exporters name them);
    running statistics and integers are buffers. Weights that lie in other files are mapped from the model's folder. Nothing of
    the file is executed.

    `model.run({name: array})` takes and gives NumPy arrays by name; a call takes tensors in the order of `model.input_names`, and
    has gradients. Ops are those of the default domain at op sets 7 to 28 (and most of the older ones), with functions, If, Loop,
    Scan, sequences and optionals, those of ai.onnx.ml, and those of com.microsoft that exported models use.

    OnnxError for what has no rule, with the node's name; ValueError for a file that is damaged, or data outside of its folder;
    OSError where it cannot be read.

    >>> _ = ingot.onnx.export(ingot.relu, (ingot.zeros(2),), "relu.onnx")
    >>> model = ingot.onnx.load("relu.onnx")
    >>> model.input_names, model.output_names
    (['input'], ['output'])
    >>> model.run({"input": np.array([-1.0, 2.0], np.float32)})["output"]
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
    if name.startswith("symbolic_"):  # as in torch, without importing them
        import importlib

        try:
            return importlib.import_module(f"ingot.onnx.{name}")
        except ImportError:
            pass
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
