"""The levels of CPUs: the fixed table of instruction sets that code is compiled for. Nothing else of the host matters.

    host_level()            the highest level that this machine runs
    LEVELS["x86-64-v3"]     a level by name
"""

from __future__ import annotations

import platform

from ingot.backends.llvm.level import Level
from ingot.ir.machine import Machine

__all__ = ["LEVELS", "at_most", "common_level", "host_features", "host_level"]


_X86 = "x86_64-unknown-linux-gnu"
_V2 = ("cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3")
_V3 = (*_V2, "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_VNNI = (*_V4, "avx512_vnni")
_BF16 = (*_VNNI, "avx512_bf16")
_AMX = (*_BF16, "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8")

LEVELS: dict[str, Level] = {
    level.name: level
    for level in (
        Level("x86-64-v2", _X86, "x86-64-v2", (), _V2, Machine(16, generation="x86-64-v2"), has_fma=False, has_f16=False),
        Level("x86-64-v3", _X86, "x86-64-v3", (), _V3, Machine(32, generation="x86-64-v3"), (32, 64)),
        Level("x86-64-v4", _X86, "x86-64-v4", (), _V4, Machine(64, generation="x86-64-v4"), (8, 16, 32, 64)),
        Level(
            "x86-64-vnni", _X86, "x86-64-v4", ("avx512vnni",), _VNNI, Machine(64, generation="x86-64-vnni", dot_bytes=True), (8, 16, 32, 64)
        ),
        Level(
            "x86-64-bf16", _X86, "x86-64-v4", ("avx512vnni", "avx512bf16"),
            _BF16, Machine(64, generation="x86-64-bf16", dot_bytes=True, dot_halves=True), (8, 16, 32, 64),
        ),
        Level(
            "x86-64-amx", _X86, "x86-64-v4",
            ("avx512bf16", "avx512fp16", "avx512vnni", "amx-tile", "amx-bf16", "amx-int8"),
            _AMX, Machine(64, generation="x86-64-amx", dot_bytes=True, dot_halves=True), (8, 16, 32, 64),
        ),
        Level("aarch64", "aarch64-unknown-linux-gnu", "generic", ("neon",), ("asimd",), Machine(16, generation="aarch64")),
    )
}  # fmt: skip

_ASCENDING = {
    "x86_64": ("x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-vnni", "x86-64-bf16", "x86-64-amx"),
    "aarch64": ("aarch64",),
}


def host_features() -> frozenset[str]:
    """The processor's features in /proc/cpuinfo's words, without llvmlite (which need not be installed to run code)."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as f:
            for line in f:
                key, _, value = line.partition(":")
                if key.strip() in ("flags", "Features"):
                    return frozenset(value.split())
    except OSError:
        pass
    return frozenset()


def host_level(limit: str | None = None) -> Level:
    """The highest level this machine runs; `limit` names one not to go above (the switch INGOT_CPU_LEVEL).

    ValueError where `limit` is no level of this architecture; RuntimeError where the machine runs none.
    """
    machine = platform.machine().lower()
    names = _ASCENDING.get({"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine))
    if names is None:
        raise RuntimeError(f"no CPU level for {machine}: supported are x86_64 and aarch64")
    if limit is not None:
        if limit not in names:
            raise ValueError(f"CPU level {limit!r} is not one of {', '.join(names)}")
        names = names[: names.index(limit) + 1]
    have = host_features()
    for name in reversed(names):
        if have.issuperset(LEVELS[name].needs):
            return LEVELS[name]
    missing = [f for f in LEVELS[names[0]].needs if f not in have]
    raise RuntimeError(f"this processor is below the lowest level, {names[0]}: it lacks {', '.join(missing)}")


def at_most(level: Level, host: Level) -> bool:
    """Whether a host of level `host` runs code compiled for `level`."""
    for names in _ASCENDING.values():
        if level.name in names and host.name in names:
            return names.index(level.name) <= names.index(host.name)
    return False


# What every processor of an architecture runs: for the code of which there is one each.
_COMMON = {
    "x86_64": Level("x86_64", _X86, "x86-64", (), (), Machine(16)),
    "aarch64": Level("aarch64", "aarch64-unknown-linux-gnu", "generic", (), (), Machine(16)),
}


def common_level(arch: str) -> Level:
    """What every processor of an architecture runs, as the worker pool and the driver of launches do. RuntimeError where it is unknown."""
    if arch not in _COMMON:
        raise RuntimeError(f"no worker pool for {arch!r}: the CPU backend supports {', '.join(_COMMON)}")
    return _COMMON[arch]
