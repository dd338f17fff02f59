"""Five kinds of model, small, written once: `nn` and `lib` are ingot's or torch's."""

from __future__ import annotations

from typing import Any


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
            self.register_buffer("scale", 1 + lib.arange(32.0).view(4, 8) / 32)  # else all keys are one, and attention is blind

        def forward(self, x):
            h = self.layer(self.inp(x.unsqueeze(1).expand(-1, 4, -1)) * self.scale)
            return self.out(self.gru(h)[0].mean(1))

    return Model()
