"""`--for-target LEVEL`: which entries a command is about, by the level that their code was made for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ingot.runtime.cache.bundle import target_name
from ingot.runtime.cli.output import CommandError

__all__ = ["HELP", "arch_of", "check_level", "levels_of", "runs_here", "target_test"]

HELP = "only what is for this CPU level; host: for every level that this CPU runs"


def check_level(name: str) -> str:
    """`name`, if it is a level of CPUs or GPUs. CommandError that lists the levels where it is none."""
    from ingot.backends import NAMES, backend

    levels = [n for b in NAMES for n in backend(b).levels]
    if name not in levels:
        raise CommandError(f"there is no level {name!r}: expected {', '.join(levels)}")
    return name


def arch_of(name: str) -> str:
    """The architecture of a level, as `uname -m` says it."""
    from ingot.backends import backend

    return backend(name).levels[name].arch


def runs_here(name: str) -> bool:
    """Whether this CPU runs code for the level, whatever INGOT_CPU_LEVEL asks for."""
    from ingot.backends import backend

    cpu = backend("cpu")
    try:
        return cpu.runs(cpu.levels[name], cpu.host_level())
    except RuntimeError:  # a machine below every level
        return False


def levels_of(names: Sequence[str]) -> list[str]:
    """The levels that several `--for-target` name; the one that this CPU uses where there are none. CommandError for what is no level."""
    from ingot.backends import NAMES, backend
    from ingot.runtime import compiler

    if not names:
        return [compiler.host_level().name]
    levels = [n for b in NAMES for n in backend(b).levels]
    wanted = {n for name in names for n in (filter(runs_here, backend("cpu").levels) if name == "host" else [check_level(name)])}
    return [n for n in levels if n in wanted]


def target_test(name: str | None) -> Callable[[dict[str, Any]], bool]:
    """The test of a preimage that `--for-target NAME` stands for; everything passes where it is None.

    The code of the worker pool belongs to every level of its architecture. CommandError if there is no such level.
    """
    if name is None:
        return lambda preimage: True
    from ingot.backends import backend

    levels = {n for n in backend("cpu").levels if runs_here(n)} if name == "host" else {check_level(name)}
    wanted = levels | {arch_of(n) for n in levels}
    return lambda preimage: target_name(preimage) in wanted
