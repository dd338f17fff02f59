"""Random programs that move tensors between places: compiled they give what they give eagerly, and the same objects stand in the places.

INGOT_FUZZ_SEED and INGOT_FUZZ_COUNT choose others and more.
"""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

import ingot
from ingot.capture import CaptureError
from tests.support.interpreter import interpreter  # noqa: F401  (for every test of the file)
from tests.support.moved import program

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "80"))


def outcome(text: str, seed: int, compiled: bool) -> list[Any]:
    """What six calls give, and which objects, of all that have been there, stand where, with what; a refusal ends it."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(text, space)
    f = ingot.compile(space["f"]) if compiled else space["f"]
    rng, found, objects = random.Random(seed), list[Any](), list[Any](space["look"]())
    with ingot.no_grad():
        for k in range(6):
            x = ingot.full((space["width"],), k / 4)
            objects.append(x)
            try:
                found.append(f(x).item())
            except CaptureError:
                return ["refused"]
            objects += [t for t in space["look"]() if not any(t is o for o in objects)]
            found.append([next(i for i, o in enumerate(objects) if o is t) for t in space["look"]()])
            found.append([o.tolist() for o in objects])
            if k > 1 and rng.random() < 0.3:
                held = space["look"]()
                i, j = rng.randrange(len(held)), rng.randrange(len(held))
                space["put"](i, rng.choice([held[j], ingot.full((2,), 3.0), objects[rng.randrange(len(objects))]]))
    return found


@pytest.mark.filterwarnings("ignore:.*was compiled 8 times")
@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_moved(seed: int) -> None:
    text = program(seed)
    print(text.partition("def outer")[2])
    eager, compiled = outcome(text, seed, compiled=False), outcome(text, seed, compiled=True)
    if compiled != ["refused"]:
        assert compiled == eager
