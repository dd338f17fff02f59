"""A character-level GPT that learns English from Python's own documentation (`pydoc_data.topics`).

    python examples/char_gpt.py [steps]

It prints the loss as it falls, and a sample before and after.
"""

from __future__ import annotations

import sys
import time

import ingot
from ingot import nn
from ingot.nn import functional as F

CONTEXT, WIDTH, HEADS, LAYERS, BATCH = 64, 96, 4, 3, 16


def text() -> str:
    """About 700 kB of English."""
    from pydoc_data.topics import topics

    return "\n".join(topics[k] for k in sorted(topics))


class Block(nn.Module):
    """Causal self-attention and a feed-forward network, each with a residual and a norm before."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: ingot.Tensor) -> ingot.Tensor:
        b, t, d = x.shape
        q, k, v = (y.view(b, t, self.heads, d // self.heads).transpose(1, 2) for y in self.qkv(self.norm1(x)).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    """Embeddings, blocks, and a head that shares its weights with the embedding."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList([Block(WIDTH, HEADS) for _ in range(LAYERS)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self.apply(self._init)

    @staticmethod
    def _init(m: nn.Module) -> None:
        if isinstance(m, (nn.Linear, nn.Embedding)):
            nn.init.normal_(m.weight, std=0.02)
        if isinstance(m, nn.Linear) and m.bias is not None:
            nn.init.zeros_(m.bias)

    def forward(self, x: ingot.Tensor) -> ingot.Tensor:
        h = self.tokens(x) + self.positions(ingot.arange(x.shape[1]))
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


def sample(model: GPT, letters: list[str], prompt: str, n: int = 160) -> str:
    """`n` more characters, drawn one by one."""
    at = {c: i for i, c in enumerate(letters)}
    ids = [at[c] for c in prompt]
    predict = ingot.compile(lambda x, i: F.softmax(model(x)[0].index_select(0, i)[0] / 0.8, -1))
    with ingot.no_grad():
        for _ in range(n):
            window = ids[-CONTEXT:]
            x = ingot.tensor([window + [0] * (CONTEXT - len(window))])  # one shape, so one compilation
            ids.append(int(ingot.multinomial(predict(x, ingot.tensor([len(window) - 1])), 1).item()))
    return "".join(letters[i] for i in ids)


def main(steps: int = 600) -> tuple[float, float]:
    """Train; returns the first loss and the mean of the last ones."""
    ingot.manual_seed(0)
    data = text()
    letters = sorted(set(data))
    at = {c: i for i, c in enumerate(letters)}
    ids = ingot.tensor([at[c] for c in data])
    model = GPT(len(letters))
    print(f"{len(data)} characters, {len(letters)} kinds; {sum(p.numel() for p in model.parameters())} parameters")
    print("before:", repr(sample(model, letters, "The ", 60)))
    optimizer = ingot.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = ingot.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=2e-4)
    offsets = ingot.arange(CONTEXT + 1)

    @ingot.compile
    def step(starts: ingot.Tensor) -> ingot.Tensor:
        window = ids[starts.unsqueeze(1) + offsets]
        optimizer.zero_grad()
        loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    losses = []
    start = time.perf_counter()
    for i in range(steps):
        losses.append(step(ingot.randint(0, len(data) - CONTEXT - 1, (BATCH,))).item())
        schedule.step()
        if i % 100 == 0 or i == steps - 1:
            print(f"step {i:4d}  loss {losses[-1]:.3f}  {time.perf_counter() - start:.1f} s")
    print("after:", sample(model, letters, "The "))
    return losses[0], sum(losses[-20:]) / len(losses[-20:])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
