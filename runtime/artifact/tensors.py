"""Named arrays as a safetensors section: a length, a JSON header, and the data without gaps.

    u64 length | {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...} | data

`pack` writes it and `unpack` makes arrays that share memory with it; both are our own so that loading an artifact
needs nothing but NumPy. The tensors stand in falling order of their item sizes, so each one is aligned to its dtype;
the header is padded with spaces so that the data begins on a multiple of 64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from ingot.runtime.artifact import strict
from ingot.runtime.artifact.container import HEADER_LIMIT

__all__ = ["MOST", "TensorsError", "numpy_dtype", "pack", "parse", "read", "unpack"]

T = TypeVar("T")
MOST = 100_000_000  # bytes that a header may have
_NAMES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16",
    "I32": "int32", "U32": "uint32", "F32": "float32", "I64": "int64", "U64": "uint64", "F64": "float64",
    "C64": "complex64",
}  # fmt: skip
_CODES = {v: k for k, v in _NAMES.items()}


class TensorsError(ValueError):
    """Bytes that are no valid safetensors section; the message says why."""


def numpy_dtype(name: str) -> np.dtype:
    """NumPy's dtype by name; bfloat16 comes from ml_dtypes, imported when first asked for. TensorsError where it is missing."""
    if name == "bfloat16":
        try:
            import ml_dtypes
        except ImportError as e:
            raise TensorsError(f"bfloat16 needs ml_dtypes, which cannot be imported ({e}); pip install ml_dtypes") from None
        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def pack(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> list[bytes | memoryview]:
    """The section as pieces to write one after the other; array data is not copied where it is contiguous.

    TypeError for a dtype that safetensors has no name for, ValueError for a name that is none (see strict.plain_name).
    """
    rows: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    data: list[bytes | memoryview] = []
    at = 0
    for name in sorted(arrays, key=lambda n: (-arrays[n].dtype.itemsize, n)):
        a = arrays[name]
        code = _CODES.get(a.dtype.name)
        if code is None:
            raise TypeError(f"safetensors has no dtype for {name!r}, which is {a.dtype.name}")
        if not strict.plain_name(name):
            raise ValueError(f"a tensor cannot be called {name[:40]!r}: names are printable, relative and without '..', as paths are")
        rows[name] = {"dtype": code, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
        if a.nbytes:
            native = a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))
            data.append(np.ascontiguousarray(native).reshape(-1).view(np.uint8).data)
    head = json.dumps(rows, separators=(",", ":")).encode()
    head += b" " * (-(8 + len(head)) % 64)
    return [len(head).to_bytes(8, "little") + head, *data]


def unpack(section: memoryview) -> dict[str, np.ndarray]:
    """The arrays of a section, read-only, sharing its memory. TensorsError if it is malformed in any way."""
    arrays, _ = read(section, HEADER_LIMIT)
    for name in arrays:
        if not strict.plain_name(name):
            raise TensorsError(f"{name[:40]!r} is no plain name")
    return arrays


def read(section: memoryview, limit: int = MOST) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """`unpack` of a section that anybody may have written, with whatever names, and its metadata.

    limit: bytes that the header may have; by default what the format allows
    """

    def array(dtype: np.dtype, shape: list[int], at: int, nbytes: int) -> np.ndarray:
        return np.frombuffer(section, np.uint8, nbytes, at).view(dtype).reshape(shape)

    return parse(section, len(section), limit, array)


def parse(
    section: memoryview, total: int, limit: int, array: Callable[[np.dtype, list[int], int, int], T]
) -> tuple[dict[str, T], dict[str, str]]:
    """What `array` makes of each array's dtype, shape, place and length in a section of `total` bytes, and its metadata.

    section: its header at least; the data is not looked at. `array` may raise ValueError; arrays of no elements are made beforehand, too,
        to see that NumPy can.
    """
    if total < 8:
        raise TensorsError(f"{total} bytes are too few for a header")
    length = int.from_bytes(section[:8], "little")
    if length > min(limit, total - 8):
        raise TensorsError(f"a header of {length} bytes is more than there is, or may be ({limit})")
    try:
        rows = strict.parse(bytes(section[8 : 8 + length]))
    except ValueError as e:
        raise TensorsError(f"the header is no JSON: {e}") from None
    if not isinstance(rows, dict):
        raise TensorsError("the header is no JSON object")
    metadata = rows.pop("__metadata__", None) or {}
    if not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        raise TensorsError("the metadata is no object of texts")
    start, end = 8 + length, total - 8 - length
    extents, out = [], dict[str, T]()
    for name, row in rows.items():
        try:
            code, shape, (begin, stop) = row["dtype"], row["shape"], row["data_offsets"]
        except (TypeError, KeyError, ValueError):
            raise TensorsError(f"{name!r} is malformed") from None
        if not (isinstance(shape, list) and len(shape) <= 64 and all(type(n) is int and n >= 0 for n in (*shape, begin, stop))):
            raise TensorsError(f"{name!r} is malformed")
        if not isinstance(code, str) or code not in _NAMES:
            raise TensorsError(f"{name!r} has the dtype {str(code)[:20]!r}, which is not known")
        dtype = numpy_dtype(_NAMES[code])
        nbytes = dtype.itemsize
        for n in shape:
            nbytes *= n
        if stop > end or stop - begin != nbytes:
            raise TensorsError(f"{name!r}: {code}{shape} does not fit bytes {begin} to {stop} of {end}")
        extents.append((begin, stop))
        try:
            if not nbytes:
                np.empty(0, np.uint8).view(dtype).reshape(shape)
            out[name] = array(dtype, shape, start + begin, nbytes)
        except ValueError as e:  # NumPy's own bounds, as for (0, 2**62)
            raise TensorsError(f"{name!r}: {code}{shape}: {e}") from None
    at = 0
    for begin, stop in sorted(extents):
        if begin != at:
            raise TensorsError(f"the data of two tensors overlap, or leave a gap, at byte {begin}")
        at = stop
    if at != end:
        raise TensorsError(f"{end - at} bytes belong to no tensor")
    return out, metadata
