"""The networks that are measured, written once: `T` is torch or ingot.

What they share is torch's vocabulary, so a model that runs here on both is itself a check of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def chain(T: Any) -> Any:
    """gelu, mul, add, sigmoid: one pass over memory when fused."""

    class Chain(T.nn.Module):
        def forward(self, x, y):
            return T.sigmoid(T.nn.functional.gelu(x) * y + x)

    return Chain()


def softmax_layer_norm(T: Any, n: int) -> Any:
    """softmax of rows, then layer_norm of rows."""

    class Rows(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = T.nn.LayerNorm(n)

        def forward(self, x):
            return self.norm(T.softmax(x, dim=-1))

    return Rows()


def matmul(T: Any) -> Any:
    class Product(T.nn.Module):
        def forward(self, a, b):
            return T.matmul(a, b)

    return Product()


def tiny(T: Any) -> Any:
    """So little work that only the call counts."""

    class Tiny(T.nn.Module):
        def forward(self, x, y):
            return x * y + x

    return Tiny()


MLP = {"0.weight": (512, 784), "0.bias": (512,), "2.weight": (512, 512), "2.bias": (512,), "4.weight": (10, 512), "4.bias": (10,)}


def mlp(T: Any) -> Any:
    nn = T.nn
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10))


def lenet(T: Any) -> Any:
    """LeNet's shape at 28 x 28, with the widths that are usual today."""
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Linear(512, 10),
    )  # fmt: skip


def lstm(T: Any) -> Any:
    """One layer of 128 over [time, batch, features]; the outputs of all steps."""

    class Recurrent(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = T.nn.LSTM(128, 128)

        def forward(self, x):
            return self.lstm(x)[0]

    return Recurrent()


def gpt(T: Any, layers: int = 4, width: int = 256, heads: int = 8, length: int = 128, vocabulary: int = 4096) -> Any:
    """A decoder-only transformer: pre-norm blocks, learned positions, causal attention."""
    nn, F = T.nn, T.nn.functional

    class Block(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (p.view(b, t, heads, c // heads).transpose(1, 2) for p in self.qkv(self.norm1(x)).chunk(3, dim=-1))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

        def forward(self, i):
            x = self.tokens(i) + self.positions(T.arange(i.shape[1], device=i.device))
            for block in self.blocks:
                x = block(x)
            return self.head(self.norm(x)).view(-1, vocabulary)

    return GPT()


def weights(shapes: dict[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """The same weights in every framework: matrices from a normal distribution by fan-in, biases 0, norms 1."""
    rng = np.random.default_rng(seed)
    out = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            out[name] = rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        else:
            out[name] = np.zeros(shape, np.float32) if "bias" in name else np.ones(shape, np.float32)
    return out


def initialise(T: Any, model: Any, seed: int = 0) -> Any:
    """Give a network the weights of `weights`."""
    values = weights({name: tuple(p.shape) for name, p in model.named_parameters()}, seed)
    with T.no_grad():
        for name, p in model.named_parameters():
            p.copy_(T.from_numpy(values[name]))
    return model
