"""What this Ingot was made of, for reports of faults."""

from __future__ import annotations

__all__ = ["parallel_info", "show"]


def show() -> str:
    """Versions and the level of the CPU that code is made for, as text.

    >>> print(ingot.__config__.show())
    Ingot ...
    """
    import numpy as np

    from ingot import _VERSION
    from ingot.runtime import compiler, toolchain

    made = toolchain.versions()
    lines = [f"Ingot {_VERSION}", f"NumPy {np.__version__}", *(f"{k} {v}" for k, v in sorted(made.items()))]
    return "\n".join([*lines, f"CPU level {compiler.host_level().name}", parallel_info()]) + "\n"


def parallel_info() -> str:
    """How many threads operations run on, as text."""
    from ingot.runtime.threads import get_num_threads

    return f"threads {get_num_threads()}"
