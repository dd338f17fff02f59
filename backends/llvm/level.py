"""What code is compiled for: one row of a backend's fixed table of targets, and all that the compiler knows of the machine."""

from __future__ import annotations

from typing import Any

from ingot.ir.machine import Machine
from ingot.ir.struct import fields, value_type

__all__ = ["QUICK", "Level"]

QUICK: dict[str, int] = {"x86_64": 0}  # how much LLVM optimises what is to be there soon, for architectures where that is tested


@value_type
class Level:
    """A target: its triple, CPU name and features for LLVM, and the facts by which code differs between targets."""

    name: str
    triple: str
    cpu: str
    features: tuple[str, ...]  # what LLVM may use, beyond the CPU name
    needs: tuple[str, ...]  # what a host must have, in the words of the system
    machine: Machine  # what schedules may know of it
    masked_bits: tuple[int, ...] = ()  # element sizes with cheap masked loads and stores
    has_fma: bool = True
    has_f16: bool = True  # converts f16 <-> f32 by itself
    has_bf16: bool = False  # converts f32 to bf16 by itself

    @property
    def arch(self) -> str:
        """The architecture, as `uname -m` says it for a CPU: "x86_64", "aarch64", "nvptx64"."""
        return self.triple.partition("-")[0]

    def assumptions(self) -> dict[str, Any]:
        """What code for this level may assume, as keys of the cache name it: every field but `needs`, and the machine's."""
        facts = {n: getattr(self, n) for n in fields(self)}
        del facts["needs"]
        return facts | {n: getattr(self.machine, n) for n in fields(facts.pop("machine"))}
