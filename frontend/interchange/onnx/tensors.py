"""ONNX's tensors as arrays, and back: raw or typed data, packed 2- and 4-bit and 8-bit types, external data that is mapped, not read.

External data lies beside the model: in its folder or below it, never behind a symbolic link, within its file's length.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ingot.interchange.onnx.messages import TensorProto

__all__ = ["TYPES", "Folder", "TensorError", "array_of", "proto_of", "type_code"]

_PLAIN = {
    1: np.float32, 2: np.uint8, 3: np.int8, 4: np.uint16, 5: np.int16, 6: np.int32, 7: np.int64, 8: np.object_, 9: np.bool_,
    10: np.float16, 11: np.float64, 12: np.uint32, 13: np.uint64, 14: np.complex64, 15: np.complex128,
}  # fmt: skip
_OTHERS = {  # names in ml_dtypes, which takes five milliseconds to import
    16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 21: "uint4", 22: "int4",
    23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2",
}  # fmt: skip


class _Types(Mapping[int, np.dtype]):
    """code -> its dtype in NumPy; strings are objects. What has less than 8 bits is stored packed, the first element in the lowest bits."""

    def __init__(self) -> None:
        self._known: dict[int, np.dtype] = {code: np.dtype(t) for code, t in _PLAIN.items()}

    def __getitem__(self, code: int) -> np.dtype:
        found = self._known.get(code)
        if found is None:
            name = _OTHERS[code]
            import ml_dtypes

            found = self._known[code] = np.dtype(getattr(ml_dtypes, name))
        return found

    def __contains__(self, code: object) -> bool:
        return code in _PLAIN or code in _OTHERS

    def __iter__(self) -> Iterator[int]:
        return iter((*_PLAIN, *_OTHERS))

    def __len__(self) -> int:
        return len(_PLAIN) + len(_OTHERS)


TYPES = _Types()
_CODES = {np.dtype(t).name: code for code, t in _PLAIN.items()} | {name: code for code, name in _OTHERS.items()}
_BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2}
STRING = 8


class TensorError(ValueError):
    """A tensor in a model that cannot be read; the message names it."""


def type_code(dtype: Any) -> int:
    """ONNX's code of a NumPy dtype. TensorError where it has none."""
    found = _CODES.get(np.dtype(dtype).name)
    if found is None or TYPES[found] != np.dtype(dtype):
        raise TensorError(f"ONNX has no element type for {np.dtype(dtype)}")
    return found


class Folder:
    """Where a model's external data lies; None where the model came without a folder."""

    def __init__(self, path: str | None):
        self.path = path
        self._files: dict[str, memoryview] = {}

    def read(self, location: str, offset: int, length: int | None, what: str) -> memoryview:
        """A part of a file, mapped. TensorError where it is not in the folder, a link leads there, or it is too short."""
        data = self._files.get(location)
        if data is None:
            data = self._files[location] = self._open(location, what)
        length = len(data) - offset if length is None else length
        if not 0 <= offset <= len(data) or not 0 <= length <= len(data) - offset:
            raise TensorError(f"{what}: bytes {offset} to {offset + length} of {location!r}, which has {len(data)}")
        return data[offset : offset + length]

    def _open(self, location: str, what: str) -> memoryview:
        if self.path is None:
            raise TensorError(f"{what} lies in the file {location!r}, and the model came without a folder: load it by its path")
        names = location.split("/")
        if names[0] == ".":
            names = names[1:]
        if not names or any(n in ("", ".", "..") or "\0" in n or "\\" in n for n in names):
            raise TensorError(f"{what} lies in {location!r}, which is no name of a file in the model's folder")
        at = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for i, name in enumerate(names):  # step by step: no name on the way may be a link
                flags = os.O_RDONLY | os.O_NOFOLLOW | (os.O_DIRECTORY if i < len(names) - 1 else os.O_NONBLOCK)
                try:
                    inner = os.open(name, flags, dir_fd=at)
                except OSError as e:
                    why = f"which cannot be opened as a file without links: {e.strerror}"
                    raise TensorError(f"{what} lies in {location!r}, {why}") from None
                os.close(at)
                at = inner
            info = os.fstat(at)
            if not stat.S_ISREG(info.st_mode):
                raise TensorError(f"{what} lies in {location!r}, which is no file")
            return memoryview(mmap.mmap(at, 0, access=mmap.ACCESS_READ) if info.st_size else b"")
        finally:
            os.close(at)


def array_of(t: TensorProto, folder: Folder) -> np.ndarray:
    """A tensor's elements, a view of the file where they are stored as they are. TensorError where it makes no sense."""
    what = f"tensor {t.name!r}"
    if t.data_type not in TYPES:
        raise TensorError(f"{what} has the element type {t.data_type}, which is not known")
    shape = tuple(t.dims)
    if any(not 0 <= d < 1 << 48 for d in shape) or len(shape) > 64:
        raise TensorError(f"{what} has the shape {list(shape)}")
    if t.segment:
        raise TensorError(f"{what} is stored in segments, which no version of ONNX has used")
    dtype, n = TYPES[t.data_type], math.prod(shape)
    if t.data_type == STRING:
        if len(t.string_data) != n:
            raise TensorError(f"{what} has {len(t.string_data)} strings for {n} elements")
        return np.array([bytes(s).decode("utf-8", "replace") for s in t.string_data], object).reshape(shape)
    raw = t.raw_data
    if t.data_location == 1:
        raw = _external(t, folder, what)
    bits = _BITS.get(t.data_type)
    if t.data_location == 1 or len(raw):
        data = np.frombuffer(raw, np.uint8)
        expected = -(-n * bits // 8) if bits else n * dtype.itemsize
        if len(data) != expected:
            raise TensorError(f"{what} has {len(data)} bytes where its type and shape need {expected}")
        if bits:
            return _small(data, bits, n, dtype).reshape(shape)
        return data.view(dtype.newbyteorder("<")).reshape(shape)
    return _typed(t, dtype, bits, n, what).reshape(shape)


def _external(t: TensorProto, folder: Folder, what: str) -> memoryview:
    where = {p.key: p.value for p in t.external_data}
    if "location" not in where:
        raise TensorError(f"{what} is external and does not say where")
    numbers = {}
    for key in ("offset", "length"):
        text = where.get(key)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) < 19):
            raise TensorError(f"{what} has the {key} {text!r}")
        numbers[key] = None if text is None else int(text)
    return folder.read(where["location"], numbers["offset"] or 0, numbers["length"], what)


def _small(data: np.ndarray, bits: int, n: int, dtype: np.dtype) -> np.ndarray:
    """Elements of less than 8 bits, taken out of bytes; their sign is what the dtype says."""
    per = 8 // bits
    shifts = np.arange(per, dtype=np.uint8) * bits
    codes = ((data[:, None] >> shifts) & (2**bits - 1)).reshape(-1)[:n]
    if dtype.name.startswith("int"):
        codes = (codes ^ (1 << bits - 1)).astype(np.int8) - (1 << bits - 1)
        return codes.astype(dtype)
    return codes.astype(dtype) if dtype.name.startswith("uint") else codes.view(dtype)


def _typed(t: TensorProto, dtype: np.dtype, bits: int | None, n: int, what: str) -> np.ndarray:
    code = t.data_type
    field = {1: "float_data", 14: "float_data", 11: "double_data", 15: "double_data", 7: "int64_data", 12: "uint64_data",
             13: "uint64_data"}.get(code, "int32_data")  # fmt: skip
    values = getattr(t, field)
    expected = -(-n * bits // 8) if bits else n * (2 if code in (14, 15) else 1)
    if len(values) != expected:
        raise TensorError(f"{what} has {len(values)} elements where its shape needs {expected}")
    if field == "float_data":
        return np.array(values, np.float32).view(dtype)
    if field == "double_data":
        return np.array(values, np.float64).view(dtype)
    whole = np.array(values, np.int64)
    if bits:
        return _small(whole.astype(np.uint8), bits, n, dtype)
    if field == "int32_data" and dtype.kind not in "iub":  # floats of two bytes or one, by their bits
        return whole.astype(f"u{dtype.itemsize}").view(dtype)
    return whole.astype(dtype)


def proto_of(name: str, array: np.ndarray) -> TensorProto:
    """A tensor that holds an array, as raw data."""
    code = type_code(array.dtype)
    t = TensorProto(name=name, dims=list(array.shape), data_type=code)
    if code == STRING:
        t.string_data = [str(s).encode() for s in array.reshape(-1)]
        return t
    flat = np.ascontiguousarray(array).reshape(-1)
    bits = _BITS.get(code)
    if bits:
        per = 8 // bits
        whole = flat.astype(np.int8) if array.dtype.name.startswith(("int", "uint")) else flat
        codes = whole.view(np.uint8) & (2**bits - 1)
        codes = np.concatenate([codes, np.zeros(-len(codes) % per, np.uint8)]).reshape(-1, per)
        flat = (codes << (np.arange(per, dtype=np.uint8) * bits)).sum(axis=1).astype(np.uint8)
    t.raw_data = flat.view(np.uint8).data if flat.size else b""
    return t
