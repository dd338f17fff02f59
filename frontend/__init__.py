"""Ingot: PyTorch's vocabulary, compiled ahead of time.

    import ingot

    x = ingot.randn(8, 16)
    y = ingot.softmax(x @ x.T, dim=-1)

Names are imported when they are first used: `import ingot` costs little more than `import numpy`.
"""

from __future__ import annotations

import sys
from typing import Any

from ingot import _finder

_finder.install(__name__)  # before the rest of it is imported

from ingot import _paths  # noqa: E402
from ingot._lazy import imported  # noqa: E402
from ingot._names import DTYPES, MODULES, NAMES  # noqa: E402

_VERSION = "0.1.0"  # pyproject.toml reads it

if __name__ != "ingot":
    raise ImportError(f"import this package as ingot, not as {__name__}: run from outside the repository root")

_paths.install()


def __getattr__(name: str) -> Any:
    if name in NAMES:
        value = getattr(imported(NAMES[name]), name)
    elif name in DTYPES:
        value = getattr(imported("ingot.ir.dtypes"), DTYPES[name])
    elif name == "torch":  # torch.torch is torch
        value = sys.modules[__name__]
    elif name == "__version__":  # Ingot's own; what is imported as torch says which torch's names it has
        return _VERSION if sys.modules.get("torch") is not sys.modules[__name__] else imported("ingot.version").of_torch()
    elif name in MODULES or f"ingot.{name}" in _paths.PATHS:
        value = imported(f"ingot.{name}")
    else:
        raise AttributeError(f"module 'ingot' has no attribute {name!r}")
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*NAMES, *DTYPES, *MODULES, "__version__"})
