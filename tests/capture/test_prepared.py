"""What is kept of captured tensors: used while they stay, and never a call longer."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.capture import prepared


def network() -> nn.Module:
    ingot.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.Conv2d(16, 24, 1), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96, 40),
    ).eval()  # fmt: skip


@pytest.fixture
def renewed(monkeypatch):
    """How often something was prepared anew."""
    counts = [0]
    original = prepared.Prepared._renewed

    def counting(self, slots):
        counts[0] += 1
        return original(self, slots)

    monkeypatch.setattr(prepared.Prepared, "_renewed", counting)
    return counts


pytestmark = pytest.mark.compiled
X = np.random.default_rng(0).standard_normal((4, 3, 9, 9)).astype(np.float32)


def same(compiled, model, x=X) -> None:
    with ingot.no_grad():
        got, want = compiled(ingot.tensor(x)).numpy(), model(ingot.tensor(x)).numpy()
    assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()


def test_it_is_prepared_once(renewed) -> None:
    model = network()
    compiled = ingot.compile(model)
    for _ in range(5):
        same(compiled, model)
    assert renewed == [1]


class Picking(nn.Module):
    """A network whose result has a size that is computed: its graph runs in stages."""

    def __init__(self):
        super().__init__()
        self.layers = network()

    def __getitem__(self, k):
        return self.layers[k]

    def forward(self, x):
        y = self.layers(x)
        return y[y > 0] * 2


def in_place(model, k=1):
    with ingot.no_grad():
        model[0].weight.mul_(2)


def copied(model, k=1):
    with ingot.no_grad():
        model[4].weight.copy_(ingot.ones(24, 16, 1, 1) * k)


def rebound(model, k=1):
    model[7].weight.data = ingot.ones(40, 96) * k


def loaded(model, k=1):
    model.load_state_dict({k: v * 1.5 for k, v in model.state_dict().items()})


def statistics(model, k=1):
    model[1].running_var.add_(3)


@pytest.mark.parametrize("change", [in_place, copied, rebound])
def test_it_is_prepared_once_for_stages(renewed, change) -> None:
    model = Picking().eval()
    compiled = ingot.compile(model)
    for _ in range(3):
        same(compiled, model)
    assert renewed == [1]
    change(model)
    for _ in range(2):
        same(compiled, model)
    assert renewed == [2]


def through_a_view(model, k=1):
    with ingot.no_grad():
        model[7].weight[3].fill_(7 * k)


def stepped(model, k=1):
    optimizer = ingot.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(ingot.tensor(X)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


def stepped_compiled(model, k=1):
    optimizer = ingot.optim.SGD(model.parameters(), lr=0.1)

    @ingot.compile
    def step(x):
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):  # which writes the weights where they are
        step(ingot.tensor(X))


def seen_by_numpy(model, k=1):
    model[0].weight.detach().numpy()[:] += 0.25


CHANGES = (in_place, copied, rebound, loaded, statistics, through_a_view, stepped, stepped_compiled, seen_by_numpy)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen_by_the_next_call(change) -> None:
    model = network()
    compiled = ingot.compile(model)
    for k in (1, 2):
        same(compiled, model)
        with ingot.no_grad():
            before = compiled(ingot.tensor(X)).numpy()
        change(model, k)
        same(compiled, model)
        with ingot.no_grad():
            assert np.abs(compiled(ingot.tensor(X)).numpy() - before).max() > 1e-4


def test_memory_that_numpy_sees_is_read_at_every_call() -> None:
    model = network()
    held = np.ones((40, 96), np.float32)
    model[7].weight = nn.Parameter(ingot.from_numpy(held), requires_grad=False)
    compiled = ingot.compile(model)
    for value in (1, 2, 3):
        held[:] = value
        same(compiled, model)


def test_any_batch_uses_what_was_prepared(renewed) -> None:
    model = network()
    compiled = ingot.compile(model, dynamic=True)
    for n in (4, 2, 3):
        same(compiled, model, X[:n])
    assert renewed == [1]


def test_threads_prepare_and_run_at_once() -> None:
    model = network()
    compiled = ingot.compile(model)
    same(compiled, model)
    with ingot.no_grad():
        want = compiled(ingot.tensor(X)).numpy()
        in_place(model)
        after = model(ingot.tensor(X)).numpy()
    found = []

    def work():
        with ingot.no_grad():
            found.extend(compiled(ingot.tensor(X)).numpy() for _ in range(20))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 80 and np.abs(want - after).max() > 1e-3
    assert all((y == found[0]).all() for y in found) and np.abs(found[0] - after).max() <= 1e-4 * np.abs(after).max()


def test_what_a_function_writes_is_not_kept(renewed) -> None:
    weight = ingot.tensor(np.eye(64, dtype=np.float32))

    @ingot.compile
    def grow(x):
        y = x @ weight
        weight.mul_(2)
        return y

    x = ingot.ones(64, 64)
    with ingot.no_grad():
        for k in range(4):
            assert (grow(x).numpy() == 2.0**k).all()
    assert renewed == [0]
