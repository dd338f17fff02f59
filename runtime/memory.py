"""The allocator: every tensor's memory, and the arenas that executables lease.

Sizes are rounded up to classes, each with a list of free blocks:

    small   up to 32 KiB   carved from slabs; classes 64 bytes apart up to 1 KiB, then four to each doubling
    medium  below 2 MiB    one mapping each
    large   from 2 MiB     one mapping each, 2 MiB-aligned, in huge pages where the system has them

All addresses are multiples of 64. Freed blocks are kept for the next allocation of their class: fresh pages cost more
than the work on them (PEERS: 35 ms against 13 for the same code). Kept medium and large blocks are given back to the
system above a limit (`set_keep_limit`), and by `empty_cache()`.

There is no lock: a block belongs to whoever popped it from a list, and list.pop, list.append and the like are atomic.
That also makes it safe that a Buffer is freed by the garbage collector in the middle of an allocation.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "ALIGNMENT", "Bin", "Buffer", "allocate", "bin_for", "empty_cache", "from_numpy", "keep_limit", "lender_of", "memory_stats",
    "set_keep_limit", "unfilled",
]  # fmt: skip

ALIGNMENT = 64
SMALL = 32 << 10  # the largest small class
LARGE = 2 << 20  # the smallest large class, and the size of a huge page
_SLAB = 64 << 10

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_FAILED = ctypes.c_void_p(-1).value
_PROT = mmap.PROT_READ | mmap.PROT_WRITE
_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_HUGEPAGE = 14  # MADV_HUGEPAGE

_mapped: dict[int, int] = {}  # address -> size of every mapping of this module
_slabs: dict[int, tuple[Bin, int]] = {}  # address of a slab -> its bin, its number of blocks


def _map(size: int) -> int | None:
    """A fresh private mapping of `size` bytes (huge ones 2 MiB-aligned), or None where the system has no more."""
    if size < LARGE:
        address = _libc.mmap(None, size, _PROT, _FLAGS, -1, 0)
        if address == _FAILED:
            return None
    else:
        whole = _libc.mmap(None, size + LARGE, _PROT, _FLAGS, -1, 0)
        if whole == _FAILED:
            return None
        address = -(-whole // LARGE) * LARGE
        if address > whole:
            _libc.munmap(whole, address - whole)
        _libc.munmap(address + size, whole + LARGE - address)
        _libc.madvise(address, size, _HUGEPAGE)  # where it is refused, small pages do
    _mapped[address] = size
    return address


def _unmap(address: int) -> None:
    size = _mapped.pop(address)
    _libc.munmap(address, size)


class Bin:
    """The free blocks of one size class. `take()` gives an address, `append(address)` gives it back."""

    __slots__ = ("size", "blocks", "append")

    def __init__(self, size: int):
        self.size = size
        self.blocks: list[int] = []
        self.append: Callable[[int], None] = self.blocks.append if size <= SMALL else self._give_back

    def take(self) -> int:
        """The address of a block of `size` bytes. RuntimeError where memory has run out."""
        try:
            return self.blocks.pop()
        except IndexError:
            return self._new()

    def _new(self) -> int:
        if self.size > SMALL:
            return _map_or_raise(self.size)
        n = max(_SLAB, 8 * self.size) // self.size
        slab = _map_or_raise(-(-n * self.size // mmap.PAGESIZE) * mmap.PAGESIZE)
        _slabs[slab] = (self, n)
        self.blocks.extend(range(slab + (n - 1) * self.size, slab, -self.size))
        return slab

    def _give_back(self, address: int) -> None:
        """Keep a medium or large block. The limit is checked for every large one, and now and then for medium ones."""
        self.blocks.append(address)
        if _limit is None:  # the interpreter is shutting down: this module's globals are gone
            return
        if (self.size >= LARGE or len(self.blocks) & 15 == 0) and _kept() > _limit[0]:
            _trim(_limit[0])


def _class_size(nbytes: int) -> int:
    """The size of the class that holds `nbytes`: at most a quarter more (an eighth for large ones)."""
    if nbytes <= 1024:
        return max(64, (nbytes + 63) & -64)
    power = 1 << ((nbytes - 1).bit_length() - 1)
    step = max(power >> 3, LARGE) if nbytes > LARGE else power >> 2
    return -(-nbytes // step) * step


_bins: dict[int, Bin] = {}  # by class size
_SMALL_BINS: list[Bin] = []  # by 64 bytes
while len(_SMALL_BINS) <= SMALL >> 6:
    _next = _class_size(len(_SMALL_BINS) << 6)
    _SMALL_BINS += [_bins.setdefault(_next, Bin(_next))] * ((_next >> 6) + 1 - len(_SMALL_BINS))


def bin_for(nbytes: int) -> Bin:
    """The size class of `nbytes`, for callers that take and return blocks of one size themselves."""
    if nbytes <= SMALL:
        return _SMALL_BINS[(nbytes + 63) >> 6]
    size = _class_size(nbytes)
    return _bins.get(size) or _bins.setdefault(size, Bin(size))


def lender_of(nbytes: int) -> Bin:
    """A size class that holds `nbytes` for a while: the smallest that has a block to lend, where the one of that size has none.

    What every call of another size asks for anew need not come from the system, whose fresh pages cost more than the work on them.
    """
    own = bin_for(nbytes)
    if nbytes <= SMALL or own.blocks:
        return own
    return min([b for b in list(_bins.values()) if b.size > own.size and b.blocks], key=lambda b: b.size, default=own)


# -- what is kept, and giving it back ----------------------------------------------------------------------------------


def _physical_memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 4 << 30


_limit = [_physical_memory() // 4]


def keep_limit() -> int:
    """How many bytes of freed blocks are kept for reuse at most (by default a quarter of the machine's memory)."""
    return _limit[0]


def set_keep_limit(nbytes: int) -> None:
    """Keep at most `nbytes` of freed medium and large blocks; ValueError if negative."""
    if nbytes < 0:
        raise ValueError(f"the keep limit must be at least 0 bytes, not {nbytes}")
    _limit[0] = int(nbytes)
    _trim(_limit[0])


def _kept() -> int:
    """Bytes of free medium and large blocks."""
    return sum(b.size * len(b.blocks) for b in list(_bins.values()) if b.size > SMALL)


def _trim(limit: int) -> None:
    """Give medium and large blocks back to the system, largest first, until at most `limit` bytes are kept."""
    excess = _kept() - limit
    for b in sorted((b for b in list(_bins.values()) if b.size > SMALL), key=lambda b: -b.size):
        while excess > 0:
            try:
                address = b.blocks.pop(0)  # the one that was not used for the longest
            except IndexError:
                break
            _unmap(address)
            excess -= b.size


def empty_cache() -> None:
    """Give all memory that no tensor uses back to the system."""
    _trim(0)
    for slab, (b, n) in list(_slabs.items()):
        mine = [a for a in list(b.blocks) if slab <= a < slab + n * b.size]
        if len(mine) < n:
            continue
        taken = []
        for a in mine:  # another thread may take one meanwhile: then the slab stays
            try:
                b.blocks.remove(a)
            except ValueError:
                break
            taken.append(a)
        if len(taken) == n:
            del _slabs[slab]
            _unmap(slab)
        else:
            b.blocks.extend(taken)


def memory_stats() -> dict[str, int]:
    """Bytes: `mapped` from the system, of which `in_use` by buffers and `kept` for reuse; `keep_limit`.

    >>> sorted(memory_stats())
    ['in_use', 'keep_limit', 'kept', 'mapped']
    """
    mapped = sum(list(_mapped.values()))
    kept = sum(b.size * len(b.blocks) for b in list(_bins.values()))
    return {"mapped": mapped, "in_use": mapped - kept, "kept": kept, "keep_limit": _limit[0]}


def _text(nbytes: int) -> str:
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes} bytes"


def _map_or_raise(size: int) -> int:
    address = None
    if size < 1 << 47:  # more than any address space
        address = _map(size)
        if address is None:
            empty_cache()
            address = _map(size)
    if address is None:
        in_use = memory_stats()["in_use"]
        raise RuntimeError(f"out of memory: cannot allocate {_text(size)} ({size} bytes); tensors use {_text(in_use)} already")
    return address


# -- buffers -----------------------------------------------------------------------------------------------------------


class Buffer:
    """Memory: `nbytes` at `address`. `owner` is the object that it belongs to where it is shared (else None).

    Freed when the last reference goes. Make one with `allocate` or `from_numpy`.
    """

    __slots__ = ("address", "nbytes", "owner", "_release", "__weakref__")

    def __init__(self, address: int, nbytes: int, release: Callable[[int], None] | None, owner: Any = None):
        self.address = address
        self.nbytes = nbytes
        self._release = release
        self.owner = owner

    def __del__(self) -> None:
        release = self._release
        if release is not None:
            release(self.address)

    @property
    def writable(self) -> bool:
        """False for memory shared with a read-only array: writing to it may end the process."""
        return self.owner is None or bool(self.owner.flags.writeable)

    def array(self, dtype: Any, shape: Sequence[int]) -> np.ndarray:
        """The memory as a C-contiguous NumPy array, which shares it and keeps it alive.

        ValueError where it is too small.
        """
        memory: Any = _Memory.from_address(self.address)
        memory.buffer = self
        out: np.ndarray = np.ndarray(shape, dtype, memory)
        if out.nbytes > self.nbytes:
            raise ValueError(f"a buffer of {self.nbytes} bytes cannot hold {out.dtype}{list(out.shape)} ({out.nbytes} bytes)")
        if not self.writable:
            out.flags.writeable = False
        return out

    def __repr__(self) -> str:
        return f"Buffer({self.address:#x}, {self.nbytes} bytes{', shared' if self.owner is not None else ''})"


class _Memory(ctypes.Array):
    """All memory from an address on, as NumPy wants to see it; an instance keeps its `buffer` alive.

    One type for every size: ctypes would need a new one per length, and `Buffer.array` checks the size itself.
    """

    _type_ = ctypes.c_ubyte
    _length_ = (1 << 62) - 1
    buffer: Buffer


def allocate(nbytes: int) -> Buffer:
    """A buffer of `nbytes` uninitialised bytes at a multiple of 64. Zero bytes are fine.

    RuntimeError where memory has run out, ValueError for a negative size.
    """
    if 0 <= nbytes <= SMALL:
        b = _SMALL_BINS[(nbytes + 63) >> 6]
    elif nbytes > 0:
        b = bin_for(nbytes)
    else:
        raise ValueError(f"cannot allocate {nbytes} bytes")
    try:
        address = b.blocks.pop()
    except IndexError:
        address = b._new()
    return Buffer(address, nbytes, b.append)


def unfilled(nbytes: int) -> Buffer:
    """Memory for what compiled code keeps of its steady inputs: its first byte says that nothing is there yet, its second is 1 (see
    `Program.kept`)."""
    buffer = allocate(nbytes)
    buffer.array(np.dtype(np.uint8), (2,))[:] = 0, 1
    return buffer


def adopted(array: np.ndarray) -> Buffer:
    """A buffer of the memory of a C-contiguous array that nobody else has, which is freed with it."""

    def release(address: int) -> None:
        """Nothing: it has kept the array until now."""
        assert array is not None

    return Buffer(array.__array_interface__["data"][0], array.nbytes, release)


def from_numpy(array: np.ndarray) -> Buffer:
    """A buffer over `array`'s own memory, which it keeps alive.

    An array that is not C-contiguous, not in native byte order or not aligned to its items is copied: `owner` is
    then None. TypeError for anything that is not an array of numbers or bools.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"expected a numpy.ndarray, got {type(array).__name__}")
    if array.dtype.hasobject or array.dtype.names is not None or array.dtype.kind in "SUMm":
        raise TypeError(f"a NumPy array of {array.dtype} has no tensor equivalent")
    flags = array.flags
    if flags.c_contiguous and flags.aligned and array.dtype.isnative:
        return Buffer(array.__array_interface__["data"][0], array.nbytes, None, array)
    out = allocate(array.nbytes)
    out.array(array.dtype.newbyteorder("="), array.shape)[...] = array
    return out
