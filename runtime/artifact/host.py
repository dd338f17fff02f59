"""What this CPU can do, in /proc/cpuinfo's words: whether an artifact's code may run here. Standard library only."""

from __future__ import annotations

import functools
import os

__all__ = ["architecture", "features", "missing"]


def architecture() -> str:
    """The machine as manifests name it: x86_64 or aarch64 (or whatever the system says)."""
    machine = os.uname().machine
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


@functools.cache
def features() -> frozenset[str]:
    """The features of this CPU; empty where the system does not tell."""
    try:
        with open("/proc/cpuinfo", "rb") as f:
            for line in f:
                if line.startswith((b"flags", b"Features")):
                    return frozenset(line.partition(b":")[2].decode("ascii", "replace").split())
    except OSError:
        pass
    return frozenset()


def missing(required: list[str]) -> list[str]:
    """Which of the `required` features this CPU lacks, in order."""
    have = features()
    return [r for r in required if r not in have]
