"""Differentiation: `backward`, `grad`, custom `Function`s, checks against finite differences; `forward_ad` for tangents."""

from __future__ import annotations

import importlib
from typing import Any

from ingot._paths import below
from ingot.autograd import graph
from ingot.autograd.anomaly import detect_anomaly, set_detect_anomaly
from ingot.autograd.engine import backward, grad
from ingot.autograd.function import Function
from ingot.autograd.numerical import gradcheck, gradgradcheck
from ingot.autograd.variable import Variable
from ingot.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

__all__ = [
    "backward", "grad", "Function", "gradcheck", "gradgradcheck", "functional", "graph", "no_grad", "enable_grad", "set_grad_enabled",
    "inference_mode", "detect_anomaly", "set_detect_anomaly", "Variable", "profiler",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in ("forward_ad", "functional", "profiler"):  # most programs use none
        return importlib.import_module(f"ingot.autograd.{name}")
    return below(__name__)(name)
