"""Random numbers on CUDA devices. With the same seed they are the CPU's; each device counts for itself how many were drawn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingot._tensor import Tensor
from ingot._tensor.recording import from_array
from ingot.cuda.devices import device_count, gpu, is_available
from ingot.runtime.random import Generator, of_device

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state",
    "set_rng_state_all",
]  # fmt: skip


def _generators() -> list[Generator]:
    return [of_device(i) for i in range(device_count())]


def manual_seed(seed: int) -> None:
    """Seed the generator of the present CUDA device; nothing where there is none. `ingot.manual_seed` seeds all devices.

    >>> ingot.cuda.manual_seed(0)
    """
    if is_available():
        of_device(gpu().index).manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all CUDA devices.

    >>> ingot.cuda.manual_seed_all(0)
    """
    for g in _generators():
        g.manual_seed(seed)


def seed() -> None:
    """Seed the generator of the present CUDA device with a number that nobody can foretell."""
    if is_available():
        of_device(gpu().index).seed()


def seed_all() -> None:
    """Seed the generators of all CUDA devices with one number that nobody can foretell."""
    found = _generators()
    if found:
        manual_seed_all(found[0].seed())


def initial_seed() -> int:
    """The seed of the present CUDA device's generator."""
    return of_device(gpu().index).initial_seed()


def get_rng_state(device: Any = "cuda") -> Tensor:
    """The state of a device's generator, a uint8 tensor on the CPU."""
    return from_array(of_device(gpu(device).index).get_state())


def set_rng_state(new_state: Tensor, device: Any = "cuda") -> None:
    """Go back to a state that `get_rng_state` gave."""
    of_device(gpu(device).index).set_state(new_state._value() if isinstance(new_state, Tensor) else new_state)


def get_rng_state_all() -> list[Tensor]:
    """The states of all CUDA devices' generators."""
    return [from_array(g.get_state()) for g in _generators()]


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Go back to what `get_rng_state_all` gave. RuntimeError for states of devices that there are not."""
    for i, state in enumerate(new_states):
        set_rng_state(state, i)


