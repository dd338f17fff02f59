"""The rules, one subject a module. All versions of an op stand in one module, which is imported when a model has such an op.

find("", "LeakyRelu", 17)       # the rule, see rules.py
"""

from __future__ import annotations

import importlib

from ingot.interchange.onnx import rules
from ingot.interchange.onnx.rules import Rule

__all__ = ["MODULES", "find"]

MODULES = (  # in the order in which an op is looked for
    "elementwise", "constants", "movement", "linear", "convolution", "normalization", "activations", "reduction", "pooling", "indexing",
    "attention", "recurrent", "control", "resize", "quantization", "microsoft", "microsoft_quantized", "microsoft_more", "experts",
    "vision", "sequences", "random", "losses", "signal", "training", "strings", "classical", "trees",
)  # fmt: skip


def find(domain: str, name: str, version: int) -> Rule | None:
    """The rule of an op: the newest that is not above the version of its domain. None where no module has one."""
    for module in MODULES:
        if rules.known(domain, name):
            break
        importlib.import_module(f"{__name__}.{module}")
    return rules.newest(domain, name, version)
