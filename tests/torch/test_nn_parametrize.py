"""Weight norm, spectral norm and parametrizations against torch: keys, values, gradients, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot


def modules(name: str, *args: int):
    """The same layer of torch and of ingot, with the same weights."""
    theirs = getattr(torch.nn, name)(*args)
    ours = getattr(ingot.nn, name)(*args)
    ours.load_state_dict({k: ingot.tensor(v.tolist()) for k, v in theirs.state_dict().items()})
    return theirs, ours


def same(ours, theirs, tol: float = 1e-5) -> None:
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=tol, atol=tol)


def compare(theirs, ours, x: np.ndarray) -> None:
    assert list(ours.state_dict()) == list(theirs.state_dict())
    a, b = theirs(torch.tensor(x)), ours(ingot.tensor(x.tolist()))
    same(b, a)
    (a * a).sum().backward()
    (b * b).sum().backward()
    for (name, p), (other, q) in zip(sorted(theirs.named_parameters()), sorted(ours.named_parameters())):
        assert name == other
        same(q.grad, p.grad, 1e-4)


INPUT = {"Linear": (2, 3), "Conv1d": (2, 3, 5)}
LAYERS = [("Linear", 3, 4), ("Conv1d", 3, 4, 2)]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda v: v[0])
@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("style", ["hook", "parametrization"])
def test_weight_norm(layer: tuple, dim: int | None, style: str) -> None:
    theirs, ours = modules(*layer)
    pick = (lambda m: m.nn.utils) if style == "hook" else (lambda m: m.nn.utils.parametrizations)
    with pytest.warns(FutureWarning) if style == "hook" else np.errstate():
        pick(torch).weight_norm(theirs, dim=dim)
    pick(ingot).weight_norm(ours, dim=dim)
    x = np.random.default_rng(0).normal(size=INPUT[layer[0]]).astype(np.float32)
    compare(theirs, ours, x)
    before = ours(ingot.tensor(x.tolist()))
    if style == "hook":
        ingot.nn.utils.remove_weight_norm(ours)
    else:
        ingot.nn.utils.parametrize.remove_parametrizations(ours, "weight")
        assert type(ours) is getattr(ingot.nn, layer[0])
    assert sorted(ours.state_dict()) == ["bias", "weight"]
    same(ours(ingot.tensor(x.tolist())), before, 1e-6)
    assert isinstance(ours.weight, ingot.nn.Parameter)


def test_weight_norm_trains_compiled() -> None:
    results = []
    for compiled in (False, True):
        ingot.manual_seed(0)
        layer = ingot.nn.utils.parametrizations.weight_norm(ingot.nn.Linear(3, 2))
        optimizer = ingot.optim.SGD(layer.parameters(), lr=0.1)
        x = ingot.ones(4, 3)

        def step():
            optimizer.zero_grad()  # noqa: B023
            loss = (layer(x) ** 2).mean()  # noqa: B023
            loss.backward()
            optimizer.step()  # noqa: B023
            return loss

        run = ingot.compile(step) if compiled else step
        results.append([float(run()) for _ in range(4)])
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5)
    assert results[0][-1] < results[0][0]


def test_assignment_goes_to_the_originals() -> None:
    layer = ingot.nn.utils.parametrizations.weight_norm(ingot.nn.Linear(3, 2))
    layer.weight = ingot.ones(2, 3) * 2
    same(layer.parametrizations.weight.original0, torch.full((2, 1), 12**0.5))
    same(layer.weight, torch.full((2, 3), 2.0))


def test_own_parametrizations() -> None:
    def make(m):
        class Symmetric(m.nn.Module):
            def forward(self, x):
                return x.triu() + x.triu(1).mT

        class Doubled(m.nn.Module):
            def forward(self, x):
                return x * 2

            def right_inverse(self, x):
                return x / 2

        return Symmetric(), Doubled()

    theirs, ours = modules("Linear", 3, 3)
    for m, layer in ((torch, theirs), (ingot, ours)):
        first, second = make(m)
        m.nn.utils.parametrize.register_parametrization(layer, "weight", first)
        assert m.nn.utils.parametrize.is_parametrized(layer, "weight") and not m.nn.utils.parametrize.is_parametrized(layer, "bias")
        m.nn.utils.parametrize.register_parametrization(layer, "bias", second)
    assert type(ours).__name__ == "ParametrizedLinear" and isinstance(ours, ingot.nn.Linear)
    compare(theirs, ours, np.random.default_rng(1).normal(size=(2, 3)).astype(np.float32))
    ingot.nn.utils.parametrize.remove_parametrizations(ours, "weight", leave_parametrized=False)
    assert ours.weight is not None and sorted(ours.state_dict()) == ["parametrizations.bias.original", "weight"]


def test_spectral_norm() -> None:
    ingot.manual_seed(0)  # the power iteration converges slowly where the two largest singular values are close
    layer = ingot.nn.utils.parametrizations.spectral_norm(ingot.nn.Linear(5, 4), n_power_iterations=30)
    top = np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False)[0]
    np.testing.assert_allclose(top, 1, rtol=1e-4)
    layer.eval()
    frozen = layer.weight.detach().numpy().copy()
    np.testing.assert_array_equal(layer.weight.detach().numpy(), frozen)
    (layer(ingot.ones(2, 5)) ** 2).sum().backward()
    assert layer.parametrizations.weight.original.grad is not None


def test_refusals() -> None:
    layer = ingot.nn.Linear(3, 2)
    with pytest.raises(ValueError, match="does not have a parameter"):
        ingot.nn.utils.parametrizations.weight_norm(layer, "wait")
    with pytest.raises(ValueError, match="does not have a parametrization"):
        ingot.nn.utils.parametrize.remove_parametrizations(layer, "weight")
    with pytest.raises(ValueError, match="not found"):
        ingot.nn.utils.remove_weight_norm(layer)
    ingot.nn.utils.weight_norm(layer)
    with pytest.raises(RuntimeError, match="two weight_norm hooks"):
        ingot.nn.utils.weight_norm(layer)

    class Cut(ingot.nn.Module):
        def forward(self, x):
            return x[:1]

    with pytest.raises(ValueError, match="must keep its shape"):
        ingot.nn.utils.parametrize.register_parametrization(ingot.nn.Linear(3, 2), "weight", Cut())
    with pytest.raises(ValueError, match="positive"):
        ingot.nn.utils.parametrizations.spectral_norm(ingot.nn.Linear(3, 2), n_power_iterations=0)


def test_a_block_computes_a_parametrized_tensor_once():
    runs = []

    class Doubled(ingot.nn.Module):
        def forward(self, w):
            runs.append(1)
            return w * 2

    layer = ingot.nn.Linear(3, 2)
    was = layer.weight.detach().clone()
    P = ingot.nn.utils.parametrize
    assert P.type_before_parametrizations(layer) is ingot.nn.Linear
    P.register_parametrization(layer, "weight", Doubled())
    assert P.type_before_parametrizations(layer) is ingot.nn.Linear
    runs.clear()
    with P.cached():
        first = layer.weight
        with P.cached():
            assert layer.weight is first
        assert layer.weight is first and len(runs) == 1
    assert layer.weight is not first and len(runs) == 2
    with pytest.raises(KeyError), P.cached():
        raise KeyError
    assert layer.weight is not layer.weight

    @ingot.compile
    def twice(x):
        with P.cached():
            return layer(x).sum() + layer(x).sum()

    x = ingot.ones(4, 3)
    for step in range(3):
        with ingot.no_grad():
            layer.bias.fill_(step)
        twice(x).backward()
        same(layer.parametrizations.weight.original.grad, torch.full((2, 3), 16.0))
        same(twice(x), torch.tensor(2 * (was.double().sum().item() * 8 + 8 * step)), 1e-4)
        layer.zero_grad()
