"""A CNN on scikit-learn's handwritten digits (1797 scans of 8 x 8 pixels): train, test, export, load again.

    pip install '.[demo]' && python examples/digits.py

The test set is 20 % of the images, chosen by a fixed permutation (NumPy's generator, seed 0).
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import load_digits

import ingot
from ingot import nn
from ingot.nn import functional as F
from ingot.utils.data import DataLoader, TensorDataset

EPOCHS, BATCH = 20, 64


class Net(nn.Module):
    """Two convolutions and two linear layers, with batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(64)
        self.drop = nn.Dropout(0.3)
        self.fc1 = nn.Linear(64 * 2 * 2, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: ingot.Tensor) -> ingot.Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 2)
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        return self.fc2(self.drop(F.relu(self.fc1(x.flatten(1)))))


def split() -> tuple[TensorDataset, TensorDataset]:
    """The training and the test set."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = ingot.tensor((digits.images[order, None] / 16.0 - 0.3).astype(np.float32))
    labels = ingot.tensor(digits.target[order].astype(np.int64))
    n = len(order) // 5
    return TensorDataset(images[n:], labels[n:]), TensorDataset(images[:n], labels[:n])


def main() -> float:
    """Train and report; returns the test accuracy."""
    ingot.manual_seed(0)
    train_set, test_set = split()
    model = Net()
    optimizer = ingot.optim.AdamW(model.parameters(), lr=3e-3)
    loader = DataLoader(train_set, BATCH, shuffle=True, drop_last=True)
    schedule = ingot.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=EPOCHS * len(loader))

    @ingot.compile
    def step(x: ingot.Tensor, y: ingot.Tensor) -> ingot.Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    start = time.perf_counter()
    for epoch in range(EPOCHS):
        total = 0.0
        for x, y in loader:
            total += step(x, y).item()
            schedule.step()
        if epoch % 5 == 4:
            print(f"epoch {epoch + 1:2d}  loss {total / len(loader):.4f}")
    print(f"trained in {time.perf_counter() - start:.1f} s")

    model.eval()
    images, labels = test_set.tensors
    with ingot.no_grad():
        accuracy = (model(images).argmax(1) == labels).float().mean().item()
    print(f"test accuracy on {len(test_set)} images: {accuracy:.2%}")

    ingot.save(model.state_dict(), "digits.safetensors")
    again = Net().eval()
    again.load_state_dict(ingot.load("digits.safetensors"))
    ingot.export(again, (images[:1],), "digits.ingot")
    served = ingot.load("digits.ingot")
    print("the exported model reads:", [int(served(images[i : i + 1].numpy()).argmax()) for i in range(8)], "of", labels[:8].tolist())
    return accuracy


if __name__ == "__main__":
    main()
