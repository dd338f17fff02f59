"""Where the tree is, and the environment of processes that import its tests."""

from __future__ import annotations

import os
import shutil
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the tree: the package under test may be installed elsewhere


# the start of a program that runs another copy of the package, from its path: what finds modules anywhere but there is taken out
FROM_PATH = """
import sys
from importlib import machinery
sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder]
"""


def copy_package(folder: Path) -> Path:
    """Copy the package under test into `folder`, for a program that starts with FROM_PATH; the copy's folder."""
    to = folder / "ingot"
    for room in ("ingot", "ingot.ir", "ingot.backends", "ingot.runtime"):
        source = Path(str(import_module(room).__file__)).parent
        shutil.copytree(source, to.joinpath(*room.split(".")[1:]), ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    return to


def with_tests(**more: str) -> dict[str, str]:
    """This process's environment, with the tree on the path so that `tests` can be imported, and `more`."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}
