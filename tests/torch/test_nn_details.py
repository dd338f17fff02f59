"""Details of torch's functionals and modules that tables of values do not reach."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import ingot

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")

REFUSALS = (ValueError, RuntimeError, TypeError, KeyError, AssertionError)  # what says that arguments are wrong


@pytest.mark.parametrize("name", ["dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"])
@pytest.mark.parametrize("shape", [(40,), (40, 41), (40, 41, 8), (40, 41, 8, 5), (40, 41, 2, 3, 5)])
def test_dropout_drops_along_the_same_dims(name: str, shape: tuple[int, ...]) -> None:
    def varying(m) -> tuple[bool, ...] | str:
        try:
            m.manual_seed(0)
            y = getattr(m.nn.functional, name)(m.ones(*shape), 0.5, training=True).numpy()
        except RuntimeError:
            return "RuntimeError"
        return tuple(bool((y != y.take([0], i)).any()) for i in range(y.ndim))

    assert varying(ingot) == varying(torch)


def test_dropout2d_warns_where_torch_does() -> None:
    for m in (ingot, torch):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for shape in ((2, 3), (2, 3, 4), (2, 3, 4, 5)):
                m.nn.functional.dropout2d(m.ones(*shape), 0.5)
        assert len(seen) == 2


@pytest.mark.parametrize("training", [False, True])
def test_rrelu_refuses_an_empty_range(training: bool) -> None:
    for m in (ingot, torch):
        with pytest.raises(RuntimeError):
            m.nn.functional.rrelu(m.ones(2), 0.5, 0.25, training=training)


def _in(m: Any, expression: str) -> Any:
    return eval(expression, {"m": m, "F": m.nn.functional, "nn": m.nn})


def _same(expression: str) -> None:
    """The expression over `m` (the package), `F` and `nn` has the same value in both, or both refuse it."""
    try:
        want = _in(torch, expression)
    except REFUSALS:
        _refused(expression)
        return
    got = _in(ingot, expression)
    if isinstance(want, torch.Tensor):
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=2e-6, atol=1e-6)
        assert got.numpy().dtype == want.numpy().dtype
    else:
        assert got == want


def _refused(expression: str) -> None:
    """Torch says what is wrong with the arguments, and Ingot raises an error that is caught as torch's is."""
    with pytest.raises(REFUSALS) as theirs:
        _in(torch, expression)
    with pytest.raises(theirs.type):
        _in(ingot, expression)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
def test_weights_of_regression_losses(name: str, reduction: str) -> None:
    _same(f"F.{name}(m.arange(6.0).reshape(2, 3), m.ones(2, 3), weight=m.arange(6.0).reshape(2, 3) / 4, reduction='{reduction}')")
    _same(f"F.{name}(m.arange(6.0).reshape(2, 3), m.ones(2, 3), weight=m.ones(3), reduction='{reduction}')")


@pytest.mark.parametrize("var", ["2, 3, 2", "2, 3, 1", "2, 1, 2", "1, 3, 2", "2, 3", "1, 1, 2", "2, 2", "3, 2"])
def test_variances_of_gaussian_nll_loss(var: str) -> None:
    _same(f"F.gaussian_nll_loss(m.arange(12.0).reshape(2, 3, 2), m.zeros(2, 3, 2), m.full(({var}), 2.0), reduction='none')")


@pytest.mark.parametrize("name", ["triplet_margin_loss", "triplet_margin_with_distance_loss"])
def test_ranks_of_triplet_losses(name: str) -> None:
    _same(f"F.{name}(m.ones(2, 3), m.ones(3), m.zeros(2, 3))")
    _same(f"F.{name}(m.ones(2, 3), m.ones(1, 3), m.zeros(2, 3))")


@pytest.mark.parametrize("sizes", ["(0, 3)", "(None, 0)"])
def test_adaptive_pooling_to_nothing(sizes: str) -> None:
    _same(f"F.adaptive_max_pool2d(m.ones(3, 7, 2), {sizes})")
    _same(f"F.adaptive_max_pool2d(m.ones(3, 7, 2), {sizes}, return_indices=True)[1]")
    _same(f"F.adaptive_avg_pool2d(m.ones(3, 7, 2), {sizes})")


@pytest.mark.parametrize("indices", ["", ", return_indices=False", ", return_indices=True", ", False"])
def test_max_pools_with_indices_ignore_return_indices(indices: str) -> None:
    _same(f"F.adaptive_max_pool1d_with_indices(m.arange(12.0).reshape(2, 6), 2{indices})[1]")
    _same(f"F.max_pool1d_with_indices(m.arange(12.0).reshape(2, 6), 2, 1, 0, 1, False{indices})[1]")


@pytest.mark.parametrize("size", ["(3, 4)", "(7, 9)", "(1, 2)", "(4, 13)"])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_antialiased_resizing(mode: str, size: str) -> None:
    image = "m.sin(m.arange(2.0 * 5 * 6)).reshape(1, 2, 5, 6)"
    _same(f"F.interpolate({image}, size={size}, mode='{mode}', antialias=True)")
    _same(f"F.interpolate({image}, size={size}, mode='{mode}', antialias=True, align_corners=True)")
    _same(f"F.interpolate({image}, scale_factor=(0.4, 1.7), mode='{mode}', antialias=True)")
    _same(f"F.interpolate({image}[0], size=3, mode='{mode}', antialias=True)")
    _same(f"F.interpolate({image}, size=3, mode='{mode}')")


@pytest.mark.parametrize("corners", [True, False])
def test_affine_grid(corners: bool) -> None:
    for size in ("(2, 1, 2, 3)", "(2, 1, 2, 3, 1)", "(2, 1, 0, 3)"):
        for theta in ("m.arange(12.0).reshape(2, 2, 3)", "m.arange(24.0).reshape(2, 3, 4)", "m.ones(2, 2, 3).long()"):
            _same(f"F.affine_grid({theta}, {size}, align_corners={corners})")


@pytest.mark.parametrize("p", ["m.inf", "-m.inf", "0", "1", "-1", "3"])
def test_norms_along_a_dim(p: str) -> None:
    _same(f"F.normalize(m.arange(1.0, 7).reshape(2, 3), p={p})")
    _same(f"F.pairwise_distance(m.arange(1.0, 7).reshape(2, 3), m.ones(3) * 2.5, p={p})")


@pytest.mark.parametrize(
    "expression",
    [
        "F.group_norm(m.ones(1, 2), 2)",
        "F.group_norm(m.ones(1, 2, 1), 2)",
        "F.batch_norm(m.ones(2, 3), m.ones(3), None, training=True)",
        "F.interpolate(m.ones(1, 1, 3), size=4, recompute_scale_factor=True)",
        "F.pad(m.ones(2, 3), (1, 1), mode='reflect', value=1)",
        "nn.utils.rnn.pad_sequence([m.ones(2)], padding_side='top')",
        "nn.EmbeddingBag.from_pretrained(m.ones(3))",
        "nn.EmbeddingBag(3, 2, _weight=m.ones(2, 3))",
        "nn.Transformer(8, 2, 1, 1, 16)(m.ones(5, 2, 8), m.ones(3, 1, 8))",
        "nn.Transformer(8, 2, 1, 1, 16)(m.ones(5, 2, 8), m.ones(3, 2, 6))",
        "nn.Sequential(nn.ReLU()) * 0",
        "nn.ParameterDict().popitem()",
    ],
)
def test_what_torch_refuses(expression: str) -> None:
    _refused(expression)


def test_a_group_of_two_values_has_a_variance() -> None:
    _same("F.group_norm(m.ones(1, 2, 1), 1)")


def test_embedding_divides_gradients_by_frequency() -> None:
    grads = []
    for m in (torch, ingot):
        table = m.nn.Embedding(4, 2, scale_grad_by_freq=True)
        table(m.tensor([1, 1, 3, 1])).sum().backward()
        grads.append(table.weight.grad.numpy())
    np.testing.assert_allclose(*grads)


@pytest.mark.parametrize(
    "expression",
    [
        "repr(nn.Embedding(4, 2, scale_grad_by_freq=True, sparse=True, max_norm=1.0, padding_idx=1))",
        "repr(nn.EmbeddingBag(4, 2, max_norm=1.0, norm_type=1.0, scale_grad_by_freq=True, padding_idx=-1))",
        "nn.EmbeddingBag.from_pretrained(m.arange(6.0).reshape(3, 2), mode='sum')(m.tensor([[2, 0], [1, 1]]))",
        "nn.EmbeddingBag.from_pretrained(m.ones(3, 2), freeze=False).weight.requires_grad",
        "repr(nn.RNNCell(2, 3, nonlinearity='relu'))",
        "repr(nn.AvgPool1d(2, padding=1))",
        "len(nn.Sequential(nn.ReLU(), nn.Tanh()) * 3)",
        "repr(2 * nn.Sequential(nn.ReLU(), nn.Tanh()))",
        "list(nn.ParameterDict({'b': m.ones(1), 'a': m.ones(1)}).state_dict())",
        "list(nn.ParameterDict([('b', m.ones(1)), ('a', m.ones(1))]).copy())",
        "list(reversed(nn.ParameterDict({'b': 1}) | nn.ParameterDict({'a': 2})))",
        "nn.ParameterDict({'b': 1}).setdefault('a', 2)",
        "nn.ParameterDict({'b': 1, 'c': 2}).popitem()",
        "list(nn.ParameterDict().fromkeys('xy', 0).items())",
    ],
)
def test_modules_like_torch(expression: str) -> None:
    _same(expression)


def test_containers_change_in_place() -> None:
    for m in (torch, ingot):
        model = m.nn.Sequential(m.nn.ReLU(), m.nn.Tanh())
        same = model
        model *= 2
        assert same is model and len(model) == 4 and model[2] is model[0]
        table = same_table = m.nn.ParameterDict({"a": m.ones(1)})
        table |= m.nn.ParameterDict({"b": m.ones(1)})
        assert same_table is table and list(table) == ["a", "b"]
        table.clear()
        assert not table and not list(table.parameters())


@pytest.mark.parametrize("p", ["0", "0.5", "1", "2", "m.inf", "-m.inf"])
def test_total_norms(p: str) -> None:
    _same(f"nn.utils.get_total_norm([m.tensor([3.0, 0, -1]), m.tensor([[2.0], [0.5]]), m.zeros(2)], {p})")


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_antialiased_bytes_round_after_each_dim(mode: str) -> None:
    image = (np.sin(np.arange(3 * 9 * 8)) * 127 + 128).astype(np.uint8).reshape(1, 3, 9, 8)
    want, got = (m.nn.functional.interpolate(m.tensor(image), size=(4, 5), mode=mode, antialias=True).numpy() for m in (torch, ingot))
    apart = np.abs(want.astype(int) - got)
    assert got.dtype == np.uint8 and apart.max() <= 1 and apart.mean() < 0.08  # halves: torch's weights have 16 bits


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [1, 8])
def test_transposed_convolution_by_an_infinite_weight_has_no_terms_of_zeros(channels: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.normal(size=s).astype(np.float32) for s in ((1, channels, 5, 5), (channels, channels, 3, 3)))
    w[0, 0, 0, 0] = np.inf
    want, got = (m.nn.functional.conv_transpose2d(m.tensor(x), m.tensor(w), None, stride, 1).numpy() for m in (torch, ingot))
    assert np.isinf(want).any() and not np.isnan(want).any()
    np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)
