"""The class of Tensor's class: it counts what users put into Tensor and its subclasses (`Tensor.sum = …`), for compiled functions."""

from __future__ import annotations

from typing import Any

from ingot.runtime.epoch import bump

__all__ = ["PATCHES", "TensorType"]

PATCHES = [0]  # how often


class TensorType(type):
    """The class of Tensor and its subclasses."""

    def __setattr__(cls, name: str, value: Any) -> None:
        type.__setattr__(cls, name, value)
        PATCHES[0] += 1
        bump()

    def __delattr__(cls, name: str) -> None:
        type.__delattr__(cls, name)
        PATCHES[0] += 1
        bump()
