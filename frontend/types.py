"""Types for annotations, by the names of torch.types."""

from __future__ import annotations

import builtins
import os
from collections.abc import Sequence
from typing import IO

from ingot._tensor import Size, Tensor
from ingot._tensor.devices import device
from ingot.ir.dtypes import DType

__all__ = ["Device", "FileLike", "Number", "Storage", "Tensor", "_bool", "_device", "_dtype", "_float", "_int", "_size"]


Number = int | float | bool
Device = device | str | int | None
FileLike = str | os.PathLike[str] | IO[bytes]
Storage = object
_int, _float, _bool, _dtype, _device = builtins.int, builtins.float, builtins.bool, DType, device
_size = Size | list[int] | tuple[int, ...] | Sequence[int]
