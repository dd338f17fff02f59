"""`ingot.export`: called, it writes a model as an artifact; as a module it has torch.export's names.

    ingot.export(model.eval(), (x,), "model.ingot")         # a file, see `ingot.artifacts.export`

    program = ingot.export.export(model.eval(), (x,))       # a program to look at, to call, and to save as that file
    program.module()(x)
    ingot.export.save(program, "model.ingot")

Source of the names: torch.export.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingot.capture import Dim, dims
    from ingot.export.program import ExportedProgram, export, load, save
    from ingot.export.signature import ExportGraphSignature

__all__ = ["Dim", "ExportGraphSignature", "ExportedProgram", "dims", "export", "load", "save"]

_HOMES = {
    "Dim": "ingot.capture", "dims": "ingot.capture", "ExportGraphSignature": "ingot.export.signature",
    "ExportedProgram": "ingot.export.program", "export": "ingot.export.program", "load": "ingot.export.program",
    "save": "ingot.export.program",
}  # fmt: skip


class Exporter(ModuleType):
    """The class of this module, which can be called."""

    def __call__(
        self, fn_or_module: Any, example_inputs: Any, path: str | os.PathLike[str], *, dynamic_shapes: Any = None,
        targets: Sequence[str] | None = None, golden: bool = True,
    ) -> None:  # fmt: skip
        """Write a function or Module, compiled, with its weights, as one file: see `ingot.artifacts.export`."""
        from ingot import artifacts

        artifacts.export(fn_or_module, example_inputs, path, dynamic_shapes=dynamic_shapes, targets=targets, golden=golden)


sys.modules[__name__].__class__ = Exporter


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
