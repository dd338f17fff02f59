"""Training of five kinds of model for several steps, against torch, from the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import ingot
from tests.support.against_torch import array, close, copy_weights
from tests.support.models import cnn, encoder, gpt, lstm, mlp

FLOATS = [array((4, 6), s) for s in range(3)]
IMAGES = [array((4, 1, 6, 6), s) for s in range(3)]
TOKENS = [np.random.default_rng(s).integers(0, 7, (3, 5)) for s in range(3)]
CLASSES = [np.random.default_rng(s).integers(0, 3, (4,)) for s in range(3)]
NEXT = [np.roll(t, -1, 1).reshape(-1) for t in TOKENS]
MODELS = [
    (mlp, FLOATS, CLASSES, "AdamW", {"lr": 1e-2}),
    (cnn, IMAGES, CLASSES, "SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}),
    (lstm, TOKENS, NEXT, "Adam", {"lr": 1e-2}),
    (gpt, TOKENS, NEXT, "AdamW", {"lr": 3e-3, "betas": (0.9, 0.95)}),
    (encoder, FLOATS, CLASSES, "RMSprop", {"lr": 1e-3}),
]


@pytest.mark.parametrize("build, xs, ts, optimizer, kwargs", MODELS, ids=[m[0].__name__ for m in MODELS])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_training(build: Any, xs: list, ts: list, optimizer: str, kwargs: dict, compiled: bool) -> None:
    torch.manual_seed(0)
    theirs, mine = build(torch.nn, torch), build(ingot.nn, ingot)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    copy_weights(theirs, mine)

    def run(lib: Any, model: Any) -> list:
        opt = getattr(lib.optim, optimizer)(model.parameters(), **kwargs)
        schedule = lib.optim.lr_scheduler.CosineAnnealingLR(opt, 6)

        def step(x: Any, t: Any) -> Any:
            opt.zero_grad()
            loss = lib.nn.functional.cross_entropy(model(x), t)
            loss.backward()
            lib.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
            return loss

        if compiled and lib is ingot:
            step = ingot.compile(step)
        losses = []
        for i in range(6):
            losses.append(step(lib.tensor(xs[i % 3]), lib.tensor(ts[i % 3])).item())
            schedule.step()
        if compiled and lib is ingot:
            assert step.stats["traces"] <= 2  # gradients are None before the first step only
        return losses

    a, b = run(ingot, mine), run(torch, theirs)
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)
    for (name, p), q in zip(mine.state_dict().items(), theirs.state_dict().values()):
        close(p, q, rtol=2e-3, atol=3e-4, what=name)
    mine.eval()
    theirs.eval()
    if compiled:
        mine = ingot.compile(mine)
    close(mine(ingot.tensor(xs[0])), theirs(torch.tensor(xs[0])), rtol=2e-3, atol=5e-4)
