"""`ingot.jit`: torch.jit's names. To script or to trace is to compile (`ingot.compile`), and a saved model is an artifact (`ingot.export`).

    model = ingot.jit.trace(model.eval(), x)
    ingot.jit.save(model, "model.ingot")
    model = ingot.jit.load("model.ingot")

A compiled function is Python that was traced, so what scripting would read of its source (annotations, `ignore`, `unused`, `Final`)
is accepted and changes nothing; a branch on a tensor's value is refused with the line, as everywhere under compile.
"""

from __future__ import annotations

from typing import Final

from ingot.jit.annotations import (
    Attribute,
    _drop,
    _overload,
    _overload_method,
    _script_if_tracing,
    _unwrap_optional,
    annotate,
    export,
    ignore,
    interface,
    is_scripting,
    is_tracing,
    isinstance,
    script_if_tracing,
    script_method,
    unused,
)
from ingot.jit.compiled import ScriptFunction, ScriptModule, load, save, script, trace, trace_module
from ingot.jit.running import Error, Future, TracerWarning, fork, freeze, optimize_for_inference, set_fusion_strategy, strict_fusion, wait

__all__ = [
    "_drop", "_overload", "_overload_method", "_script_if_tracing", "_unwrap_optional",
    "Attribute", "Error", "Final", "Future", "ScriptFunction", "ScriptModule", "TracerWarning", "annotate",
    "export", "fork", "freeze", "ignore", "interface",
    "is_scripting", "is_tracing", "isinstance", "load", "optimize_for_inference", "save", "script", "script_if_tracing",
    "script_method", "set_fusion_strategy", "strict_fusion", "trace", "trace_module", "unused", "wait",
]  # fmt: skip
