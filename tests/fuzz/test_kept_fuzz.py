"""Random programs that keep tensors between calls: compiled they give what they give eagerly, or are refused.

INGOT_FUZZ_SEED and INGOT_FUZZ_COUNT choose others and more.
"""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest

import ingot
from ingot.capture import CaptureError
from tests.support.interpreter import interpreter  # noqa: F401  (for every test of the file)
from tests.support.kept import EVENTS, program

SEED = int(os.environ.get("INGOT_FUZZ_SEED", "0"))
COUNT = int(os.environ.get("INGOT_FUZZ_COUNT", "60"))


def outcome(text: str, seed: int, compiled: bool) -> list[Any]:
    """What a dozen calls give, with what users do in between; a refusal ends it."""
    space: dict[str, Any] = {"__name__": "program"}
    exec(text, space)
    f = ingot.compile(space["f"]) if compiled else space["f"]
    rng, found = random.Random(seed), []
    with ingot.no_grad():
        for k in range(12):
            x = ingot.full((1, 4), 1.0 + k / 4)
            try:
                found.append(f(x).item())
            except CaptureError:
                return ["refused"]
            space["event"](rng.randrange(len(EVENTS)) if rng.random() < 0.3 else 0)
    return found


@pytest.mark.filterwarnings("ignore:.*was compiled 8 times")
@pytest.mark.parametrize("seed", range(SEED, SEED + COUNT))
def test_kept(seed: int) -> None:
    text = program(seed)
    print(text)
    eager, compiled = outcome(text, seed, compiled=False), outcome(text, seed, compiled=True)
    if compiled != ["refused"]:
        np.testing.assert_allclose(compiled, eager, rtol=1e-4)
