"""A character-level LSTM on the English of Python's documentation, its states carried from one piece of text to the next.

    python examples/char_lstm.py [steps]
"""

from __future__ import annotations

import sys
import time

import ingot
from ingot import nn
from ingot.nn import functional as F

STEPS, HIDDEN, BATCH = 50, 128, 16


class Model(nn.Module):
    """Embedding, LSTM, linear."""

    def __init__(self, vocabulary: int):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 32)
        self.lstm = nn.LSTM(32, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, vocabulary)

    def forward(self, x: ingot.Tensor, state: tuple) -> tuple:
        h, state = self.lstm(self.embed(x), state)
        return self.head(h), state


def main(steps: int = 300) -> tuple[float, float]:
    """Train; returns the first loss and the mean of the last ones."""
    from pydoc_data.topics import topics

    ingot.manual_seed(0)
    data = "\n".join(topics[k] for k in sorted(topics))
    letters = sorted(set(data))
    at = {c: i for i, c in enumerate(letters)}
    length = len(data) // BATCH
    ids = ingot.tensor([at[c] for c in data[: length * BATCH]]).reshape(BATCH, length)  # one stretch of text per row
    model = Model(len(letters))
    optimizer = ingot.optim.Adam(model.parameters(), lr=4e-3)

    @ingot.compile
    def step(window: ingot.Tensor, h: ingot.Tensor, c: ingot.Tensor) -> tuple:
        optimizer.zero_grad()
        out, (h, c) = model(window[:, :-1], (h, c))
        loss = F.cross_entropy(out.flatten(0, 1), window[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss, h.detach(), c.detach()

    h, c = ingot.zeros(1, BATCH, HIDDEN), ingot.zeros(1, BATCH, HIDDEN)
    losses, start, piece = [], time.perf_counter(), 0
    for i in range(steps):
        if (piece + 1) * STEPS + 1 > length:
            piece, h, c = 0, ingot.zeros_like(h), ingot.zeros_like(c)
        loss, h, c = step(ids[:, piece * STEPS : (piece + 1) * STEPS + 1], h, c)
        piece += 1
        losses.append(loss.item())
        if i % 50 == 0 or i == steps - 1:
            print(f"step {i:4d}  loss {losses[-1]:.3f}  {time.perf_counter() - start:.1f} s")
    print("sample:", sample(model, letters, "The "))
    return losses[0], sum(losses[-20:]) / len(losses[-20:])


def sample(model: Model, letters: list[str], prompt: str, n: int = 160) -> str:
    """`n` more characters, drawn one by one."""
    ids = [letters.index(c) for c in prompt]

    @ingot.compile
    def predict(x: ingot.Tensor, h: ingot.Tensor, c: ingot.Tensor) -> tuple:
        out, (h, c) = model(x, (h, c))
        return F.softmax(out[0, -1] / 0.7, -1), h, c

    h, c = ingot.zeros(1, 1, HIDDEN), ingot.zeros(1, 1, HIDDEN)
    with ingot.no_grad():
        for i in ids:
            p, h, c = predict(ingot.tensor([[i]]), h, c)
        for _ in range(n):
            ids.append(int(ingot.multinomial(p, 1).item()))
            p, h, c = predict(ingot.tensor([[ids[-1]]]), h, c)
    return "".join(letters[i] for i in ids)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
