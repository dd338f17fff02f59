"""Random numbers on CUDA devices: seeding all of none is done at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ingot.cuda.absent import NO_DEVICE, refused

__all__ = [
    "get_rng_state", "get_rng_state_all", "initial_seed", "manual_seed", "manual_seed_all", "seed", "seed_all", "set_rng_state",
    "set_rng_state_all",
]  # fmt: skip

get_rng_state = refused("get_rng_state")
set_rng_state = refused("set_rng_state")
initial_seed = refused("initial_seed")


def manual_seed(seed: int) -> None:
    """Seed the generator of the present CUDA device: there is none. `ingot.manual_seed` seeds the CPU's.

    >>> ingot.cuda.manual_seed(0)
    """


def manual_seed_all(seed: int) -> None:
    """Seed the generators of all CUDA devices: there is none.

    >>> ingot.cuda.manual_seed_all(0)
    """


def seed() -> None:
    """Seed the generator of the present CUDA device at random: there is none."""


def seed_all() -> None:
    """Seed the generators of all CUDA devices at random: there is none."""


def get_rng_state_all() -> list[Any]:
    """The states of all CUDA devices' generators: []."""
    return []


def set_rng_state_all(new_states: Iterable[Any]) -> None:
    """Go back to what `get_rng_state_all` gave. RuntimeError for states of devices that there are not."""
    if list(new_states):
        raise RuntimeError(f"cuda.set_rng_state_all: {NO_DEVICE}")
