"""save and load: checkpoints as one safetensors file, never pickle; and the files that torch.save writes, read without running them.

The file holds the tensors, and in its metadata a JSON document of everything else (see saved.py). Any safetensors reader sees the
tensors under their dotted names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from ingot._refused import refused, refused_class
from ingot._tensor import Tensor
from ingot._tensor.devices import as_device, device
from ingot._tensor.recording import from_array, from_buffer, placed
from ingot.interchange import foreign
from ingot.ir.dtypes import by_numpy
from ingot.runtime import memory
from ingot.runtime.artifact import tensors
from ingot.saved import Arrays, SerializationError, build, describe

if TYPE_CHECKING:
    from ingot.interchange.torch_file import StoredTensor

__all__ = ["PyTorchFileReader", "SerializationError", "save"]  # the public `load` also reads artifacts: see ingot/artifacts.py

PyTorchFileReader = refused_class("PyTorchFileReader", "ingot.load reads the files that torch.save writes, and executes nothing")
normalize_storage_type = refused("serialization.normalize_storage_type", "there are no storages of one dtype; ingot.load reads files")
_KEY = "ingot"
# what is read: 2 has NumPy arrays, bytes, paths, sets and namespaces; 3 says which tensors were not on the CPU, and is written for these
_VERSIONS = (1, 2, 3)
_LARGE, _HEAD = 1 << 20, 32  # bytes of a file; and those that say what it is
T = TypeVar("T")


def save(obj: Any, f: str | os.PathLike | IO[bytes]) -> None:
    """Write `obj` to a path or a binary file: what a checkpoint is made of.

    Tensors, NumPy arrays and scalars, numbers, strings, bytes, paths, devices, dtypes and None, in dicts, lists, tuples, sets and
    namespaces (`SimpleNamespace`, `argparse.Namespace`), come out of `load` as they were.

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
        import tempfile

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
    """Read what `save` or `torch.save` wrote. Reading executes nothing. A plain safetensors file gives a dict of tensors.

    map_location: where tensors shall live: a device, a dict from saved to wanted devices, or `fn(storage, location)`, as torch has it.
        Without it, where they were when they were saved; on the CPU where there is no CUDA device. RuntimeError for a device that is not
        there.

    FileNotFoundError for a missing file, SerializationError (one line) for one that is damaged or foreign, which it names for what it
    is, and for what a file of `torch.save` holds besides tensors, numbers, strings and containers.
    """
    name = str(getattr(f, "name", "<file>")) if hasattr(f, "read") else os.fspath(f)  # type: ignore[arg-type]
    place("cpu", map_location)
    if hasattr(f, "read"):
        data = f.read()  # type: ignore[union-attr]
    else:
        with open(f, "rb") as file:  # type: ignore[arg-type]
            if os.fstat(file.fileno()).st_size >= _LARGE and foreign.kind_of(file.peek(_HEAD)[:_HEAD]) is None:
                return _from_file(file, name, map_location)
            data = file.read()
    return loads(data, name, map_location)


class _Stand:
    """What a function for `map_location` gets in the place of a storage: it may stay, or be asked to a device."""

    def __init__(self, location: str):
        self.location = location

    def cpu(self) -> _Stand:
        return _Stand("cpu")

    def cuda(self, index: Any = None, **options: Any) -> _Stand:
        return _Stand(str(place("cpu", f"cuda{'' if index is None else f':{index}'}")))


def place(location: str, wanted: Any) -> device:
    """Where a tensor that was saved at `location` comes to live, by `map_location=wanted`. RuntimeError where that is not there."""
    if isinstance(wanted, dict):
        wanted = wanted.get(location)
    elif callable(wanted) and not isinstance(wanted, device):
        wanted = wanted(_Stand(location), location)
    if wanted is None or isinstance(wanted, _Stand):
        wanted = location if wanted is None else wanted.location
        if device(wanted).type == "cuda":
            from ingot import cuda

            if not cuda.is_available():
                wanted = "cpu"  # what a machine with GPUs has saved is read on one without
    if not isinstance(wanted, (str, device)):
        raise TypeError(f"map_location is a device, a dict of devices or a function that gives one, not {type(wanted).__name__}")
    try:
        found = as_device(wanted)
    except RuntimeError as e:
        raise RuntimeError(f"map_location={str(wanted)!r}: {e}") from None
    if found.type == "meta":
        raise RuntimeError("map_location='meta': what is loaded has its values; t.to('meta') leaves shape and dtype of a tensor")
    return found


# ---- bytes


def dumps(obj: Any) -> bytes:
    """The bytes that `save` writes."""
    from safetensors.numpy import save as to_bytes

    arrays = Arrays()
    tree = describe(obj, "", arrays)
    document = json.dumps({"version": 3 if arrays.elsewhere else 2, "tree": tree}, separators=(",", ":"))
    return to_bytes(arrays.found, {_KEY: document})


def loads(data: bytes, name: str = "<bytes>", map_location: Any = None) -> Any:
    """What `dumps` made bytes of, or torch.save."""
    kind = foreign.kind_of(data)
    if kind is foreign.TORCH:
        return _from_torch(data, name, map_location)
    if kind is not None:
        raise SerializationError(f"{name}: {kind}")
    arrays, metadata = _open(data, name)
    return _rebuilt(arrays, metadata, lambda key: from_array(arrays[key]), name, map_location)


class _Lying(Mapping[str, np.ndarray]):
    """The arrays of a large file, each read when it is asked for, into memory of its own."""

    def __init__(self, file: BufferedReader, name: str):
        self._file, self._name = file.fileno(), name
        total = os.fstat(self._file).st_size
        start = os.pread(self._file, 8, 0)
        head = os.pread(self._file, 8 + min(int.from_bytes(start, "little"), tensors.MOST, total), 0)
        self._rows, self.metadata = _valid(lambda: tensors.parse(memoryview(head), total, tensors.MOST, lambda *row: row), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: str) -> np.ndarray:
        dtype, shape, _, _ = self._rows[key]
        return self.buffer(key).array(dtype, shape)

    def buffer(self, key: str) -> memory.Buffer:
        """The values of an array."""
        _, _, at, nbytes = self._rows[key]
        buffer = memory.allocate(nbytes)
        left = buffer.array(np.dtype(np.uint8), (nbytes,)).data
        while len(left):
            got = os.preadv(self._file, [left], at)
            if not got:
                raise SerializationError(f"{self._name}: it has become shorter while it was read")
            left, at = left[got:], at + got
        return buffer

    def tensor(self, key: str) -> Tensor:
        """An array as a tensor."""
        dtype, shape, _, _ = self._rows[key]
        return from_buffer(by_numpy(dtype), tuple(shape), self.buffer(key))


def _from_file(file: BufferedReader, name: str, map_location: Any) -> Any:
    """`loads` of a large file that is none of torch.save. Its tensors are read where they are to lie: the whole is never in memory."""
    arrays = _Lying(file, name)
    return _rebuilt(arrays, arrays.metadata, arrays.tensor, name, map_location)


def _rebuilt(
    arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str], made: Callable[[str], Tensor], name: str, map_location: Any
) -> Any:
    """What was saved. made: one of the arrays as a tensor."""

    def tensor(key: str, location: str = "cpu") -> Tensor:
        return placed(made(key), place(location, map_location))

    if _KEY not in metadata:
        return {key: tensor(key) for key in arrays}
    try:
        document = json.loads(metadata[_KEY])
        version, tree = document["version"], document["tree"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SerializationError(f"{name}: damaged: its structure cannot be read") from None
    if version not in _VERSIONS:
        raise SerializationError(f"{name}: written in format {version}, this version of ingot reads {_VERSIONS[-1]}")
    try:
        return build(tree, arrays, tensor, {})
    except (LookupError, TypeError, ArithmeticError, ValueError, RuntimeError) as e:  # RuntimeError: an integer that wants a gradient
        raise SerializationError(f"{name}: damaged: its structure does not fit its tensors ({type(e).__name__}: {e})") from None


def _open(data: bytes, name: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the metadata of a safetensors file."""
    return _valid(lambda: tensors.read(memoryview(data)), name)


def _valid(read: Callable[[], T], name: str) -> T:
    try:
        return read()
    except tensors.TensorsError as e:
        raise SerializationError(f"{name}: not a safetensors file, or damaged: {e}") from None


def _from_torch(data: bytes, name: str, map_location: Any) -> Any:
    """What is in a file of torch.save, as tensors of ours."""
    from ingot._tensor import Size
    from ingot.interchange.strides import strided_view
    from ingot.interchange.torch_file import FileError, Makers, read
    from ingot.nn.parameter import Parameter

    bases: dict[str, Tensor] = {}

    def tensor(t: StoredTensor) -> Tensor:
        where = place(t.location, map_location)
        if t.alone:
            made = from_array(t.array())
        else:  # others share its memory, or its strides are not those of a whole
            if t.storage not in bases:
                bases[t.storage] = from_array(t.memory)
            view = strided_view(bases[t.storage], t.shape, t.strides, t.offset)
            made = view if view is not None else from_array(t.copied())
        made = placed(made, where)
        return made.requires_grad_() if t.requires_grad else made

    def parameter(t: Tensor, requires_grad: bool) -> Parameter:
        return Parameter(t, requires_grad=requires_grad)

    try:
        return read(data, Makers(tensor, parameter, Size, device))
    except FileError as e:
        raise SerializationError(f"{name}: {e}") from None


DEFAULT_PROTOCOL = 2  # of pickles, by which nothing is written here
MAP_LOCATION = Any  # in annotations: what `map_location` may be
_safe: dict[Any, None] = {}  # in the order in which they were named


class safe_globals:
    """A block in which classes are named as harmless. Accepted, and without effect: reading a file never calls what the file names.

    >>> with ingot.serialization.safe_globals([set]):
    ...     ingot.serialization.get_safe_globals()
    [<class 'set'>]
    """

    def __init__(self, safe_globals: list[Any]):
        self._named = [g for g in safe_globals if g not in _safe]

    def __enter__(self) -> None:
        add_safe_globals(self._named)

    def __exit__(self, *exc: object) -> None:
        for g in self._named:
            _safe.pop(g, None)


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Name classes as harmless, without effect: see `safe_globals`."""
    _safe.update(dict.fromkeys(safe_globals))


def get_safe_globals() -> list[Any]:
    """What was named."""
    return list(_safe)


def clear_safe_globals() -> None:
    """Forget what was named."""
    _safe.clear()
