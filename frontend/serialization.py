"""save and load: state dicts as one safetensors file, never pickle.

The file holds the tensors, and in its metadata a JSON document of everything else: the structure (dicts, lists, tuples),
numbers, strings, None. Any safetensors reader sees the tensors under their dotted names.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import OrderedDict
from typing import IO, Any

from ingot._tensor import Tensor

__all__ = ["save", "SerializationError"]  # the public `load` also reads artifacts: see ingot/artifacts.py

_KEY = "ingot"
_VERSION = 1
_MAX_DEPTH = 100


class SerializationError(RuntimeError):
    """A file that cannot be read as what `ingot.save` writes, or an object that cannot be saved."""


def save(obj: Any, f: str | os.PathLike | IO[bytes]) -> None:
    """Write `obj` (tensors, numbers, strings, None, in dicts, lists and tuples) to a path or a binary file.

    A path is replaced as a whole: after a crash or on a full disk the old file is still there. SerializationError for
    what cannot be saved.

    >>> ingot.save({"step": 3, "weight": ingot.ones(2)}, "state.safetensors")
    >>> ingot.load("state.safetensors")
    {'step': 3, 'weight': tensor([1., 1.])}
    """
    data = dumps(obj)
    if hasattr(f, "write"):
        f.write(data)  # type: ignore[union-attr]
        return
    path = os.fspath(f)
    folder = os.path.dirname(os.path.abspath(path))
    try:
        handle, temporary = tempfile.mkstemp(prefix=".ingot-", suffix=".tmp", dir=folder)
    except FileNotFoundError:
        raise FileNotFoundError(f"cannot save to {path}: the folder {folder} does not exist") from None
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        mode = os.umask(0)
        os.umask(mode)
        os.chmod(temporary, 0o666 & ~mode)
        os.replace(temporary, path)
    except BaseException:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        raise
    _sync_folder(folder)


def _sync_folder(folder: str) -> None:
    try:
        fd = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(fd)
    except OSError:
        pass  # some file systems cannot; the file itself is on the disk
    finally:
        os.close(fd)


def load(f: str | os.PathLike | IO[bytes], map_location: Any = None, *, weights_only: bool = True, mmap: bool | None = None) -> Any:
    """Read what `save` wrote. Reading executes nothing. A plain safetensors file gives a dict of tensors.

    FileNotFoundError for a missing file, SerializationError (one line) for one that is damaged or foreign.
    """
    name = str(getattr(f, "name", "<file>")) if hasattr(f, "read") else os.fspath(f)  # type: ignore[arg-type]
    if hasattr(f, "read"):
        data = f.read()  # type: ignore[union-attr]
    else:
        with open(f, "rb") as file:  # type: ignore[arg-type]
            data = file.read()
    return loads(data, name)


# ---- writing


def dumps(obj: Any) -> bytes:
    """The bytes that `save` writes."""
    import numpy as np
    from safetensors.numpy import save as to_bytes

    tensors: dict[str, Tensor] = {}
    seen: dict[int, str] = {}
    tree = _describe(obj, "", tensors, seen, 0)
    arrays = {key: np.ascontiguousarray(t.detach().numpy()).reshape(tuple(t.shape)) for key, t in tensors.items()}
    document = json.dumps({"version": _VERSION, "tree": tree}, separators=(",", ":"))
    return to_bytes(arrays, {_KEY: document})


def _describe(x: Any, path: str, tensors: dict[str, Tensor], seen: dict[int, str], depth: int) -> Any:
    """`x` as JSON: containers are lists that begin with their kind, tensors are references."""
    if depth > _MAX_DEPTH:
        raise SerializationError(f"cannot save: nested deeper than {_MAX_DEPTH} levels at {path[:80] or 'the top'}")
    if x is None or isinstance(x, (bool, str)):
        return x
    if isinstance(x, int):
        return int(x)
    if isinstance(x, float):
        return ["float", float.hex(x)] if x == x and abs(x) != float("inf") else ["float", repr(float(x))]
    if isinstance(x, Tensor):
        if x.dtype.name in ("u16", "u32", "u64"):
            raise SerializationError(f"cannot save a tensor of {x.dtype!r} at {path or 'the top'}")
        key = seen.get(id(x))
        if key is None:
            key = seen[id(x)] = path or "tensor"
            while key in tensors:
                key += "_"
            seen[id(x)] = key
            tensors[key] = x
        return ["parameter" if _is_parameter(x) else "tensor", key, x.requires_grad]

    def below(name: Any) -> str:
        return f"{path}.{name}" if path else str(name)

    if isinstance(x, dict):
        kind = "odict" if type(x) is OrderedDict else "dict"
        pairs = []
        for k, v in x.items():
            if not (k is None or isinstance(k, (str, int, float, bool))):
                raise SerializationError(f"cannot save a dict key of type {type(k).__name__} at {path or 'the top'}")
            pairs.append([_describe(k, path, tensors, seen, depth + 1), _describe(v, below(k), tensors, seen, depth + 1)])
        return [kind, pairs]
    if isinstance(x, (list, tuple)):
        kind = "list" if isinstance(x, list) else "tuple"
        return [kind, [_describe(v, below(i), tensors, seen, depth + 1) for i, v in enumerate(x)]]
    from ingot.ir.dtypes import DType

    if isinstance(x, DType):
        return ["dtype", x.name]
    raise SerializationError(
        f"cannot save an object of type {type(x).__name__} at {path or 'the top'}: only tensors, numbers, strings, None, dicts, lists "
        "and tuples are saved; for a module, save its state_dict()"
    )


def _is_parameter(x: Tensor) -> bool:
    from ingot.nn.parameter import Parameter

    return isinstance(x, Parameter)


# ---- reading


def loads(data: bytes, name: str = "<bytes>") -> Any:
    """What `dumps` made bytes of."""
    tensors, metadata = _open(data, name)
    if _KEY not in metadata:
        return tensors
    try:
        document = json.loads(metadata[_KEY])
        version, tree = document["version"], document["tree"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SerializationError(f"{name}: damaged: its structure cannot be read") from None
    if version != _VERSION:
        raise SerializationError(f"{name}: written in format {version}, this version of ingot reads {_VERSION}")
    try:
        return _build(tree, tensors, 0)
    except (LookupError, TypeError, ArithmeticError, ValueError, RuntimeError) as e:  # RuntimeError: an integer that wants a gradient
        raise SerializationError(f"{name}: damaged: its structure does not fit its tensors ({type(e).__name__}: {e})") from None


def _open(data: bytes, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file, checked by the safetensors library."""
    import numpy as np
    from safetensors import SafetensorError, deserialize

    import ingot
    from ingot.ir import dtypes

    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
        raise SerializationError(f"{name}: a pickle file (as torch.save writes): convert it to safetensors where it was made")
    try:
        entries = deserialize(data)
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
    except (SafetensorError, ValueError) as e:
        raise SerializationError(f"{name}: not a safetensors file, or damaged: {e}") from None
    kinds = {
        "BOOL": "bool", "U8": "u8", "I8": "i8", "I16": "i16", "I32": "i32", "I64": "i64", "F16": "f16", "BF16": "bf16", "F32": "f32",
        "F64": "f64", "U16": "u16", "U32": "u32", "U64": "u64",
    }  # fmt: skip
    tensors = {}
    for key, entry in entries:
        if entry["dtype"] not in kinds:
            raise SerializationError(f"{name}: tensor {key} has the dtype {entry['dtype']}, which ingot has not")
        dtype = dtypes.by_name(kinds[entry["dtype"]])
        try:
            array = np.frombuffer(bytes(entry["data"]), dtype.numpy).reshape(entry["shape"])
        except ValueError as e:  # NumPy's own bounds
            raise SerializationError(f"{name}: tensor {key}: {e}") from None
        tensors[key] = ingot.tensor(array)
    metadata = header.get("__metadata__") or {}
    return tensors, metadata


def _build(tree: Any, tensors: dict[str, Tensor], depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    if not isinstance(tree, list):
        if tree is None or isinstance(tree, (bool, int, str)):
            return tree
        raise ValueError(f"unexpected {type(tree).__name__}")
    kind = tree[0]
    if kind == "float":
        return float.fromhex(tree[1]) if "x" in tree[1] else float(tree[1])
    if kind in ("tensor", "parameter"):
        t = tensors[tree[1]]
        if kind == "parameter":
            from ingot.nn.parameter import Parameter

            if not isinstance(t, Parameter):
                t = tensors[tree[1]] = Parameter(t, requires_grad=bool(tree[2]))
        elif tree[2]:
            t.requires_grad_()
        return t
    if kind in ("dict", "odict"):
        pairs = [(_build(k, tensors, depth + 1), _build(v, tensors, depth + 1)) for k, v in tree[1]]
        return OrderedDict(pairs) if kind == "odict" else dict(pairs)
    if kind == "list":
        return [_build(v, tensors, depth + 1) for v in tree[1]]
    if kind == "tuple":
        return tuple(_build(v, tensors, depth + 1) for v in tree[1])
    if kind == "dtype":
        from ingot.ir import dtypes

        return dtypes.by_name(tree[1])
    raise ValueError(f"unknown kind {kind!r}")
