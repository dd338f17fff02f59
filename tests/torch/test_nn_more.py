"""Modules and functionals met now and then, against torch: fractional pools, adaptive softmax, lazy modules, grouped products."""

from __future__ import annotations

import copy
import warnings

import numpy as np
import pytest
import torch

import ingot
from tests.torch.against import array, close, compare, compare_modules, copy_weights


@pytest.mark.parametrize("n, kernel, size", [(2, 2, 3), (2, (3, 2), (2, 4)), (2, 3, 1), (3, 2, (2, 3, 2))])
def test_fractional_pools(n, kernel, size):
    x = array((2, 3, *(7, 6, 5)[:n]))
    samples = np.random.default_rng(0).random((2, 3, n)).astype(np.float32)
    name = f"fractional_max_pool{n}d"

    def run(m):
        return lambda x, s: getattr(m.nn.functional, name)(x, kernel, size, None, True, _random_samples=s.detach())

    compare(run(ingot), run(torch), (x, samples))
    out, places = getattr(ingot.nn.functional, f"{name}_with_indices")(ingot.tensor(x), kernel, size)
    assert out.shape == places.shape and ingot.equal(out, ingot.tensor(x).flatten(2).gather(2, places.flatten(2)).reshape(out.shape))


def test_fractional_pools_with_nan_ratios_and_errors():
    x = array((1, 5, 5))
    x[0, 2, 2] = np.nan
    s = np.full((1, 1, 2), 0.3, np.float32)
    mine = ingot.nn.functional.fractional_max_pool2d(ingot.tensor(x), 2, output_ratio=0.8, _random_samples=ingot.tensor(s))
    close(mine, torch.nn.functional.fractional_max_pool2d(torch.tensor(x), 2, output_ratio=(0.8, 0.8), _random_samples=torch.tensor(s)))
    with pytest.raises(ValueError):
        ingot.nn.functional.fractional_max_pool2d(ingot.ones(1, 5, 5), 2)
    with pytest.raises(RuntimeError):
        ingot.nn.functional.fractional_max_pool2d(ingot.ones(1, 5, 5), 2, 5)
    with pytest.raises(ValueError):
        ingot.nn.FractionalMaxPool2d(2, output_ratio=1.5)


def test_adaptive_softmax():
    args = (8, 12, [3, 6], 2.0, True)
    mine, theirs = ingot.nn.AdaptiveLogSoftmaxWithLoss(*args), torch.nn.AdaptiveLogSoftmaxWithLoss(*args)
    x, target = array((5, 8)), np.array([0, 4, 11, 2, 6])
    compare_modules(mine, theirs, (x, target))
    close(mine.log_prob(ingot.tensor(x)), theirs.log_prob(torch.tensor(x)))
    close(mine.predict(ingot.tensor(x)), theirs.predict(torch.tensor(x)))
    close(mine(ingot.tensor(x[0]), ingot.tensor(4)).output, theirs(torch.tensor(x[0]), torch.tensor(4)).output)
    for cutoffs in ([], [3, 2], [0], [12], [2, 2]):
        with pytest.raises(ValueError):
            ingot.nn.AdaptiveLogSoftmaxWithLoss(8, 12, cutoffs)


@pytest.mark.parametrize("size", [3, 4, 5])
def test_cross_map_normalisation(size):
    named = {"alpha": 0.3, "beta": 0.6, "k": 1.5}  # torch's own CrossMapLRN2d never drops the first channel
    compare(ingot.nn.CrossMapLRN2d(size, **named), torch.nn.LocalResponseNorm(size, **named), (array((2, 6, 3, 3)),))


@pytest.mark.parametrize("shape, target", [((), (5,)), ((2,), (5, 2))])
def test_linear_cross_entropy(shape, target):
    kwargs = {"out_features": shape, "bias": True, "label_smoothing": 0.1, "ignore_index": 1}
    mine, theirs = ingot.nn.LinearCrossEntropyLoss(4, 3, **kwargs), torch.nn.LinearCrossEntropyLoss(4, 3, **kwargs)
    compare_modules(mine, theirs, (array((5, 4)), np.random.default_rng(1).integers(0, 3, target)))


def test_grouped_products():
    x, w, wide = array((6, 4)), array((3, 4, 5), 1), array((4, 6), 2)
    ends = [2, 2, 5]
    offs = ingot.tensor(ends, dtype=ingot.int32)
    F = ingot.nn.functional
    groups = list(zip([0, *ends], ends))
    want = np.zeros((6, 5), np.float32)
    for g, (a, b) in enumerate(groups):
        want[a:b] = x[a:b] @ w[g]
    np.testing.assert_allclose(F.grouped_mm(ingot.tensor(x), ingot.tensor(w), offs=offs).numpy(), want, atol=1e-5)
    turned = F.grouped_mm(ingot.tensor(w).mT, ingot.tensor(x).T, offs=offs)
    np.testing.assert_allclose(turned.numpy(), want.T, atol=1e-5)
    inner = F.grouped_mm(ingot.tensor(wide), ingot.tensor(x), offs=offs)
    np.testing.assert_allclose(inner.numpy(), np.stack([wide[:, a:b] @ x[a:b] for a, b in groups]), atol=1e-5)
    assert F.grouped_mm(ingot.tensor(w), ingot.tensor(w).mT, out_dtype=ingot.float64).dtype is ingot.float64
    for bad in (
        lambda: F.grouped_mm(ingot.tensor(x), ingot.tensor(w)),
        lambda: F.grouped_mm(ingot.tensor(w), ingot.tensor(w).mT, offs=offs),
    ):
        with pytest.raises(RuntimeError):
            bad()
    with pytest.raises(RuntimeError, match="float8"):
        F.scaled_mm(ingot.tensor(x), ingot.tensor(w))


def test_conv_tbc_and_names():
    compare(ingot.nn.functional.conv_tbc, torch.nn.functional.conv_tbc, (array((6, 2, 3)), array((2, 3, 4), 1), array((4,), 2), 1))
    x = array((1, 4, 3, 3))
    close(ingot.nn.functional.native_channel_shuffle(ingot.tensor(x), 2), torch.native_channel_shuffle(torch.tensor(x), 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert list(ingot.nn.Container(a=ingot.nn.Linear(1, 1)).state_dict()) == ["a.weight", "a.bias"]
        args = (array((1, 2, 2, 2)), np.zeros((1, 2, 2), int))
        compare(lambda x, t: ingot.nn.NLLLoss2d()(x, t), lambda x, t: torch.nn.NLLLoss2d()(x, t), args)
    assert isinstance(ingot.nn.attention.SDPBackend.MATH, int)


def test_batch_norm_of_one_process():
    compare_modules(ingot.nn.SyncBatchNorm(3), torch.nn.BatchNorm1d(3), (array((4, 3, 5)),))
    net = ingot.nn.Sequential(ingot.nn.Conv2d(1, 2, 1), ingot.nn.BatchNorm2d(2), ingot.nn.Sequential(ingot.nn.BatchNorm1d(3)))
    made = ingot.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert made is net and type(net[1]) is type(net[2][0]) is ingot.nn.SyncBatchNorm
    assert len(list(net.parameters())) == 6


LAZY = [
    ("LazyLinear", (4,), {}, (2, 3)), ("LazyLinear", (4, False), {}, (2, 5, 3)), ("LazyConv2d", (4, 3), {"padding": 1}, (1, 3, 5, 5)),
    ("LazyConv1d", (4, 3), {"padding_mode": "circular", "padding": 1}, (3, 5)), ("LazyConvTranspose2d", (4, 2), {}, (1, 3, 4, 4)),
    ("LazyBatchNorm2d", (), {"eps": 1e-3}, (2, 3, 4, 4)), ("LazyBatchNorm1d", (), {"affine": False}, (4, 3)),
    ("LazyInstanceNorm1d", (), {"affine": True}, (2, 3, 5)),
]  # fmt: skip


@pytest.mark.parametrize("name, args, kwargs, shape", LAZY)
def test_lazy_modules(name, args, kwargs, shape):
    x = array(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mine, theirs = (getattr(m.nn, name)(*args, **kwargs) for m in (ingot, torch))
        assert list(mine.state_dict()) == list(theirs.state_dict())
        assert mine.has_uninitialized_params() == theirs.has_uninitialized_params()
        assert isinstance(mine, getattr(ingot.nn, name[4:]))
        held = list(mine.parameters())
        opt = ingot.optim.SGD(held, lr=0.1) if held else None
        copied = copy.deepcopy(mine)
        theirs(torch.tensor(x))
        loaded = getattr(ingot.nn, name)(*args, **kwargs)
        copy_weights(theirs, loaded)
        mine(ingot.tensor(x))
        copied(ingot.tensor(x))
    assert type(mine) is type(copied) is getattr(ingot.nn, name[4:])
    assert all(a is b and type(a) is ingot.nn.Parameter for a, b in zip(mine.parameters(), held))
    assert repr(mine) == repr(theirs)
    copy_weights(theirs, mine)
    a = mine(ingot.tensor(x))
    close(a, theirs(torch.tensor(x)), atol=2e-5)
    if opt is not None:
        a.sum().backward()
        opt.step()
    close(loaded.eval()(ingot.tensor(x)), theirs.eval()(torch.tensor(x)), atol=2e-5) if "Norm" not in name else None


def test_a_lazy_parameter_has_no_shape():
    layer = ingot.nn.LazyLinear(2)
    with pytest.raises(RuntimeError, match="uninitialized"):
        layer.weight.shape  # noqa: B018
    with pytest.raises(TypeError, match="LazyLinear"):
        ingot.nn.LazyLinear(2, wrong=1)
