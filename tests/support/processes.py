"""Where the tree is, and the environment of processes that import its tests."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the tree: the package under test may be installed elsewhere


# the start of a program that runs another copy of the package, from its path: what finds modules anywhere but there is taken out
FROM_PATH = """
import sys
from importlib import machinery
sys.meta_path[:] = [machinery.BuiltinImporter, machinery.FrozenImporter, machinery.PathFinder]
"""


def with_tests(**more: str) -> dict[str, str]:
    """This process's environment, with the tree on the path so that `tests` can be imported, and `more`."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}
