"""Random programs that add to containers outside: compiled they leave there what they leave eagerly, or are refused.

INGOT_FUZZ_SEED and INGOT_FUZZ_COUNT choose others and more.
"""

from __future__ import annotations

import os
import random
from collections import deque
from typing import Any

import pytest

import ingot
from ingot.capture import CaptureError
from tests.support.added import EVENTS, program
from tests.support.interpreter import interpreter  # noqa: F401  (for every test of the file)

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "80"))


def said(x: Any) -> Any:
    """What can be seen of a value."""
    if isinstance(x, ingot.Tensor):
        return "tensor", x.tolist()
    if isinstance(x, dict):
        return {k: said(v) for k, v in x.items()}
    if isinstance(x, (list, tuple, deque)):
        return [type(x).__name__, *map(said, x)]
    return x if isinstance(x, set) else (type(x).__name__, x)


def outcome(text: str, seed: int, compiled: bool) -> list[Any]:
    """What eight calls give, and what is there after each, with what users do in between; a refusal ends it."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(text, space)
    f = ingot.compile(space["f"]) if compiled else space["f"]
    rng, found = random.Random(seed), list[Any]()
    for k in range(8):
        before = said([*space["look"](), space["held"]()])
        try:
            found.append(said(f(ingot.full((2,), k / 4))))
        except CaptureError:
            assert said([*space["look"](), space["held"]()]) == before
            return [*found, "refused"]
        except Exception as e:
            found.append(type(e).__name__)
        found.append(said([*space["look"](), space["held"]()]))
        space["event"](rng.randrange(len(EVENTS)) if rng.random() < 0.4 else 0)
    return found


@pytest.mark.filterwarnings("ignore:.*was compiled 8 times")
@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_added(seed: int) -> None:
    text = program(seed)
    print(text.partition("held = closed()\n")[2])
    eager, compiled = outcome(text, seed, compiled=False), outcome(text, seed, compiled=True)
    if compiled[-1] == "refused":
        eager[len(compiled) - 1 :] = ["refused"]
    assert compiled == eager
