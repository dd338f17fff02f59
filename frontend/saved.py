"""What `ingot.save` keeps of an object: a document of plain JSON, and arrays beside it. Rebuilding one executes nothing.

In the document None, bools, strings and integers of 64 bits stand for themselves; everything else is a list that begins with its
kind, and tensors and arrays are named.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from ingot._tensor import Size, Tensor
from ingot._tensor.devices import device
from ingot.ir import dtypes
from ingot.ir.dtypes import DType
from ingot.nn.parameter import Parameter

__all__ = ["Arrays", "SerializationError", "build", "describe"]

MAX_DEPTH = 100
_IN_PLACE = 1 << 10  # bytes that are kept in the document itself
_ARRAYS = tuple(np.dtype(t) for t in "? b h i l B H I L e f d".split())  # whose bytes safetensors files hold as what they are
_DICTS: dict[str, type] = {"dict": dict, "odict": OrderedDict, "counter": Counter}
_ROWS: dict[str, Callable[[Iterable[Any]], Any]] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "size": Size}
_ELSEWHERE = {  # classes whose modules are imported where a file has one, and else asked for objects only where a program has them
    "argparse.Namespace": ("argparse", "Namespace"), "path": ("pathlib", "Path"), "PurePosixPath": ("pathlib", "PurePosixPath"),
    "PureWindowsPath": ("pathlib", "PureWindowsPath"),
}  # fmt: skip


class SerializationError(RuntimeError):
    """A file that cannot be read as what `ingot.save` or `torch.save` writes, or an object that cannot be saved."""


class Arrays:
    """The tensors and arrays of an object on its way into a file, by name."""

    def __init__(self) -> None:
        self.found: dict[str, np.ndarray] = {}
        self.elsewhere = False  # whether some were on another device than the CPU
        self._names: dict[int, str] = {}
        self._keep: list[Any] = []  # an id means an object only while that lives

    def name(self, x: Any, path: str, array: Callable[[], np.ndarray]) -> str:
        """The name of `x`, whose values are those of `array()`: one, however often it comes."""
        name = self._names.get(id(x))
        if name is None:
            name = path or "tensor"
            while name in self.found:
                name += "_"
            self._names[id(x)] = name
            self._keep.append(x)
            self.found[name] = array()
        return name


# ---- writing


def describe(x: Any, path: str, arrays: Arrays, depth: int = 0) -> Any:
    """`x` as the document has it; `arrays` takes the tensors. SerializationError, with the place, for what cannot be saved."""
    if depth > MAX_DEPTH:
        raise SerializationError(f"cannot save: nested deeper than {MAX_DEPTH} levels at {path[:80] or 'the top'}")
    if x is None or isinstance(x, (bool, str)) and not isinstance(x, np.generic):
        return x
    if isinstance(x, (np.ndarray, np.generic)):
        return _numpy(x, path, arrays)
    if isinstance(x, int):
        return int(x) if -(2**63) <= x < 2**64 else ["int", hex(x)]
    if isinstance(x, float):
        return ["float", _digits(x)]
    if isinstance(x, complex):
        return ["complex", _digits(x.real), _digits(x.imag)]
    if isinstance(x, Tensor) and x._sparse:
        _, (kind, index, *rest) = x.__reduce_ex__(2)
        parts = [describe(t, f"{path}.{i}" if path else str(i), arrays, depth + 1) for i, t in enumerate((index, *rest))]
        return ["sparse", kind, parts]
    if isinstance(x, Tensor):
        name = arrays.name(x, path, lambda: np.ascontiguousarray(x.detach().numpy(force=True)).reshape(tuple(x.shape)))
        row = ["parameter" if isinstance(x, Parameter) else "tensor", name, x.requires_grad]
        if x.is_cuda:
            arrays.elsewhere = True
            row.append(str(x.device))
        return row
    if isinstance(x, (bytes, bytearray)):
        kind = "bytes" if isinstance(x, bytes) else "bytearray"
        if len(x) <= _IN_PLACE:
            return [kind, _encoded(x)]
        return [kind, None, arrays.name(x, path, lambda: np.frombuffer(bytes(x), np.uint8))]
    if isinstance(x, DType):
        return ["dtype", x.name]
    if isinstance(x, device):
        return ["device", str(x)]
    if _is_of("pathlib", "PurePath", x):
        return ["path" if _is_of("pathlib", "Path", x) else type(x).__name__, str(x)]

    def below(name: Any, value: Any) -> Any:
        return describe(value, f"{path}.{name}" if path else str(name), arrays, depth + 1)

    if isinstance(x, dict):
        kind = next((k for k, t in _DICTS.items() if type(x) is t), "dict")
        return [kind, [[_key(k, path, arrays, depth), below(k, v)] for k, v in x.items()]]
    for kind, namespace in (("namespace", type(x) is SimpleNamespace), ("argparse.Namespace", _is_of("argparse", "Namespace", x, True))):
        if namespace:
            return [kind, [[str(k), below(k, v)] for k, v in vars(x).items()]]
    if isinstance(x, (set, frozenset)):
        rows = [_key(v, path, arrays, depth) for v in x]
        return ["set" if isinstance(x, set) else "frozenset", sorted(rows, key=repr)]  # the same set, the same bytes
    if isinstance(x, (list, tuple)):
        kind = "list" if isinstance(x, list) else "size" if isinstance(x, Size) else "tuple"
        return [kind, [below(i, v) for i, v in enumerate(x)]]
    raise SerializationError(
        f"cannot save an object of type {type(x).__name__} at {path or 'the top'}: only tensors, NumPy arrays, numbers, strings, bytes, "
        "paths, None, dicts, lists, tuples, sets and namespaces of these are saved; for a module, save its state_dict()"
    )


def _is_of(module: str, name: str, x: Any, itself: bool = False) -> bool:
    """Whether an object is of a class (`itself`: and of none below) that may not be imported."""
    known = sys.modules.get(module)
    return known is not None and (type(x) is getattr(known, name) if itself else isinstance(x, getattr(known, name)))


def _key(x: Any, path: str, arrays: Arrays, depth: int) -> Any:
    """A dict's key or a set's element: what hashes by its value."""
    if x is None or isinstance(x, (str, int, float, complex, bytes, np.generic, DType, device)) or _is_of("pathlib", "PurePath", x):
        return describe(x, path, arrays, depth + 1)
    if isinstance(x, (tuple, frozenset)) and depth < MAX_DEPTH:
        rows = [_key(v, path, arrays, depth + 1) for v in x]
        return ["tuple", rows] if isinstance(x, tuple) else ["frozenset", sorted(rows, key=repr)]
    raise SerializationError(f"cannot save a dict key or an element of a set that is a {type(x).__name__}, at {path or 'the top'}")


def _numpy(x: Any, path: str, arrays: Arrays) -> Any:
    """An array, or one of NumPy's scalars, as its dtype, shape and bytes."""
    t = x.dtype
    if t.hasobject or t.names is not None or t.kind == "V":
        raise SerializationError(f"cannot save a NumPy array of {t} at {path or 'the top'}")
    if not isinstance(x, np.ndarray):
        return ["scalar", t.str, _encoded(x.tobytes())]
    if t in _ARRAYS:
        return ["array", arrays.name(x, path, lambda: np.ascontiguousarray(x).reshape(x.shape)), t.str, None]
    return ["array", arrays.name(x, path, lambda: np.frombuffer(x.tobytes(), np.uint8)), t.str, list(x.shape)]


def _digits(x: float) -> str:
    return float.hex(float(x)) if x == x and abs(x) != float("inf") else repr(float(x))


def _encoded(data: bytes | bytearray) -> str:
    import base64  # few documents need it

    return base64.b64encode(data).decode()


# ---- reading


def _decoded(text: Any) -> bytes:
    import base64

    return base64.b64decode(text, validate=True)


def build(
    tree: Any, arrays: Mapping[str, np.ndarray], tensors: Callable[[str, str], Tensor], made: dict[str, Any], depth: int = 0
) -> Any:  # fmt: skip
    """The object of a document. LookupError, TypeError, ValueError or RuntimeError where it makes no sense.

    arrays: by name; tensors(name, device): one of them as a tensor, saved from there; made: Parameters by name, {} at first.
    """
    if depth > MAX_DEPTH:
        raise ValueError("nested too deep")
    if not isinstance(tree, list):
        if tree is None or isinstance(tree, (bool, int, str)):
            return tree
        raise ValueError(f"unexpected {type(tree).__name__}")

    def below(t: Any) -> Any:
        return build(t, arrays, tensors, made, depth + 1)

    kind = tree[0]
    if not isinstance(kind, str):
        raise ValueError(f"unexpected kind {type(kind).__name__}")
    if kind in ("tensor", "parameter"):
        return _tensor(kind, tree[1], bool(tree[2]), str(tree[3]) if len(tree) > 3 else "cpu", tensors, made)
    if kind in _DICTS:
        return _DICTS[kind]({below(k): below(v) for k, v in tree[1]})
    if kind in _ROWS:
        return _ROWS[kind](below(v) for v in tree[1])
    if kind == "namespace":
        return SimpleNamespace(**{str(k): below(v) for k, v in tree[1]})
    if kind in _ELSEWHERE:
        module, name = _ELSEWHERE[kind]
        cls = getattr(importlib.import_module(module), name)
        return cls(**{str(k): below(v) for k, v in tree[1]}) if kind == "argparse.Namespace" else cls(tree[1])
    if kind == "float":
        return _number(tree[1])
    if kind == "complex":
        return complex(_number(tree[1]), _number(tree[2]))
    if kind == "int":
        return int(tree[1], 16)
    if kind in ("bytes", "bytearray"):
        data = arrays[tree[2]].tobytes() if tree[1] is None else _decoded(tree[1])
        return data if kind == "bytes" else bytearray(data)
    if kind == "scalar":
        return np.frombuffer(_decoded(tree[2]), _plain(tree[1]))[0]
    if kind == "array":
        found = arrays[tree[1]]
        if tree[3] is None:
            return found.astype(_ARRAYS[_ARRAYS.index(_plain(tree[2]))])  # a copy: its own, and writable
        return np.frombuffer(found.tobytes(), _plain(tree[2])).reshape([int(n) for n in tree[3]]).copy()
    if kind == "sparse":
        from ingot.sparse.making import rebuilt

        return rebuilt(str(tree[1]), *(below(t) for t in tree[2]))
    if kind == "dtype":
        return dtypes.by_name(tree[1])
    if kind == "device":
        return device(str(tree[1]))
    raise ValueError(f"unknown kind {kind!r}")


def _tensor(
    kind: str, name: str, requires_grad: bool, location: str, tensors: Callable[[str, str], Tensor], made: dict[str, Any]
) -> Tensor:  # fmt: skip
    t = made.get(name)
    if t is None:
        t = made[name] = tensors(name, location)
    if kind == "parameter":
        if not isinstance(t, Parameter):
            t = made[name] = Parameter(t, requires_grad=requires_grad)
    elif requires_grad:
        t.requires_grad_()
    return t


def _plain(name: Any) -> np.dtype:
    """A dtype by its string, of numbers, text or times. ValueError for any other."""
    t = np.dtype(str(name))
    if t.hasobject or t.names is not None or t.kind == "V":
        raise ValueError(f"unexpected dtype {t}")
    return t


def _number(text: str) -> float:
    return float.fromhex(text) if "x" in text else float(text)
