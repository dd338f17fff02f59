"""nn.utils against torch: fusion, spectral norm by a hook, orthogonal parametrizations, pruning; and geqrf and ormqr."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
import torch.nn.utils.prune

import ingot
from tests.torch.against import array, close, copy_weights


def both_layers(name: str, *args, **kwargs):
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    mine = getattr(ingot.nn, name)(*args, **kwargs)
    copy_weights(theirs, mine)
    return mine, theirs


@pytest.mark.parametrize("kind", ["Conv2d", "ConvTranspose2d", "Linear"])
@pytest.mark.parametrize("bias, affine", [(True, True), (False, False)])
def test_fusion(kind, bias, affine):
    if kind == "Linear" and not affine:
        pytest.skip("torch needs the norm's weight there")
    args = (3, 4) if kind == "Linear" else (3, 4, 2)
    mine, theirs = both_layers(kind, *args, bias=bias)
    norms = both_layers("BatchNorm1d" if kind == "Linear" else "BatchNorm2d", 4, affine=affine)
    for n, m in ((norms[0], ingot), (norms[1], torch)):
        n.running_mean.copy_(m.tensor(array((4,), 1)))
        n.running_var.copy_(m.tensor(array((4,), 2, 0.5, 2)))
    with pytest.raises(AssertionError):
        ingot.nn.utils.fuse_conv_bn_eval(mine, norms[0])
    for layer in (mine, theirs, *norms):
        layer.eval()
    pairs = []
    for m, layer, norm in ((ingot, mine, norms[0]), (torch, theirs, norms[1])):
        u = m.nn.utils
        pairs.append(u.fuse_linear_bn_eval(layer, norm) if kind == "Linear" else u.fuse_conv_bn_eval(layer, norm, kind != "Conv2d"))
    close(pairs[0].weight, pairs[1].weight)
    close(pairs[0].bias, pairs[1].bias)
    assert [p.requires_grad for p in pairs[0].parameters()] == [p.requires_grad for p in pairs[1].parameters()]


@pytest.mark.parametrize("kind, args", [("Linear", (3, 4)), ("ConvTranspose1d", (2, 3, 2))])
def test_spectral_norm_by_a_hook(kind, args):
    mine, theirs = both_layers(kind, *args)
    ingot.nn.utils.spectral_norm(mine)
    torch.nn.utils.spectral_norm(theirs)
    copy_weights(theirs, mine)
    x = array((2, args[0]) if kind == "Linear" else (1, args[0], 5))
    for _ in range(3):
        a, b = mine(ingot.tensor(x)), theirs(torch.tensor(x))
        close(a, b)
    a.sum().backward()
    b.sum().backward()
    close(mine.weight_orig.grad, theirs.weight_orig.grad)
    for key, value in theirs.state_dict().items():
        close(mine.state_dict()[key], value)
    mine.eval(), theirs.eval()
    close(mine(ingot.tensor(x)), theirs(torch.tensor(x)))
    close(ingot.nn.utils.remove_spectral_norm(mine).weight, torch.nn.utils.remove_spectral_norm(theirs).weight)
    assert list(mine.state_dict()) == list(theirs.state_dict())


@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
def test_orthogonal_parametrizations(shape, kind):
    for trivial in (True, False):
        mine, theirs = both_layers("Linear", shape[1], shape[0])
        for m, layer in ((ingot, mine), (torch, theirs)):
            m.nn.utils.parametrizations.orthogonal(layer, orthogonal_map=kind, use_trivialization=trivial)
        w = mine.weight.detach().numpy()
        if trivial or kind == "householder":
            gram = w @ w.T if shape[0] <= shape[1] else w.T @ w
            np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-6)
        assert list(mine.state_dict()) == list(theirs.state_dict())
        copy_weights(theirs, mine)
        close(mine.weight, theirs.double().weight.float())  # in float32 torch's own exponentials are off by 2e-5 and more
        mine.weight.square().sum().backward()
    with pytest.raises(ValueError):
        ingot.nn.utils.parametrizations.orthogonal(ingot.nn.Linear(2, 2), orthogonal_map="other")
    with pytest.raises(ValueError):
        ingot.nn.utils.parametrizations.orthogonal(ingot.nn.Linear(2, 2), "bias")


PRUNINGS = [
    "l1_unstructured(L, 'weight', 5)", "l1_unstructured(L, 'weight', 0.3)", "ln_structured(L, 'weight', 1, 2, 0)",
    "ln_structured(L, 'weight', 0.5, 1, -1)", "identity(L, 'bias')", "custom_from_mask(L, 'bias', m.tensor([1.0, 0, 1, 0]))",
    "l1_unstructured(ln_structured(L, 'weight', 1, 2, 1), 'weight', 0.5)",
    "ln_structured(l1_unstructured(L, 'weight', 4), 'weight', 1, 2, 0)",
    "l1_unstructured(L, 'weight', 2, m.arange(12.0).reshape(4, 3).cos())",
]  # fmt: skip


@pytest.mark.parametrize("expression", PRUNINGS)
def test_pruning(expression):
    mine, theirs = both_layers("Linear", 3, 4)
    for m, layer in ((ingot, mine), (torch, theirs)):
        eval(expression, {**vars(m.nn.utils.prune), "L": layer, "m": m})
    assert sorted(mine.state_dict()) == sorted(theirs.state_dict()) and ingot.nn.utils.prune.is_pruned(mine)
    for key, value in theirs.state_dict().items():
        close(mine.state_dict()[key], value)
    x = array((2, 3))
    a, b = mine(ingot.tensor(x)), theirs(torch.tensor(x))
    close(a, b)
    name = "bias" if "'bias'" in expression else "weight"
    a.sum().backward()
    b.sum().backward()
    close(getattr(mine, f"{name}_orig").grad, getattr(theirs, f"{name}_orig").grad)
    for m, layer in ((ingot, mine), (torch, theirs)):
        m.nn.utils.prune.remove(layer, name)
    close(getattr(mine, name), getattr(theirs, name))
    assert not ingot.nn.utils.prune.is_pruned(mine)


def test_global_pruning_and_errors():
    pairs = [both_layers("Linear", 3, 4), both_layers("Linear", 4, 2)]
    for i, m in enumerate((ingot, torch)):
        prune = m.nn.utils.prune
        for _ in range(2):
            prune.global_unstructured([(p[i], "weight") for p in pairs], prune.L1Unstructured, amount=0.4)
    for mine, theirs in pairs:
        close(mine.weight_mask, theirs.weight_mask)
    prune, layer = ingot.nn.utils.prune, ingot.nn.Linear(3, 4)
    for bad, error in ((-1, ValueError), (1.5, ValueError), ("a", TypeError), (13, ValueError)):
        with pytest.raises(error):
            prune.l1_unstructured(layer, "weight", bad)
    with pytest.raises(ValueError, match="pruned before"):
        prune.remove(ingot.nn.Linear(1, 1), "weight")
    with pytest.raises(ValueError, match="multidimensional"):
        prune.random_structured(ingot.nn.Linear(3, 4), "bias", 1, 0)
    assert (prune.random_unstructured(ingot.nn.Linear(3, 4), "weight", 0.5).weight == 0).sum() == 6


def test_the_rest():
    with pytest.raises(RuntimeError, match="device"):
        ingot.nn.utils.skip_init(ingot.nn.Identity)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FutureWarning):
            ingot.nn.utils.clip_grad_norm([], 1.0)


@pytest.mark.parametrize("shape", [(4, 3), (3, 5), (2, 3, 3), (2, 1), (0, 3)])
def test_reflections(shape):
    x = array(shape)
    mine, theirs = ingot.geqrf(ingot.tensor(x)), torch.geqrf(torch.tensor(x))
    close(mine.a, theirs.a)
    close(mine.tau, theirs.tau)
    if shape[-2] >= shape[-1] and 0 not in shape:
        other = array((*shape[:-2], shape[-2], 2), 5)
        for left, transpose in ((True, False), (True, True), (False, True)):
            given = other if left else np.swapaxes(other, -1, -2)
            a = ingot.ormqr(*mine, ingot.tensor(given), left, transpose)
            close(a, torch.ormqr(*theirs, torch.tensor(given), left, transpose))
    with pytest.raises(RuntimeError):
        ingot.ormqr(ingot.eye(3), ingot.zeros(3), ingot.ones(2, 2))
