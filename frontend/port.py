"""Programs that were written for torch, run as they are: what they import as `torch` is Ingot.

    python -m ingot.port train.py --epochs 3      # or: -m package.module, as Python takes it

    import ingot.port
    ingot.port.install()                          # from here on, in this process

`sys.modules["torch"] = ingot` does most of it: `torch.nn.functional` is then `ingot.nn.functional` (_paths.py), and `torch.__version__`
says which torch's names these are. `install` also tells of a distribution "torch", which libraries look for before they import it.
"""

from __future__ import annotations

import importlib.metadata
import os
import runpy
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import ingot
from ingot.torch_version import NAMES_OF

__all__ = ["install"]


def install() -> None:
    """Have `import torch` and all imports below it give Ingot, in this process; nothing is changed on the disk.

    RuntimeError if torch itself has been imported before. Calling it again does nothing.

    Example::

        import ingot.port
        ingot.port.install()
        from torch import nn        # Ingot's
    """
    there = sys.modules.get("torch")
    if there is not None and there is not ingot:
        raise RuntimeError("port.install: torch is imported already; call install before the first import of torch")
    sys.modules["torch"] = ingot
    if not any(isinstance(finder, _Metadata) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Metadata())  # type: ignore[arg-type]


class _Distribution(importlib.metadata.Distribution):
    """What `importlib.metadata` is told of torch: a name and a version, and no files."""

    def read_text(self, filename: str) -> str | None:
        return f"Metadata-Version: 2.1\nName: torch\nVersion: {NAMES_OF}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        raise FileNotFoundError(f"{path}: Ingot stands for torch, whose files are not there")


class _Metadata:
    """Finds that distribution, before an installed one, and no modules."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        return None

    @staticmethod
    def find_distributions(context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        return [_Distribution()] if getattr(context, "name", None) in (None, "torch") else []


def main() -> None:
    """`python -m ingot.port`: run a script or a module with its arguments."""
    args = sys.argv[1:]
    if not args or args[0] in ("-h", "--help") or (args[0] == "-m" and len(args) < 2):
        raise SystemExit("usage: python -m ingot.port [-m module | script.py] [arguments]")
    install()
    if args[0] == "-m":
        sys.argv = args[1:]
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = args
        sys.path[0] = os.path.dirname(os.path.abspath(args[0]))
        runpy.run_path(args[0], run_name="__main__")


if __name__ == "__main__":
    main()
