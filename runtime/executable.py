"""Executables: compiled graphs, loaded from a file or from bytes, and called with one foreign call.

    exe = Executable("/path/entry", manifest)
    exe.run(x.address, 0.5, y.address)

The manifest is plain data (it is stored as JSON with the code):

    entry          symbol of the entry
    slots          what each argument slot holds: "address", or the dtype of a scalar passed by value ("f32", "i64", ...)
    symbols        [{"name": ..., "min": ..., "max": ... or null}] where sizes are known at a call only: the last slots are their values
    arena_bytes    working memory of one call: a number, or the text of a size, see formula.py
    scratch_bytes  more of it, per worker, likewise
    checks         {code: {"message": ..., "location": ...}} for the codes that the entry may return
    inputs, outputs   the types as text, for people
    tiny           the work is so small that releasing Python's lock would cost more than it

Standard library and NumPy only: a process that runs an artifact has no compiler.
"""

from __future__ import annotations

import _ctypes
import ctypes
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from ingot.runtime import memory, switches, threads, timing
from ingot.runtime.formula import formula
from ingot.runtime.library import open_library

__all__ = ["NAN", "CheckError", "Executable"]

# The struct format of a slot: 8 bytes, the value in the low ones. Integers are widened, which leaves the low bytes as
# they are; struct has no bfloat16, so its two bytes are made here.
_FORMATS = {
    "address": "Q", "f64": "d", "f32": "f4x", "f16": "e6x", "bf16": "2s6x", "bool": "?7x",
    "i8": "q", "i16": "q", "i32": "q", "i64": "q", "u8": "Q", "u16": "Q", "u32": "Q", "u64": "Q",
}  # fmt: skip


_NO_BOUND = (1 << 63) - 1  # what a symbol without a bound may be
NAN = -1  # the code of an output that holds NaN, see runtime/observe.py


class CheckError(RuntimeError):
    """A check in compiled code failed. `code` is what the entry returned, `message` and `location` what it means.

    node: the number of what failed in the graph that ran, where that is known.
    Nothing that the call would have written to captured state was written.
    """

    def __init__(self, code: int, message: str, location: Any = None, node: int | None = None):
        super().__init__(message if location is None else f"{message}\n  {location}")
        self.code = code
        self.message = message
        self.location = location
        self.node = node


def _bfloat16(value: float) -> bytes:
    """`value` as bfloat16, rounded to nearest even."""
    bits = int(np.float32(value).view(np.uint32))
    rounded = 0x7FC0 if value != value else (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return rounded.to_bytes(2, "little")


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "f32": lambda value: float(np.float32(value)),
    "f16": lambda value: float(np.float16(value)),
    "bf16": _bfloat16,
}


def _rounded(nbytes: int) -> int:
    return -(-nbytes // memory.ALIGNMENT) * memory.ALIGNMENT


def _working(manifest: dict[str, Any]) -> str:
    """The working memory of one call, for people."""
    scratch = manifest["scratch_bytes"]
    return f"{manifest['arena_bytes']}" + (f", and {scratch} for each thread" if scratch not in (0, "0") else "")


def _check_limit(nbytes: int, text: str, nthreads: int, sizes: Callable[[], str] | None = None) -> None:
    """RuntimeError where INGOT_MAX_CALL_BYTES permits no call whose working memory is `nbytes`, by the formula `text`."""
    limit = switches.get("INGOT_MAX_CALL_BYTES")
    if limit is not None and nbytes > limit:
        with_sizes = f" with {sizes()}" if sizes is not None else ""
        raise RuntimeError(
            f"a call{with_sizes} needs {nbytes} bytes of working memory ({text}; {nthreads} threads), and INGOT_MAX_CALL_BYTES permits "
            f"{limit}: nothing has run"
        )


class _Sizes:
    """What the values of a manifest's symbols decide before a call."""

    def __init__(self, manifest: dict[str, Any]):
        symbols = manifest["symbols"]
        names = [s["name"] for s in symbols]
        self._arena, self._scratch = (formula(manifest[f], names) for f in ("arena_bytes", "scratch_bytes"))
        self._text = _working(manifest)
        self._refusals = {c.get("symbol"): (int(code), c["message"]) for code, c in manifest["checks"].items()}
        self._bounds = [(s["name"], int(s["min"]), _NO_BOUND if s["max"] is None else int(s["max"])) for s in symbols]
        self._last: tuple[Any, Any, tuple[threads.Table, int, memory.Bin | None]] | None = None

    def of(self, values: tuple[Any, ...]) -> tuple[int, int]:
        """The bytes of the arena, and of a worker's scratch. CheckError for a value that is outside of its bounds."""
        for value, (name, least, most) in zip(values, self._bounds, strict=True):
            if not least <= value <= most:
                code, message = self._refusals.get(name, (0, f"{name} must be at least {least} and at most {most}"))
                raise CheckError(code, f"{message}, not {value}")
        return _rounded(self._arena(*values)), self._scratch(*values)

    def bound(self, values: tuple[Any, ...], table: threads.Table | None) -> tuple[threads.Table, int, memory.Bin | None]:
        """As `Executable._bind` gives them, for a call with these values."""
        last = self._last
        if last is not None and last[0] == values and last[1] is table:
            return last[2]
        assert table is not None  # `_bind` has seen to it
        arena, scratch = self.of(values)
        nbytes = arena + table.nthreads * scratch
        _check_limit(nbytes, self._text, table.nthreads, lambda: ", ".join([f"{n} = {v}" for (n, _, _), v in zip(self._bounds, values)]))
        found = table, table.address, memory.lender_of(nbytes) if nbytes else None
        self._last = values, table, found
        return found


class Executable:
    """One compiled graph, loaded: `source` is a path, an open file descriptor (the caller closes it) or the bytes.

    Calls are re-entrant: any number of threads may `run` it at once.

    OSError where the system refuses to map it; KeyError for a manifest that lacks a field; AttributeError where the entry is not in it.
    """

    def __init__(self, source: str | os.PathLike | int | bytes | memoryview, manifest: dict[str, Any]):
        self._handle = 0
        self.manifest = manifest
        self.slots: tuple[str, ...] = tuple(manifest["slots"])
        self.checks: dict[int, dict[str, Any]] = {int(code): check for code, check in manifest.get("checks", {}).items()}
        self.symbols: tuple[str, ...] = tuple(s["name"] for s in manifest.get("symbols", ()))
        self._pack = struct.Struct("<" + "".join(_FORMATS[s] for s in self.slots)).pack
        self._sizes = _Sizes(manifest) if self.symbols else None
        self._arena_bytes = self._scratch_bytes = 0
        if self._sizes is None:
            self._arena_bytes, self._scratch_bytes = _rounded(int(manifest["arena_bytes"])), int(manifest["scratch_bytes"])
        self._handle, self._name = open_library(source)
        library = (ctypes.PyDLL if manifest.get("tiny") else ctypes.CDLL)(self._name, handle=self._handle)
        self._entry = library[manifest["entry"]]
        self._entry.argtypes = (ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p)
        self._entry.restype = ctypes.c_int
        self._bound: tuple[threads.Table | None, int, memory.Bin | None] = (None, 0, None)
        self.title = "graph"  # for people
        self.key = ""  # of its entry in the cache
        timing.born(self)

    def peak_bytes(self, *sizes: int) -> int:
        """The working memory of one call, with the present number of threads. `sizes`: the values of the symbols."""
        arena, scratch = (self._arena_bytes, self._scratch_bytes) if self._sizes is None else self._sizes.of(sizes)
        return arena + threads.get_num_threads() * scratch

    def run(self, *slots: int | float) -> None:
        """Call the entry. `slots`: addresses as ints, scalars as numbers, in the manifest's order; the values of symbols at the end.

        Outputs are written in place. CheckError where a check in the code failed, or a symbol's value is outside of its bounds.
        RuntimeError where there is no memory to work in, or more would be needed than INGOT_MAX_CALL_BYTES permits; then nothing has run.
        """
        bound = self._bound
        if bound[0] is not threads.current or bound[0] is None:
            bound = self._bind()
        if self._sizes is not None:
            bound = self._sizes.bound(slots[-len(self.symbols) :], bound[0])
        _, table, arena = bound
        try:
            packed = self._pack(*slots)
        except (OverflowError, struct.error, TypeError):
            packed = self._pack(*self._converted(slots))
        if arena is None:
            code = self._entry(packed, table, None)
        else:
            address = arena.take()
            try:
                code = self._entry(packed, table, address)
            finally:
                arena.append(address)
        if code:
            check = self.checks.get(code, {"message": f"check {code} failed"})
            raise CheckError(code, check["message"], check.get("location"), check.get("node"))

    def _converted(self, slots: tuple[int | float, ...]) -> list[int | float]:
        """Scalars that struct does not take as they are: bfloat16, and numbers beyond a float type's range (infinite)."""
        if len(slots) != len(self.slots):
            raise TypeError(f"{self.manifest['entry']} takes {len(self.slots)} slots ({', '.join(self.slots)}), got {len(slots)}")
        with np.errstate(over="ignore"):
            return [_CONVERT[kind](value) if kind in _CONVERT else value for kind, value in zip(self.slots, slots)]

    def _bind(self) -> tuple[threads.Table | None, int, memory.Bin | None]:
        """Size the arena for the process's present worker pool. Table and arena are read together, as one tuple."""
        table = threads.pool_table()
        nbytes = self._arena_bytes + table.nthreads * self._scratch_bytes
        _check_limit(nbytes, _working(self.manifest), table.nthreads)
        self._bound = (table, table.address, memory.bin_for(nbytes) if nbytes else None)
        return self._bound

    def __del__(self) -> None:
        if self._handle and _ctypes is not None:  # None when the interpreter shuts down
            _ctypes.dlclose(self._handle)
            self._handle = 0
