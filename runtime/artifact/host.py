"""What this CPU can do, by LLVM's names of features: whether an artifact's code may run here.

Standard library only. Linux tells in /proc/cpuinfo; names that differ from LLVM's are in a table.
"""

from __future__ import annotations

import functools
import os

__all__ = ["architecture", "features", "missing"]

# /proc/cpuinfo -> LLVM, where dropping or changing punctuation does not do
_X86 = {
    "pni": "sse3", "sse4_1": "sse4.1", "sse4_2": "sse4.2", "abm": "lzcnt", "rdrand": "rdrnd", "lahf_lm": "sahf",
    "pclmulqdq": "pclmul", "avx512_bf16": "avx512bf16", "avx512_fp16": "avx512fp16", "avx512_vnni": "avx512vnni",
    "avx512_bitalg": "avx512bitalg", "avx512_vbmi2": "avx512vbmi2", "avx512_vpopcntdq": "avx512vpopcntdq", "avx_vnni": "avxvnni",
    "amx_tile": "amx-tile", "amx_bf16": "amx-bf16", "amx_int8": "amx-int8", "sha_ni": "sha", "cx16": "cx16",
}  # fmt: skip
_ARM = {
    "asimd": "neon", "asimddp": "dotprod", "asimdrdm": "rdm", "fphp": "fullfp16", "atomics": "lse", "crc32": "crc",
}  # fmt: skip


def architecture() -> str:
    """The machine as manifests name it: x86_64 or aarch64 (or whatever the system says)."""
    machine = os.uname().machine
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


@functools.cache
def features() -> frozenset[str]:
    """The features of this CPU; empty where the system does not tell."""
    label, names = (b"flags", _X86) if architecture() == "x86_64" else (b"Features", _ARM)
    try:
        with open("/proc/cpuinfo", "rb") as f:
            for line in f:
                if line.startswith(label):
                    found = line.partition(b":")[2].decode("ascii", "replace").split()
                    return frozenset(found) | {names[n] for n in found if n in names}
    except OSError:
        pass
    return frozenset()


def missing(required: list[str]) -> list[str]:
    """Which of the `required` features this CPU lacks, in order."""
    have = features()
    return [r for r in required if r.lstrip("+") not in have]
