"""Random programs that read and change Python's state: compiled they give what they give eagerly, or are refused.

INGOT_FUZZ_SEED and INGOT_FUZZ_COUNT choose others and more.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

import ingot
from ingot.capture import CaptureError
from tests.support.interpreter import interpreter  # noqa: F401  (for every test of the file)
from tests.support.state import program

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "300"))


def outcome(text: str, compiled: bool) -> list[Any]:
    """What six calls give, with changes after the second and the fourth; a refusal ends it."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(text, space)
    f = ingot.compile(space["f"]) if compiled else space["f"]
    x, found = ingot.full((1,), 2.0), []
    for k in range(6):
        try:
            found.append(f(x).item())
        except CaptureError:
            return ["refused"]
        except Exception as e:
            found.append(type(e).__name__)
        if k in (1, 3):
            space["change" if k == 1 else "again"]()
    return found


@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_state(seed: int) -> None:
    text = program(seed)
    print(text.partition("return it\n")[2])
    assert outcome(text, compiled=True) in (outcome(text, compiled=False), ["refused"])
