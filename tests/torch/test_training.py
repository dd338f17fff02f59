"""Training of five kinds of model for several steps, against torch, from the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from nn_support import array, close, copy_weights

import ingot


def mlp(nn: Any, lib: Any) -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 3))


def cnn(nn: Any, lib: Any) -> Any:
    class Block(nn.Module):
        def __init__(self, c: int):
            super().__init__()
            self.conv1 = nn.Conv2d(c, c, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(c)
            self.conv2 = nn.Conv2d(c, c, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(c)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            y = self.relu(self.bn1(self.conv1(x)))
            y = self.bn2(self.conv2(y))
            y += x
            return self.relu(y)

    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=1, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), Block(4), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(4, 3),
    )  # fmt: skip


def lstm(nn: Any, lib: Any) -> Any:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 5)
            self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True)
            self.head = nn.Linear(6, 7)

        def forward(self, x):
            h, _ = self.lstm(self.embed(x))
            return self.head(h).flatten(0, 1)

    return Model()


def gpt(nn: Any, lib: Any) -> Any:
    F = nn.functional

    class Block(nn.Module):
        def __init__(self, d: int, heads: int):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)
            self.heads = heads

        def forward(self, x):
            b, t, d = x.shape
            q, k, v = self.qkv(self.ln1(x)).split(d, dim=2)
            q, k, v = (y.view(b, t, self.heads, d // self.heads).transpose(1, 2) for y in (q, k, v))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).contiguous().view(b, t, d))
            return x + self.down(F.gelu(self.up(self.ln2(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok, self.pos = nn.Embedding(7, 8), nn.Embedding(5, 8)
            self.blocks = nn.ModuleList([Block(8, 2) for _ in range(2)])
            self.ln = nn.LayerNorm(8)
            self.head = nn.Linear(8, 7, bias=False)
            self.tok.weight = self.head.weight

        def forward(self, x):
            h = self.tok(x) + self.pos(lib.arange(x.shape[1]))
            for block in self.blocks:
                h = block(h)
            return self.head(self.ln(h)).view(-1, 7)

    return Model()


def encoder(nn: Any, lib: Any) -> Any:
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Linear(6, 8)
            self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=0.0, batch_first=True)
            self.gru = nn.GRU(8, 4, bidirectional=True, batch_first=True)
            self.out = nn.Linear(8, 3)
            self.register_buffer("scale", lib.ones(8))

        def forward(self, x):
            h = self.layer(self.inp(x.unsqueeze(1).expand(-1, 4, -1)) * self.scale)
            return self.out(self.gru(h)[0].mean(1))

    return Model()


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
