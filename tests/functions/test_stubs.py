"""The committed stubs, the table of names and the page about torch's names are what the generator writes."""

from __future__ import annotations

import os

import pytest

import ingot
from ingot import _compat, _generate
from tests.support.processes import ROOT


@pytest.mark.parametrize("path", _generate.files(), ids=os.path.basename)
def test_what_is_generated_is_current(path: str) -> None:
    with open(path) as f:
        assert f.read() == _generate.files()[path], "stale: run `python -m ingot._generate`"


def test_the_page_of_names_is_current() -> None:
    docs = os.path.join(ROOT, "docs")
    with open(os.path.join(docs, "compat.md"), encoding="utf-8") as f:
        assert f.read() == _compat.page(docs), "stale: run `python -m ingot._generate`"


def test_every_public_function_has_a_docstring() -> None:
    from ingot._names import NAMES
    from ingot.functions.methods import complete

    missing = [n for n in NAMES if callable(getattr(ingot, n)) and not (getattr(ingot, n).__doc__ or "").strip()]
    assert not missing
    complete()
    methods = [n for n, v in vars(ingot.Tensor).items() if callable(v) and not n.startswith("_") and not (v.__doc__ or "").strip()]
    assert not methods
