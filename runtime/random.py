"""Generators: a seed and how many blocks of random numbers were used.

Randomness is counter-based: a random op gets the seed and an offset as run-time scalars, and reserves its blocks when it is
recorded, even if its result is dropped later. So the numbers depend on the order of the program alone.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from ingot.ir.dtypes import i64
from ingot.runtime.array import Array, host
from ingot.runtime.numbers import rank0, wrap_i64
from ingot.runtime.recorder import here

__all__ = ["Generator", "default_generator", "of_device", "of_devices"]

DEFAULT_SEED = 67280421310721


def _outside(what: str) -> None:
    """CaptureError while a function is compiled: later calls would not do it again."""
    here.recorder.only_outside(f"a compiled function cannot {what}: later calls would not do it again", "do it outside")


class Generator:
    """A stream of random numbers: `Generator().manual_seed(0)`.

    Two generators with one seed give the same numbers, on the CPU and on GPUs. The state is (seed, offset), as `get_state()` shows.
    device: where the numbers are made. RuntimeError for a device that is not there.
    """

    __slots__ = ("_seed", "offset", "device", "_lock", "__weakref__")

    def __init__(self, device: object = "cpu"):
        from ingot.runtime.tape import frontend

        self.device: Any = frontend.cpu if device == "cpu" else frontend.as_device(device)
        self._seed = DEFAULT_SEED
        self.offset = 0
        self._lock = threading.Lock()

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of `seed` (an integer of up to 64 bits, negative ones too). Returns the generator."""
        _outside("seed a generator")
        seed = int(seed)
        if not -(1 << 63) <= seed < 1 << 64:
            raise RuntimeError(f"Overflow when unpacking long: the seed {seed} has more than 64 bits")
        self._seed = seed & (1 << 64) - 1
        self.offset = 0
        return self

    def seed(self) -> int:
        """Start a stream that nobody can foretell; returns its seed."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little") >> 1)
        return self._seed

    def initial_seed(self) -> int:
        """The seed of the present stream."""
        return self._seed

    def get_state(self) -> np.ndarray:
        """Seed and offset, as 16 bytes."""
        _outside("read the state of a generator")
        return np.array([self._seed, self.offset], np.uint64).view(np.uint8)

    def set_state(self, state: np.ndarray) -> None:
        """Go back to a state that `get_state` gave. RuntimeError for anything else."""
        _outside("set the state of a generator")
        raw = np.asarray(state)
        if raw.dtype != np.uint8 or raw.shape != (16,):
            raise RuntimeError(f"a generator state is 16 bytes (uint8), not {raw.dtype}{list(raw.shape)}")
        seed, offset = raw.copy().view(np.uint64).tolist()
        self._seed, self.offset = seed, offset

    def reserve(self, words: int) -> tuple[Array, Array]:
        """Take the blocks of `words` random 32-bit words: seed and offset, as i64 numbers for `random_bits`."""
        blocks = -(-words // 4)
        rec = here.recorder
        if rec.tracing:
            return rec.reserve(self, blocks)
        t = rank0(i64)
        return host(t, wrap_i64(self._seed)), host(t, self.take(blocks))

    def take(self, blocks: int) -> int:
        """Use up so many blocks: the offset of the first, as an i64. No other thread gets the same."""
        with self._lock:
            at = self.offset
            self.offset = (at + blocks) & (1 << 64) - 1
        return wrap_i64(at)

    def advance(self, at: int, blocks: int) -> bool:
        """Use up so many blocks from the offset `at` on, an i64; False, and nothing is used up, where another thread has meanwhile."""
        with self._lock:
            if wrap_i64(self.offset) != at:
                return False
            self.offset = (self.offset + blocks) & (1 << 64) - 1
        return True


class _Default(Generator):
    """The default generator of the CPU, which is made before there are devices."""

    __slots__ = ()

    def __init__(self) -> None:
        self._seed = DEFAULT_SEED
        self.offset = 0
        self._lock = threading.Lock()

    @property
    def device(self) -> Any:
        """The CPU."""
        from ingot.runtime.tape import frontend

        return frontend.cpu


default_generator = _Default()
of_devices: dict[int, Generator] = {}  # the default generators of GPUs, by their numbers


def of_device(index: int) -> Generator:
    """The default generator of a GPU. A new one has the seed of the CPU's."""
    found = of_devices.get(index)
    if found is None:
        found = of_devices[index] = Generator(f"cuda:{index}")
        found._seed = default_generator._seed
    return found
