"""`ingot demo`: train a CNN on real handwritten digits with a compiled step, export it, serve it without a compiler.

The data are scikit-learn's 1797 scanned digits of 8×8 pixels. A fixed permutation (NumPy's generator, seed 0) puts 360 of
them (20 %) aside for the test; nothing is chosen by looking at those.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ingot.runtime.cli.output import EXIT, CommandError, size

__all__ = ["run"]

EPOCHS = 30
BATCH = 64
TEST = 360
WANTED = 0.98  # test accuracy

SERVE = """
import sys, time
start = time.perf_counter()
class NoCompiler:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "llvmlite":
            raise ImportError("this process has no compiler")
sys.meta_path.insert(0, NoCompiler())
import numpy as np
import ingot
model = ingot.load(sys.argv[1])
data = np.load(sys.argv[2])
first = model(data["images"][:1])
ready = time.perf_counter() - start
right = sum(int(model(x[None]).argmax()) == y for x, y in zip(data["images"], data["labels"]))
seconds = time.perf_counter() - start - ready
assert "llvmlite" not in sys.modules
print(f"{right} {len(data['labels'])} {ready * 1e3:.0f} {seconds / len(data['labels']) * 1e6:.0f}")
"""


def run(path: str, epochs: int | None, command: Callable[[list[str]], int]) -> int:
    """Run the demo; `command` runs a command line. Exit code 1 where the test accuracy misses 98 %."""
    epochs = EPOCHS if epochs is None else epochs
    if epochs < 1:
        raise CommandError(f"--epochs takes a number of at least 1, not {epochs}")
    images, labels, test_images, test_labels = _digits()
    print(f"digits: {len(labels)} to train on, {len(test_labels)} (20 %, permutation of seed 0) for the test")
    start = time.perf_counter()
    model = _train(images, labels, epochs)
    accuracy = _accuracy(model, test_images, test_labels)
    print(f"test accuracy {accuracy:.2%} after {epochs} epochs in {time.perf_counter() - start:.1f} s")

    import ingot

    ingot.export(model, (ingot.from_numpy(test_images[:1]),), path)
    print(f"exported {path}, {size(os.path.getsize(path))}")
    _serve(path, test_images, test_labels)

    print("\nwhat the cache holds (ingot cache ls --sort cost):")
    command(["cache", "ls", "--sort", "cost"])
    print(f"\nnext: ingot inspect {path}; ingot verify --run {path}; ingot cache show KEY --ir")
    return EXIT["fine"] if accuracy >= WANTED else EXIT["finding"]


def _digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise CommandError("the demo needs scikit-learn: pip install 'ingot[demo]'", "io") from None
    data = load_digits()
    images = (data.images / 16).astype(np.float32)[:, None]
    labels = data.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    test, train = order[:TEST], order[TEST:]
    return images[train], labels[train], images[test], labels[test]


def _model() -> Any:
    from ingot import nn

    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 4 * 4, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 10),
    )  # fmt: skip


def _train(images: np.ndarray, labels: np.ndarray, epochs: int) -> Any:
    import ingot
    from ingot.nn import functional as F

    ingot.manual_seed(0)
    rng = np.random.default_rng(0)
    model = _model()
    steps = len(labels) // BATCH
    optimizer = ingot.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=5e-2)
    schedule = ingot.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)

    @ingot.compile
    def step(x: Any, y: Any) -> Any:
        """One native function: forward, backward and the optimizer's update."""
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    model.train()
    with _progress(epochs * steps) as advance:
        for _ in range(epochs):
            order = rng.permutation(len(labels))[: steps * BATCH]
            for batch in order.reshape(steps, BATCH):
                loss = step(ingot.from_numpy(_shifted(images[batch], rng)), ingot.from_numpy(labels[batch]))
                schedule.step()
                advance(loss.item())
    model.eval()
    return model


def _shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by up to one pixel in each direction."""
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))
    n, (dy, dx) = len(images), rng.integers(0, 3, (2, len(images)))
    rows, columns = dy[:, None, None] + np.arange(8)[:, None], dx[:, None, None] + np.arange(8)
    return np.ascontiguousarray(padded[np.arange(n)[:, None, None], rows, columns][:, None])


def _accuracy(model: Any, images: np.ndarray, labels: np.ndarray) -> float:
    import ingot

    with ingot.no_grad():
        return float((model(ingot.from_numpy(images)).argmax(dim=1).numpy() == labels).mean())


def _serve(path: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Run the artifact in a fresh process in which `import llvmlite` fails."""
    with tempfile.TemporaryDirectory() as folder:
        samples = os.path.join(folder, "digits.npz")
        np.savez(samples, images=images, labels=labels)
        done = subprocess.run([sys.executable, "-c", SERVE, os.path.abspath(path), samples], capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise CommandError(f"serving {path} failed:\n{done.stderr}", "finding")
    right, n, ready, each = done.stdout.split()
    print(f"served by a fresh process without llvmlite: {right} of {n} right, first result after {ready} ms, {each} µs each")


@contextmanager
def _progress(steps: int) -> Iterator[Any]:
    """A bar on a terminal, a few lines elsewhere. Call what it gives with the loss, once per step."""
    if sys.stdout.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        loss_column = TextColumn("loss {task.fields[loss]:.4f}")
        with Progress(TextColumn("training"), BarColumn(), MofNCompleteColumn(), loss_column, TimeElapsedColumn()) as bar:
            task = bar.add_task("training", total=steps, loss=float("nan"))
            yield lambda loss: bar.update(task, advance=1, loss=loss)
        return
    done = 0

    def advance(loss: float) -> None:
        nonlocal done
        done += 1
        if done % max(steps // 5, 1) == 0:
            print(f"step {done} of {steps}, loss {loss:.4f}", flush=True)

    yield advance
