"""How much eager code compiles at sizes that change: what users write, on machine code."""

import numpy as np
import pytest

import ingot
from ingot import nn
from ingot.runtime import compiler, plans
from ingot.runtime.frozen import FrozenError, refusing

pytestmark = pytest.mark.compiled
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """A process that remembers nothing, and a count of what it asks for: compiled or found."""
    plans.clear()
    monkeypatch.setattr(compiler, "_executables", {})
    compiler.counts.clear()
    yield
    plans.clear()


def asked():
    return sum(n for kind, n in compiler.counts.items() if kind in ("compiled", "cache"))


def forget(monkeypatch):
    plans.clear()
    monkeypatch.setattr(compiler, "_executables", {})


def test_random_numbers_of_any_shape():
    for n in range(20):
        assert ingot.randn(n, n + 1).numpy().shape == (n, n + 1)
    assert asked() <= 2


def test_an_encoder_layer_at_any_length():
    ingot.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True).eval()
    layer.linear1.weight.tolist()
    compiler.counts.clear()
    inputs = [rng.standard_normal((2, n, 16)).astype(np.float32) for n in (5, 9, 1, 33, 2, 64, 17)]
    with ingot.no_grad():
        found = [layer(ingot.tensor(x)).numpy() for x in inputs]
        assert asked() <= 3
        for x, y in zip(inputs[2:5], found[2:5]):
            plans.clear()
            np.testing.assert_allclose(layer(ingot.tensor(x)).numpy(), y, rtol=1e-5, atol=1e-6)


def test_generation_with_a_cache_that_grows():
    ingot.manual_seed(0)
    embedding, query, both = nn.Embedding(16, 8), nn.Linear(8, 8), nn.Linear(8, 16)
    attend = nn.functional.scaled_dot_product_attention

    def step(token, cache):
        x = embedding(token)[None, None]
        k, v = both(x).chunk(2, -1)
        if cache is not None:
            k, v = ingot.cat([cache[0], k], 1), ingot.cat([cache[1], v], 1)
        y = attend(query(x), k, v)
        return (y @ embedding.weight.T)[0, 0].argmax(), (k, v)

    def generated(n):
        token, cache, found = ingot.tensor(3), None, []
        with ingot.no_grad():
            for _ in range(n):
                token, cache = step(token, cache)
                found.append(token.item())
        return found

    generated(1)
    compiler.counts.clear()
    first = generated(24)
    assert asked() <= 4
    assert generated(24) == first and asked() <= 4


def test_training_with_a_short_last_batch():
    ingot.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    optimizer = ingot.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for n in (8, 8, 8, 3, 8, 8, 5, 1):
        loss = model(ingot.ones(n, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert asked() <= 6 and losses == sorted(losses, reverse=True)  # the step of the optimizer and the initial values among them


def quick_plans():
    made = [p for f in plans._FAMILIES.values() for p in (*f.static.values(), *(p for p, _, _ in f.symbolic))]
    return [p.run.__name__ == "_run_quick" for p in made]


def test_what_runs_often_is_compiled_in_full(monkeypatch):
    monkeypatch.setattr(plans, "_QUICK_CALLS", 3)
    x = ingot.tensor(rng.standard_normal(7).astype(np.float32))
    found = []
    for k in range(6):
        found.append((x.exp() * 3).sum().item())
        assert quick_plans() == [k < 3]
    assert len(set(found)) == 1 and asked() == 2


def test_what_runs_on_much_memory_is_compiled_in_full():
    def f(n):
        x = np.arange(n, dtype=np.float32) / n
        assert (ingot.tensor(x) * 0.3).sum().item() == pytest.approx(float((x * 0.3).sum()), rel=1e-5)

    f(50_000)
    assert quick_plans() == [False]
    plans.clear()
    for n in (5, 6, 7):
        f(n)
    assert quick_plans() == [True, True]
    f(50_000)
    assert quick_plans() == [True, False]
    f(8)
    assert quick_plans() == [True, False]


def test_where_compiling_is_refused_the_quick_code_stays(monkeypatch):
    monkeypatch.setattr(plans, "_QUICK_CALLS", 2)
    x = ingot.tensor(rng.standard_normal(11).astype(np.float32))

    def found():
        return x.tanh().cumsum(0).tolist()

    expected = found()
    with refusing():
        for _ in range(4):
            assert found() == expected
    assert asked() == 1


def test_full_code_that_is_known_is_taken(monkeypatch):
    x = ingot.tensor(rng.standard_normal(13).astype(np.float32))
    monkeypatch.setattr(plans, "_QUICK_BYTES", 0)

    def found():
        return x.sinh().cumsum(0).tolist()

    expected = found()
    forget(monkeypatch)
    compiler.counts.clear()
    monkeypatch.setattr(plans, "_QUICK_BYTES", 1 << 16)
    assert found() == expected
    assert compiler.counts["compiled"] == 0 and compiler.counts["cache"] == 1


def line(n):
    return (ingot.tensor(np.full(n, 0.5, np.float32)).exp() * 2).sum().item()


def test_what_was_warmed_runs_frozen_at_any_size(monkeypatch):
    expected = [line(n) for n in (3, 4, 5)]
    forget(monkeypatch)
    with refusing():
        assert [line(n) for n in (3, 4, 5)] == expected
        assert line(77) == pytest.approx(77 * 2 * np.exp(0.5), rel=1e-5)


def test_frozen_what_is_known_for_single_sizes_alone(monkeypatch):
    expected = []
    for n in (31, 33):
        forget(monkeypatch)  # as processes of their own
        expected.append((line(n) + 1, ingot.ones(n, 3).cumsum(0).tolist()))
    forget(monkeypatch)
    with refusing():
        assert [(line(n) + 1, ingot.ones(n, 3).cumsum(0).tolist()) for n in (31, 33)] == expected
        with pytest.raises(FrozenError):
            ingot.ones(35, 3).cumsum(0).tolist()
