"""Training of five kinds of model for several steps, against torch, from the same weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

import ingot
from tests.support.models import cnn, encoder, gpt, lstm, mlp
from tests.torch.against import array, close, copy_weights

FLOATS = [array((4, 6), s) for s in range(3)]
IMAGES = [array((4, 1, 6, 6), s) for s in range(3)]
TOKENS = [np.random.default_rng(s).integers(0, 7, (3, 5)) for s in range(3)]
CLASSES = [np.random.default_rng(s).integers(0, 3, (4,)) for s in range(3)]
NEXT = [np.roll(t, -1, 1).reshape(-1) for t in TOKENS]
MODELS = [
    (mlp, FLOATS, CLASSES, 0, "AdamW", {"lr": 1e-2}),
    (cnn, IMAGES, CLASSES, 4, "SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 1e-3}),  # a bias that BatchNorm takes out
    (lstm, TOKENS, NEXT, 0, "Adam", {"lr": 1e-2}),
    (gpt, TOKENS, NEXT, 16, "AdamW", {"lr": 3e-3, "betas": (0.9, 0.95)}),  # the biases of keys: softmax takes them out
    (encoder, FLOATS, CLASSES, 8, "RMSprop", {"lr": 1e-3}),  # here, too
]


def determined(model: Any, x: Any, t: Any) -> dict[str, np.ndarray]:
    """By name of a parameter: which elements of its float32 gradient float64 confirms to a tenth, at these weights.

    The gradient of the others is zero, but for rounding. An optimizer that divides by a gradient's size makes whole steps of it.
    """
    exact = copy.deepcopy(model).double()
    exact.zero_grad()
    torch.nn.functional.cross_entropy(exact(x.double() if x.is_floating_point() else x), t).backward()
    pairs = zip(model.named_parameters(remove_duplicate=False), exact.named_parameters(remove_duplicate=False))
    return {n: ((p.grad - q.grad).abs() <= 0.1 * q.grad.abs()).numpy() for (n, p), (_, q) in pairs}


@pytest.mark.parametrize("build, xs, ts, noise, optimizer, kwargs", MODELS, ids=[m[0].__name__ for m in MODELS])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_training(build: Any, xs: list, ts: list, noise: int, optimizer: str, kwargs: dict, compiled: bool) -> None:
    """Equal losses, parameters and results. `noise`: how many elements of the parameters have no gradient but rounding's."""
    torch.manual_seed(0)
    theirs, mine = build(torch.nn, torch), build(ingot.nn, ingot)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    copy_weights(theirs, mine)
    keep: dict[str, np.ndarray] = {}

    def run(lib: Any, model: Any) -> list:
        opt = getattr(lib.optim, optimizer)(model.parameters(), **kwargs)
        schedule = lib.optim.lr_scheduler.CosineAnnealingLR(opt, 6)

        def step(x: Any, t: Any) -> Any:
            opt.zero_grad()
            loss = lib.nn.functional.cross_entropy(model(x), t)
            loss.backward()
            if lib is torch:
                for name, mask in determined(model, x, t).items():
                    keep[name] = keep.get(name, True) & mask
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
        mask = keep.get(name, np.ones(tuple(q.shape), bool))
        close(p[ingot.tensor(mask)], q[torch.tensor(mask)], rtol=2e-3, atol=3e-4, what=name)
    assert sum(int((~m).sum()) for m in keep.values()) == noise
    mine.eval()
    theirs.eval()
    if compiled:
        mine = ingot.compile(mine)
    close(mine(ingot.tensor(xs[0])), theirs(torch.tensor(xs[0])), rtol=2e-3, atol=5e-4)
