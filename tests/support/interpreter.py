"""Semantics are tested on the interpreter: nothing to compile, and the numbers are the oracle's. Imported by conftests."""

import os

import pytest

import ingot
from ingot.runtime import recorder


@pytest.fixture(autouse=True)
def interpreter(monkeypatch, request):
    """Run on the interpreter, but tests marked `compiled`; all on machine code where INGOT_TEST_COMPILED is set."""
    if "compiled" in request.keywords or os.environ.get("INGOT_TEST_COMPILED"):
        yield
        return
    monkeypatch.setenv("INGOT_BACKEND", "interpreter")
    recorder._PLANS.clear()
    ingot.manual_seed(0)
    yield
    recorder.flush()
    recorder._PLANS.clear()
