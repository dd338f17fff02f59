"""Small programs that read Python's state in every way we know, and change it: compiled they see what they see eagerly, or are refused."""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ingot
from ingot.capture import CaptureError

REFUSED = "refused"
PROGRAMS = {
    name: text
    for part in (Path(__file__).parent / "state_programs.txt").read_text().split("\n## ")[1:]
    for name, _, text in [part.partition("\n")]
}


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """What programs of one process share is as it was, afterwards."""
    environ, argv, limit, own, was_in = dict(os.environ), list(sys.argv), sys.getrecursionlimit(), dict(vars(builtins)), sys.stdin
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environ)
        sys.argv[:] = argv
        sys.setrecursionlimit(limit)
        sys.stdin = was_in
        vars(builtins).update(own)
        for made in ("program", "ing_mod"):
            sys.modules.pop(made, None)


def outcome(name: str, compiled: bool) -> list[Any]:
    """What three calls give, with the change after the first."""
    with restored():
        module = sys.modules["program"] = types.ModuleType("program")
        space = vars(module)
        space["T"] = ingot
        exec(compile(PROGRAMS[name], f"<{name}>", "exec"), space)
        f = ingot.compile(space["f"]) if compiled else space["f"]
        x, found = ingot.full((1,), 2.0), []
        for k in range(3):
            try:
                found.append(f(x).item())
            except CaptureError:
                return [REFUSED]
            if k == 0:
                space["change"]()
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_compiled_sees_what_eager_sees(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    eager = outcome(name, compiled=False)
    assert outcome(name, compiled=True) in (eager, [REFUSED])
