"""Every `>>>` of the package runs and prints what it says, and every public name of `nn` and `optim` has one.

An example of the public package sees `ingot`, `nn`, `F` and `np` alone, so that a reader can type it; one of an internal module sees
that module's names too. Each module's examples run in an empty folder, each docstring after the same seed.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.nn import functional as F

OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
GIVEN = {"ingot": ingot, "nn": nn, "F": F, "np": np}
INTERNAL = ("ingot._", "ingot.capture", "ingot.ir", "ingot.backends", "ingot.runtime")
TABLES = (  # where every name must have an example
    "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.parametrizations", "nn.utils.parametrize", "nn.utils.rnn", "optim",
    "optim.lr_scheduler", "optim.swa_utils",
)  # fmt: skip
MODULES = sorted({
    name
    for room in ("ingot", "ingot.ir", "ingot.backends", "ingot.runtime")
    for name in (room, *(m.name for m in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}.")))
    if not name.endswith("__main__")
})  # fmt: skip


def _examples(name: str) -> list[doctest.DocTest]:
    """The docstrings with examples of a module and of all that it defines."""
    module = importlib.import_module(name)
    names = {**vars(module), **GIVEN} if name.startswith(INTERNAL) else GIVEN
    return [t for t in doctest.DocTestFinder().find(module, name, globs=names) if t.examples]


@pytest.fixture
def settings(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to run in; the number of threads is as it was afterwards, and the other settings are seen to be."""
    monkeypatch.chdir(tmp_path)
    threads, printing = ingot.get_num_threads(), ingot.get_printoptions()
    yield
    ingot.set_num_threads(threads)
    assert ingot.get_default_dtype() is ingot.float32 and ingot.is_grad_enabled() and ingot.get_printoptions() == printing


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str, settings: None) -> None:
    report: list[str] = []
    for test in _examples(name):
        assert not any(doctest.SKIP in e.options for e in test.examples), f"{test.name}: an example that is not run may be wrong"
        ingot.manual_seed(0)
        doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(test, out=report.append)
    assert not report, "".join(report)


@pytest.mark.parametrize("table", TABLES)
def test_every_public_name_has_an_example(table: str) -> None:
    module = importlib.import_module(f"ingot.{table}")
    names = {name: getattr(module, name) for name in module.__all__}
    bare = [n for n, x in names.items() if callable(x) and ">>> " not in (x.__doc__ or "") and not hasattr(x, "refused")]
    assert names and not bare, f"without an example: {', '.join(bare)}"
