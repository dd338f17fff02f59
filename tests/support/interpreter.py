"""Semantics are tested on the interpreter: nothing to compile, and the numbers are the oracle's. Imported by conftests."""

import os

import pytest

import ingot
from ingot.runtime import plans, recorder


@pytest.fixture(autouse=True)
def interpreter(monkeypatch, request):
    """Run on the interpreter, but tests marked `compiled`; all on machine code where INGOT_TEST_COMPILED is set."""
    if "compiled" in request.keywords or os.environ.get("INGOT_TEST_COMPILED"):
        yield
        return
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    plans.clear()
    ingot.manual_seed(0)
    yield
    recorder.flush()
    plans.clear()
