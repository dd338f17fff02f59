"""Ten networks of the kinds that other frameworks' exporters are asked for, written once: `T` is torch or ingot.

Each is a function of `T` that returns the network; `NETWORKS` has them by name with what they are called with. Sizes are those that are
deployed at batch 1: small editions, not toys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["NETWORKS"]

Arrays = tuple[np.ndarray, ...]


def resnet18(T: Any) -> Any:
    """ResNet-18 for 224 x 224 (He et al. 2015)."""
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
            self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
            self.short = None
            if stride > 1 or inputs != outputs:
                self.short = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = self.bn2(self.conv2(T.relu(self.bn1(self.conv1(x)))))
            return T.relu(y + (x if self.short is None else self.short(x)))

    stages, inputs = [], 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        stages += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *stages,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000),
    )  # fmt: skip


def mobilenet_v2(T: Any) -> Any:
    """MobileNetV2 for 224 x 224 (Sandler et al. 2018)."""
    nn = T.nn

    def conv(inputs, outputs, kernel, stride=1, groups=1, active=True):
        parts = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
        return nn.Sequential(*parts, *([nn.ReLU6()] if active else []))

    class Inverted(nn.Module):
        def __init__(self, inputs, outputs, stride, grow):
            super().__init__()
            wide = inputs * grow
            parts = [conv(inputs, wide, 1)] if grow > 1 else []
            self.body = nn.Sequential(*parts, conv(wide, wide, 3, stride, wide), conv(wide, outputs, 1, active=False))
            self.adds = stride == 1 and inputs == outputs

        def forward(self, x):
            return x + self.body(x) if self.adds else self.body(x)

    parts, inputs = [conv(3, 32, 3, 2)], 32
    for grow, outputs, repeats, stride in (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)
    ):  # fmt: skip
        for i in range(repeats):
            parts.append(Inverted(inputs, outputs, stride if i == 0 else 1, grow))
            inputs = outputs
    return nn.Sequential(*parts, conv(320, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000))


def _attention(T: Any, width: int, heads: int, causal: bool = False) -> Any:
    nn = T.nn

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = (p.reshape(b, t, heads, width // heads).transpose(1, 2) for p in self.qkv(x).chunk(3, dim=-1))
            y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
            return self.out(y.transpose(1, 2).reshape(b, t, width))

    return Attention()


def _blocks(T: Any, layers: int, width: int, heads: int, causal: bool = False, before: bool = True) -> Any:
    """Layers of a transformer, normalised before (or after) attention and network."""
    nn = T.nn

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = _attention(T, width, heads, causal)
            self.net = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x):
            if before:
                x = x + self.attention(self.norm1(x))
                return x + self.net(self.norm2(x))
            x = self.norm1(x + self.attention(x))
            return self.norm2(x + self.net(x))

    return nn.Sequential(*(Block() for _ in range(layers)))


def vit_tiny(T: Any) -> Any:
    """ViT-tiny: 12 layers of 192 over patches of 16 (Dosovitskiy et al. 2020)."""
    nn = T.nn

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 192, 16, 16)
            self.first, self.positions = nn.Parameter(T.zeros(1, 1, 192)), nn.Parameter(T.zeros(1, 197, 192))
            self.blocks, self.norm, self.head = _blocks(T, 12, 192, 3), nn.LayerNorm(192), nn.Linear(192, 1000)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = T.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
            return self.head(self.norm(self.blocks(x))[:, 0])

    return ViT()


def _language(T: Any, layers: int, width: int, heads: int, length: int, vocabulary: int, causal: bool) -> Any:
    nn = T.nn

    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
            self.blocks = _blocks(T, layers, width, heads, causal, before=causal)
            self.norm = nn.LayerNorm(width)

        def forward(self, i):
            x = self.tokens(i) + self.positions(T.arange(i.shape[1]))
            x = self.norm(self.blocks(x))
            return x @ self.tokens.weight.t()

    return Language()


def bert(T: Any) -> Any:
    """An encoder of 4 layers of 256 (Devlin et al. 2018)."""
    return _language(T, 4, 256, 4, 128, 8192, causal=False)


def gpt2(T: Any) -> Any:
    """A decoder of 6 layers of 384 (Radford et al. 2019)."""
    return _language(T, 6, 384, 6, 128, 16384, causal=True)


def llama(T: Any) -> Any:
    """Rotary positions, RMS norms, grouped heads and gated networks: 6 layers of 384 (Touvron et al. 2023)."""
    nn, width, heads, groups, wide = T.nn, 384, 6, 2, 1024
    size = width // heads

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(T.ones(width))

        def forward(self, x):
            return x * T.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = Norm(), Norm()
            self.q, self.out = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
            self.k, self.v = nn.Linear(width, groups * size, bias=False), nn.Linear(width, groups * size, bias=False)
            self.gate, self.up = nn.Linear(width, wide, bias=False), nn.Linear(width, wide, bias=False)
            self.down = nn.Linear(wide, width, bias=False)

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            y = self.norm1(x)
            q = self.q(y).view(b, t, heads, size).transpose(1, 2)
            k, v = (f(y).view(b, t, groups, size).transpose(1, 2) for f in (self.k, self.v))

            def turned(z):
                return z * cos + T.cat([-z[..., size // 2 :], z[..., : size // 2]], dim=-1) * sin

            k, v = (z.repeat_interleave(heads // groups, dim=1) for z in (turned(k), v))
            y = nn.functional.scaled_dot_product_attention(turned(q), k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, width))
            y = self.norm2(x)
            return x + self.down(nn.functional.silu(self.gate(y)) * self.up(y))

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.norm = nn.Embedding(16384, width), Norm()
            self.blocks = nn.ModuleList([Block() for _ in range(6)])
            at = T.arange(128).float()[:, None] * (10000.0 ** (-T.arange(0, size, 2).float() / size))[None, :]
            self.register_buffer("cos", T.cat([at, at], dim=-1).cos())
            self.register_buffer("sin", T.cat([at, at], dim=-1).sin())

        def forward(self, i):
            x, n = self.tokens(i), i.shape[1]
            for block in self.blocks:
                x = block(x, self.cos[:n], self.sin[:n])
            return self.norm(x) @ self.tokens.weight.t()

    return Llama()


def lstm(T: Any) -> Any:
    """Two layers of 256 over 64 steps, in both directions, and a classifier of each step."""
    nn = T.nn

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(128, 256, 2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(512, 32)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    return Tagger()


def unet(T: Any) -> Any:
    """Three levels of 16, 32 and 64 channels on 128 x 128 (Ronneberger et al. 2015)."""
    nn = T.nn

    def double(inputs, outputs):
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = double(3, 16), double(16, 32), double(32, 64)
            self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
            self.d, self.e, self.head = double(64, 32), double(32, 16), nn.Conv2d(16, 2, 1)
            self.pool = nn.MaxPool2d(2)

        def forward(self, x):
            a = self.a(x)
            b = self.b(self.pool(a))
            c = self.c(self.pool(b))
            b = self.d(T.cat([self.up2(c), b], dim=1))
            return self.head(self.e(T.cat([self.up1(b), a], dim=1)))

    return UNet()


def detector(T: Any) -> Any:
    """A small backbone and a head of anchor-free boxes and scores; what the exporter cannot say, selecting boxes, is added to the file."""
    nn = T.nn

    def conv(inputs, outputs, stride):
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU())

    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Sequential(
                conv(3, 16, 2), conv(16, 32, 2), conv(32, 64, 2), conv(64, 64, 1), conv(64, 128, 2), conv(128, 128, 1)
            )  # fmt: skip
            self.box, self.score = nn.Conv2d(128, 4, 1), nn.Conv2d(128, 20, 1)

        def forward(self, x):
            x = self.backbone(x)
            b, _, h, w = x.shape
            box = self.box(x).flatten(2).transpose(1, 2).exp() * 16.0
            y, x_ = T.arange(h).float() * 16.0, T.arange(w).float() * 16.0
            centre = T.stack([y[:, None].expand(h, w), x_[None, :].expand(h, w)], dim=-1).reshape(1, h * w, 2)
            boxes = T.cat([centre - box[..., :2], centre + box[..., 2:]], dim=-1)
            return boxes, self.score(x).flatten(2).sigmoid()

    return Detector()


def speech(T: Any) -> Any:
    """The encoder of Whisper's shape: two convolutions over 300 frames of 80 bands, 4 layers of 256 (Radford et al. 2022)."""
    nn = T.nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv1d(80, 256, 3, padding=1), nn.Conv1d(256, 256, 3, 2, 1)
            self.positions = nn.Parameter(T.zeros(150, 256))
            self.blocks, self.norm = _blocks(T, 4, 256, 4), nn.LayerNorm(256)

        def forward(self, x):
            gelu = nn.functional.gelu
            x = gelu(self.conv2(gelu(self.conv1(x)))).transpose(1, 2) + self.positions
            return self.norm(self.blocks(x))

    return Encoder()


def _images(size: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: (rng.standard_normal((1, 3, size, size), dtype=np.float32),)


def _tokens(vocabulary: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: (rng.integers(0, vocabulary, (1, 128), dtype=np.int64),)


def _signal(*shape: int) -> Callable[[np.random.Generator], Arrays]:
    return lambda rng: (rng.standard_normal(shape, dtype=np.float32),)


NETWORKS: dict[str, tuple[Callable[[Any], Any], Callable[[np.random.Generator], Arrays]]] = {
    "resnet18": (resnet18, _images(224)),
    "mobilenet_v2": (mobilenet_v2, _images(224)),
    "vit_tiny": (vit_tiny, _images(224)),
    "bert": (bert, _tokens(8192)),
    "gpt2": (gpt2, _tokens(16384)),
    "llama": (llama, _tokens(16384)),
    "lstm": (lstm, _signal(1, 64, 128)),
    "unet": (unet, _images(128)),
    "detector": (detector, _images(256)),
    "speech": (speech, _signal(1, 80, 300)),
}
