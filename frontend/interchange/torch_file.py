"""Files of torch.save: the zip, its pickle read by pickled.py, and tensors from the storages beside it. Nothing of it is executed.

    read(data, makers)      # makers say what becomes of tensors, parameters, sizes and devices
"""

from __future__ import annotations

import argparse
import io
import math
import pathlib
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from ingot.interchange.pickled import Named, PickleError
from ingot.interchange.pickled import read as read_pickle
from ingot.ir import dtypes
from ingot.ir.dtypes import DType

__all__ = ["FileError", "Makers", "StoredTensor", "read"]

_DTYPES = {
    "float64": "f64", "double": "f64", "float32": "f32", "float": "f32", "float16": "f16", "half": "f16", "bfloat16": "bf16",
    "int64": "i64", "long": "i64", "int32": "i32", "int": "i32", "int16": "i16", "short": "i16", "int8": "i8", "uint8": "u8",
    "uint16": "u16", "uint32": "u32", "uint64": "u64", "bool": "bool", "complex64": "c64",
    "cfloat": "c64", "complex128": "c128", "cdouble": "c128",
}  # fmt: skip
_STORAGES = {
    "Double": "f64", "Float": "f32", "Half": "f16", "BFloat16": "bf16", "Long": "i64", "Int": "i32", "Short": "i16", "Char": "i8",
    "Byte": "u8", "Bool": "bool", "ComplexFloat": "c64", "ComplexDouble": "c128",
}  # fmt: skip
_OTHER = (
    "complex32", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz",
    "float8_e8m0fnu", "float4_e2m1fn_x2", "quint8", "qint8", "qint32", "quint4x2", "quint2x4",
)  # fmt: skip


class FileError(ValueError):
    """A file of torch.save that cannot be read; the message says why."""


@dataclass
class StoredTensor:
    """A tensor as the file has it. `alone`: nobody shares its memory, in which its elements lie one after the other."""

    storage: str
    memory: np.ndarray  # the whole storage, one-dimensional
    location: str  # the device it was saved from
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    alone: bool

    def array(self) -> np.ndarray:
        """Its elements; only where it is `alone`."""
        return self.memory[self.offset : self.offset + math.prod(self.shape)].reshape(self.shape)

    def copied(self) -> np.ndarray:
        """Its elements, in memory of their own."""
        size = self.memory.itemsize
        view = np.lib.stride_tricks.as_strided(self.memory[self.offset :], self.shape, [s * size for s in self.strides])
        return np.ascontiguousarray(view).reshape(self.shape)


class Makers(NamedTuple):
    """What becomes of what the file holds."""

    tensor: Callable[[StoredTensor], Any]
    parameter: Callable[[Any, bool], Any]
    size: Callable[[tuple[int, ...]], Any]
    device: Callable[..., Any]


class _Storage(NamedTuple):
    """One that the pickle refers to. `dtype`: None where the tensor says it."""

    key: str
    location: str
    dtype: DType | None


def read(data: bytes, makers: Makers) -> Any:
    """The object in a file that torch.save wrote. FileError where it is damaged, or holds what is not read; it is named."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            archive = _Archive(z)
            count = Counter[str]()

            def counting(t: StoredTensor) -> Any:
                count[t.storage] += 1
                return t

            pickle = archive.read("data.pkl")
            # twice: who shares a storage is known when all was seen
            _Reader(archive, Makers(counting, lambda t, requires_grad: t, tuple, lambda *a: None), count).read(pickle)
            return _Reader(archive, makers, count).read(pickle)
    except FileError:
        raise
    except PickleError as e:
        raise FileError(str(e)) from None
    except (zipfile.BadZipFile, KeyError, NotImplementedError, EOFError, OSError, ValueError) as e:
        raise FileError(f"damaged: {e}") from None


class _Archive:
    """The zip: members below its one folder, none of them compressed."""

    def __init__(self, z: zipfile.ZipFile):
        self.z = z
        self.members = {i.filename.partition("/")[2]: i for i in z.infolist()}
        order = self.read("byteorder").strip() if "byteorder" in self.members else b"little"
        if order not in (b"little", b"big"):
            raise FileError(f"damaged: its byte order is {order[:20]!r}")
        self.swap = order == b"big"
        self.storages: dict[str, bytes] = {}
        self.left = sum(i.compress_size for i in z.infolist())

    def read(self, name: str) -> bytes:
        if name not in self.members:
            raise FileError(f"damaged: it has no {name}")
        info = self.members[name]
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise FileError(f"its member {name} is compressed, which torch.save does not do")
        if info.flag_bits & 1:
            raise FileError(f"its member {name} is encrypted, which torch.save does not do")
        return self.z.read(info)

    def storage(self, key: str) -> bytes:
        found = self.storages.get(key)
        if found is None:
            found = self.storages[key] = self.read(f"data/{key}")
            self.left -= len(found)
            if self.left < 0:
                raise FileError("damaged: its members lie over each other")
        return found


class _Reader:
    """One reading of the pickle."""

    def __init__(self, archive: _Archive, makers: Makers, count: Counter[str]):
        self.archive, self.makers, self.count = archive, makers, count
        self.memories: dict[tuple[str, DType], np.ndarray] = {}
        self.names = self._names()

    def read(self, pickle: bytes) -> Any:
        return read_pickle(pickle, self.names, self.persistent, _state)

    def _names(self) -> dict[tuple[str, str], Any]:
        names: dict[tuple[str, str], Any] = {("torch", n): dtypes.by_name(d) for n, d in _DTYPES.items()}
        names |= {("torch", f"{n}Storage"): dtypes.by_name(d) for n, d in _STORAGES.items()}
        names |= {("torch", n): Named("torch", n) for n in _OTHER}
        names |= {(m, n): Named(m, n) for m, n in _CLASSES}
        names |= {(m, n): f for m, n, f in _FUNCTIONS}
        utils, make = "torch._utils", self.makers
        names |= {
            (utils, "_rebuild_tensor"): self.tensor,
            (utils, "_rebuild_tensor_v2"): self.tensor,
            (utils, "_rebuild_tensor_v3"): self.tensor_of,
            (utils, "_rebuild_parameter"): lambda t, requires_grad, *rest: make.parameter(t, bool(requires_grad)),
            (utils, "_rebuild_parameter_with_state"): lambda t, requires_grad, *rest: make.parameter(t, bool(requires_grad)),
            ("torch._tensor", "_rebuild_from_type_v2"): self.of_type,
            ("torch", "Size"): lambda dims=(): make.size(tuple(int(n) for n in dims)),
            ("torch", "device"): lambda *a: make.device(*a),
        }
        return names

    def persistent(self, given: Any) -> _Storage:
        if not (isinstance(given, tuple) and len(given) == 5 and given[0] == "storage"):
            raise PickleError("damaged: it refers to what is no storage")
        _, kind, key, location, _ = given
        if kind == Named("torch.storage", "UntypedStorage"):
            return _Storage(str(key), str(location), None)
        if not isinstance(kind, DType):
            raise PickleError(f"it holds a tensor in a {kind}, which ingot has not")
        return _Storage(str(key), str(location), kind)

    def tensor(self, storage: Any, offset: int, shape: Any, strides: Any, requires_grad: bool = False, *rest: Any) -> Any:
        if not isinstance(storage, _Storage) or storage.dtype is None:
            raise PickleError("damaged: a tensor has no storage")
        return self.tensor_of(storage, offset, shape, strides, requires_grad, None, storage.dtype)

    def tensor_of(self, storage: Any, offset: int, shape: Any, strides: Any, requires_grad: bool, _: Any, dtype: Any, *rest: Any) -> Any:
        if isinstance(dtype, Named):
            raise PickleError(f"it holds a tensor of {dtype}, which ingot has not")
        if not isinstance(storage, _Storage) or not isinstance(dtype, DType):
            raise PickleError("damaged: a tensor has no storage")
        shape, strides = tuple(shape), tuple(strides)
        numbers = (offset, *shape, *strides)
        if len(shape) != len(strides) or len(shape) > 64 or not all(type(n) is int and 0 <= n < 2**62 for n in numbers):
            raise PickleError("damaged: a tensor's shape makes no sense")
        memory = self.memory(storage.key, dtype)
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides))
        if 0 not in shape and last >= len(memory):
            raise PickleError("damaged: a tensor reaches beyond its storage")
        alone = self.count[storage.key] == 1 and _contiguous(shape, strides) or 0 in shape
        return self.makers.tensor(StoredTensor(storage.key, memory, storage.location, offset, shape, strides, bool(requires_grad), alone))

    def of_type(self, function: Any, kind: Any, args: Any, state: Any = None) -> Any:
        """A tensor with attributes of Python's, which are left out."""
        if kind not in (Named("torch", "Tensor"), Named("torch.nn.parameter", "Parameter")) or not callable(function):
            raise PickleError(f"it holds a tensor of the class {kind}")
        return function(*args)

    def memory(self, key: str, dtype: DType) -> np.ndarray:
        found = self.memories.get((key, dtype))
        if found is None:
            data = self.archive.storage(key)
            bits = np.dtype(f"u{dtype.to_real().numpy.itemsize}")  # of a complex number each part has bytes of its own
            raw = np.frombuffer(data, bits, len(data) // dtype.itemsize * (dtype.itemsize // bits.itemsize))
            found = self.memories[key, dtype] = (raw.byteswap() if self.archive.swap else raw).view(dtype.numpy)
        return found


def _contiguous(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    expected = 1
    for n, s in zip(reversed(shape), reversed(strides)):
        if n != 1 and s != expected:
            return False
        expected *= n
    return True


# ---- what else is read: inert values


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise PickleError("damaged: bytes in an encoding other than latin1")
    return text.encode("latin1")


def _bytes(x: Any = b"", encoding: str = "latin1") -> bytes:
    if isinstance(x, str):
        return _encode(x, encoding.replace("-", ""))
    if not isinstance(x, (bytes, bytearray)):  # a number would be a length
        raise PickleError("damaged: bytes are made of what is no text")
    return bytes(x)


def _bytearray(*args: Any) -> bytearray:
    return bytearray(_bytes(*args))


def _dtype(code: str, align: bool = False, copy: bool = False) -> np.dtype:
    t = np.dtype(str(code))
    if t.hasobject or t.names is not None or t.kind not in "biufcSUMm":
        raise PickleError(f"it holds NumPy values of {t}")
    return t


def _scalar(t: np.dtype, data: Any) -> Any:
    return np.frombuffer(data if isinstance(data, bytes) else _encode(data, "latin1"), t, 1)[0]


def _array(kind: Any, shape: Any, code: Any) -> np.ndarray:
    return np.empty(0, np.uint8)  # its state comes


def _frombuffer(data: Any, t: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(t, np.dtype) or order not in ("C", "F"):
        raise PickleError("damaged: a NumPy array has no dtype")
    return np.frombuffer(bytes(data), t).reshape([int(n) for n in shape], order=order).copy(order=order)


def _ordered(items: Any = ()) -> OrderedDict:
    return OrderedDict(items)


_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
_BUILTINS = ("builtins", "__builtin__")
_PATHS = ("pathlib", "pathlib._local")  # the latter is Python 3.13's
_CLASSES = (("torch", "Tensor"), ("torch.nn.parameter", "Parameter"), ("torch.storage", "UntypedStorage"), ("numpy", "ndarray"))
_FUNCTIONS: tuple[tuple[str, str, Callable], ...] = (
    ("collections", "OrderedDict", _ordered), ("collections", "Counter", Counter), ("_codecs", "encode", _encode),
    *((m, n, f) for m in _BUILTINS for n, f in (
        ("set", set), ("frozenset", frozenset), ("list", list), ("tuple", tuple), ("dict", dict), ("complex", complex),
        ("bytearray", _bytearray), ("bytes", _bytes),
    )),
    *((m, n, f) for m in _PATHS for n, f in (
        ("PosixPath", pathlib.Path), ("PurePosixPath", pathlib.PurePosixPath),
        ("WindowsPath", pathlib.PureWindowsPath), ("PureWindowsPath", pathlib.PureWindowsPath),
    )),
    ("argparse", "Namespace", argparse.Namespace), ("types", "SimpleNamespace", SimpleNamespace),
    *((m, "_frombuffer", _frombuffer) for m in ("numpy.core.numeric", "numpy._core.numeric")),
    ("numpy", "dtype", _dtype), *((m, "scalar", _scalar) for m in _NUMPY), *((m, "_reconstruct", _array) for m in _NUMPY),
)  # fmt: skip


def _state(x: Any, state: Any) -> None:
    """Give a value that was made by one of the functions its attributes or elements."""
    if isinstance(x, (argparse.Namespace, SimpleNamespace)) and isinstance(state, dict):
        vars(x).update({str(k): v for k, v in state.items()})
    elif isinstance(x, OrderedDict) and isinstance(state, dict) and state.keys() <= {"_metadata"}:  # as a module's state_dict() has
        vars(x).update(state)
    elif isinstance(x, np.dtype) and isinstance(state, tuple) and len(state) >= 8 and state[2:5] == (None, None, None):
        if state[1] == ">":
            raise PickleError("it holds NumPy values in big-endian order")
    elif isinstance(x, np.ndarray) and isinstance(state, tuple) and len(state) == 5 and isinstance(state[2], np.dtype):
        _, shape, t, fortran, data = state
        data = data if isinstance(data, bytes) else _encode(data, "latin1")
        shape = tuple(int(n) for n in shape)
        if t.hasobject or min(shape, default=0) < 0 or math.prod(shape) * t.itemsize != len(data):
            raise PickleError("damaged: a NumPy array does not have its shape")
        x.__setstate__((1, shape, t, bool(fortran), data))  # type: ignore[arg-type]
    else:
        raise PickleError(f"damaged: a {type(x).__name__} is given a state that it cannot have")
