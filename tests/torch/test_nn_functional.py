"""Every functional against torch: results and gradients, in several configurations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as TF

import ingot
import ingot.nn.functional as F
from tests.torch.against import array, compare

X = array((2, 3, 8))
ELEMENTWISE = [
    ("relu", {}), ("relu6", {}), ("leaky_relu", {}), ("leaky_relu", {"negative_slope": 0.2}), ("elu", {}), ("elu", {"alpha": 0.7}),
    ("selu", {}), ("celu", {}), ("celu", {"alpha": 0.5}), ("gelu", {}), ("gelu", {"approximate": "tanh"}), ("silu", {}), ("mish", {}),
    ("sigmoid", {}), ("tanh", {}), ("softplus", {}), ("softplus", {"beta": 2.0, "threshold": 1.0}), ("softsign", {}), ("hardtanh", {}),
    ("hardtanh", {"min_val": -0.5, "max_val": 1.5}), ("hardswish", {}), ("hardsigmoid", {}), ("hardshrink", {}), ("softshrink", {}),
    ("tanhshrink", {}), ("logsigmoid", {}), ("glu", {}), ("glu", {"dim": 2}), ("softmax", {"dim": 1}), ("softmax", {"dim": -1}),
    ("log_softmax", {"dim": 0}), ("softmin", {"dim": 1}), ("threshold", {"threshold": 0.1, "value": 20.0}), ("normalize", {}),
    ("normalize", {"p": 1.0, "dim": 2}), ("normalize", {"p": 3.0, "dim": 0}),
]  # fmt: skip


@pytest.mark.parametrize("name, kwargs", ELEMENTWISE, ids=lambda v: v if isinstance(v, str) else ",".join(map(str, v.values())))
def test_activation(name: str, kwargs: dict) -> None:
    compare(getattr(F, name), getattr(TF, name), (X * 3 if "hard" in name else X,), kwargs)


@pytest.mark.parametrize("name", ["relu", "elu", "gelu", "silu", "softplus", "mish", "logsigmoid", "hardswish", "tanhshrink", "selu"])
def test_extreme_values(name: str) -> None:
    x = np.array([-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4, np.inf, -np.inf], np.float32)
    if name in ("gelu", "silu", "mish", "hardswish", "tanhshrink"):
        x = x[:-2]  # products of 0 and inf: gradients at the ends are not defined
    compare(getattr(F, name), getattr(TF, name), (x,), atol=1e-4)
    assert np.isnan(getattr(F, name)(ingot.tensor([float("nan")])).numpy()).all()


@pytest.mark.parametrize("name", ["relu", "elu", "leaky_relu", "hardtanh", "silu", "selu", "relu6", "hardswish", "mish", "celu"])
def test_inplace(name: str) -> None:
    def run(module):
        def fn(x):
            y = x * 1.5
            z = getattr(module, name)(y, inplace=True)
            assert z is y
            return y * 2.0

        return fn

    compare(run(F), run(TF), (X,))


@pytest.mark.parametrize("weight", [array((1,)), array((3,), 1)])
def test_prelu(weight: np.ndarray) -> None:
    compare(F.prelu, TF.prelu, (X, weight))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["gelu", "silu", "relu", "softplus", "elu", "mish", "hardswish"])
def test_half_activation(name: str, dtype: str) -> None:
    import torch

    x = array((64,))
    mine = getattr(F, name)(ingot.tensor(x).to(getattr(ingot, dtype))).float().numpy()
    theirs = getattr(TF, name)(torch.tensor(x).to(getattr(torch, dtype))).float().numpy()
    np.testing.assert_allclose(mine, theirs, rtol=2e-3 if dtype == "float16" else 1.6e-2, atol=1e-5)


# ---- linear and embedding


def test_linear() -> None:
    compare(F.linear, TF.linear, (array((2, 3, 4)), array((5, 4), 1), array((5,), 2)))
    compare(F.linear, TF.linear, (array((4,)), array((5, 4), 1)))
    compare(F.bilinear, TF.bilinear, (array((2, 3)), array((2, 4), 1), array((5, 3, 4), 2), array((5,), 3)))


def test_embedding() -> None:
    idx = np.array([[0, 3, 3], [5, 1, 0]])
    compare(F.embedding, TF.embedding, (idx, array((6, 4))))
    compare(F.embedding, TF.embedding, (idx, array((6, 4))), {"padding_idx": 3})
    compare(F.embedding, TF.embedding, (idx, array((6, 4))), {"padding_idx": -1})
    compare(F.one_hot, TF.one_hot, (idx,))
    compare(F.one_hot, TF.one_hot, (idx, 9))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode: str) -> None:
    idx = np.array([[0, 3, 2], [5, 1, 0]])
    compare(F.embedding_bag, TF.embedding_bag, (idx, array((6, 4))), {"mode": mode})
    flat, starts = np.array([0, 3, 2, 5, 1, 1]), np.array([0, 2, 2, 5])  # the second bag is empty
    compare(F.embedding_bag, TF.embedding_bag, (flat, array((6, 4)), starts), {"mode": mode})
    compare(F.embedding_bag, TF.embedding_bag, (flat, array((6, 4)), np.array([0, 2, 2, 6])), {"mode": mode, "include_last_offset": True})
    compare(F.embedding_bag, TF.embedding_bag, (flat, array((6, 4)), starts), {"mode": mode, "padding_idx": 1, "sparse": False})
    compare(F.embedding_bag, TF.embedding_bag, (idx, array((6, 4))), {"mode": mode, "padding_idx": -6})


def test_distances() -> None:
    a, b = array((4, 5)), array((4, 5), 1)
    compare(F.cosine_similarity, TF.cosine_similarity, (a, b))
    compare(F.cosine_similarity, TF.cosine_similarity, (a, b), {"dim": 0, "eps": 1e-3})
    compare(F.normalize, TF.normalize, (a,), {"p": 0.0, "dim": -1})
    compare(F.pairwise_distance, TF.pairwise_distance, (a, b))
    compare(F.pairwise_distance, TF.pairwise_distance, (a, b), {"p": 1.0, "keepdim": True})


# ---- convolution

CONVS = [
    ({}, (2, 4, 7, 8), (6, 4, 3, 3)),
    ({"stride": 2, "padding": 1}, (2, 4, 7, 8), (6, 4, 3, 3)),
    ({"padding": (2, 1), "dilation": (1, 2)}, (1, 2, 7, 8), (3, 2, 3, 2)),
    ({"groups": 2, "padding": 1}, (2, 4, 6, 6), (6, 2, 3, 3)),
    ({"groups": 4}, (1, 4, 5, 5), (4, 1, 3, 3)),
    ({"padding": "same"}, (1, 2, 6, 7), (3, 2, 3, 4)),
    ({"padding": "valid", "stride": (1, 3)}, (1, 2, 6, 7), (3, 2, 3, 4)),
    ({}, (4, 7, 8), (6, 4, 1, 1)),
]


@pytest.mark.parametrize("kwargs, x, w", CONVS)
def test_conv2d(kwargs: dict, x: tuple, w: tuple) -> None:
    compare(F.conv2d, TF.conv2d, (array(x), array(w, 1, -1, 1), array((w[0],), 2)), kwargs, atol=3e-5)


def test_conv1d_and_3d() -> None:
    compare(F.conv1d, TF.conv1d, (array((2, 3, 9)), array((4, 3, 3), 1)), {"padding": 1, "stride": 2}, atol=3e-5)
    compare(F.conv1d, TF.conv1d, (array((2, 3, 9)), array((4, 3, 3), 1), array((4,), 2)), {"padding": "same", "dilation": 2}, atol=3e-5)
    compare(F.conv3d, TF.conv3d, (array((1, 2, 4, 5, 4)), array((3, 2, 2, 3, 2), 1)), {"padding": 1}, atol=3e-5)


TRANSPOSED = [
    ({}, (2, 4, 5, 4), (4, 3, 3, 3)),
    ({"stride": 2, "padding": 1, "output_padding": 1}, (2, 4, 5, 4), (4, 3, 3, 3)),
    ({"stride": (2, 3), "padding": (0, 1), "output_padding": (1, 2)}, (1, 4, 3, 4), (4, 2, 2, 3)),
    ({"groups": 2, "stride": 2}, (1, 4, 3, 3), (4, 2, 3, 3)),
    ({"dilation": 2, "output_padding": 1}, (1, 2, 4, 4), (2, 3, 3, 3)),
]


@pytest.mark.parametrize("kwargs, x, w", TRANSPOSED)
def test_conv_transpose2d(kwargs: dict, x: tuple, w: tuple) -> None:
    bias = array((w[1] * kwargs.get("groups", 1),), 2)
    compare(F.conv_transpose2d, TF.conv_transpose2d, (array(x), array(w, 1, -1, 1), bias), kwargs, atol=3e-5)


def test_conv_transpose1d() -> None:
    args = (array((2, 3, 5)), array((3, 4, 3), 1), array((4,), 2))
    compare(F.conv_transpose1d, TF.conv_transpose1d, args, {"stride": 2, "output_padding": 1}, atol=3e-5)


# ---- pooling

POOLS = [
    ("max_pool1d", (2, 3, 9), {"kernel_size": 3}),
    ("max_pool1d", (2, 3, 9), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("max_pool2d", (2, 3, 8, 7), {"kernel_size": 2}),
    ("max_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("max_pool2d", (2, 3, 8, 7), {"kernel_size": (3, 2), "stride": 2, "ceil_mode": True, "dilation": (1, 2)}),
    ("max_pool2d", (3, 8, 7), {"kernel_size": 3, "stride": 3, "padding": 1, "ceil_mode": True}),
    ("max_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True}),
    ("max_pool3d", (1, 2, 4, 5, 4), {"kernel_size": 2, "stride": 2}),
    ("avg_pool1d", (2, 3, 9), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 2}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 3, "stride": 3, "ceil_mode": True, "count_include_pad": False}),
    ("avg_pool2d", (2, 3, 8, 7), {"kernel_size": 2, "divisor_override": 3}),
    ("avg_pool3d", (1, 2, 4, 5, 4), {"kernel_size": 2}),
    ("lp_pool1d", (2, 3, 9), {"norm_type": 2.0, "kernel_size": 3}),
    ("lp_pool2d", (2, 3, 8, 7), {"norm_type": 2.0, "kernel_size": 2}),
    ("adaptive_avg_pool1d", (2, 3, 9), {"output_size": 4}),
    ("adaptive_avg_pool2d", (2, 3, 8, 7), {"output_size": 1}),
    ("adaptive_avg_pool2d", (2, 3, 8, 6), {"output_size": (4, 3)}),
    ("adaptive_avg_pool2d", (2, 3, 8, 7), {"output_size": (3, None)}),
    ("adaptive_avg_pool2d", (3, 8, 7), {"output_size": (5, 4)}),
    ("adaptive_max_pool1d", (2, 3, 9), {"output_size": 4}),
    ("adaptive_max_pool2d", (2, 3, 8, 7), {"output_size": (3, 4)}),
    ("adaptive_max_pool2d", (2, 3, 8, 6), {"output_size": (4, 3), "return_indices": True}),
    ("adaptive_max_pool2d", (2, 3, 8, 7), {"output_size": (3, 4), "return_indices": True}),
]  # fmt: skip


@pytest.mark.parametrize("name, shape, kwargs", POOLS)
def test_pool(name: str, shape: tuple, kwargs: dict) -> None:
    x = array(shape) + (3 if name.startswith("lp") else 0)
    compare(getattr(F, name), getattr(TF, name), (x.astype(np.float32),), kwargs)


def test_max_unpool() -> None:
    def run(m):
        def fn(x):
            y, i = m.max_pool2d(x, 2, return_indices=True)
            return m.max_unpool2d(y, i, 2)

        return fn

    compare(run(F), run(TF), (array((1, 2, 4, 6)),))


# ---- normalisation


def test_norms() -> None:
    x, w, b = array((2, 6, 4)), array((4,), 1), array((4,), 2)
    compare(F.layer_norm, TF.layer_norm, (x, (4,), w, b), atol=2e-5)
    compare(F.layer_norm, TF.layer_norm, (x, (6, 4)), {"eps": 0.1}, atol=2e-5)
    compare(F.rms_norm, TF.rms_norm, (x, (4,), w), atol=2e-5)
    compare(F.rms_norm, TF.rms_norm, (x, (6, 4)), {"eps": 0.1}, atol=2e-5)
    compare(F.group_norm, TF.group_norm, (x, 3, array((6,), 1), array((6,), 2)), atol=2e-5)
    compare(F.group_norm, TF.group_norm, (x, 2), atol=2e-5)
    compare(F.instance_norm, TF.instance_norm, (x,), {"weight": array((6,), 1), "bias": array((6,), 2)}, atol=2e-5)
    compare(F.local_response_norm, TF.local_response_norm, (x, 3), {"alpha": 0.1}, atol=2e-5)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5), (2, 3, 4, 4)])
def test_batch_norm(shape: tuple) -> None:
    x, w, b = array(shape), array((3,), 1), array((3,), 2)
    mean, var = array((3,), 3), array((3,), 4, 0.5, 2.0)
    compare(
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        lambda x, w, b: TF.batch_norm(x, None, None, w, b, True),
        (x, w, b),
        atol=3e-5,
    )

    def running(m, make):
        def fn(x, w, b):
            rm, rv = make(mean), make(var)
            y = m.batch_norm(x, rm, rv, w, b, True, 0.3)
            return y, rm, rv, m.batch_norm(x, rm, rv, w, b, False)

        return fn

    import torch

    compare(running(F, ingot.tensor), running(TF, torch.tensor), (x, w, b), atol=3e-5)


# ---- shape


@pytest.mark.parametrize(
    "pad, kwargs",
    [((1, 2), {}), ((1, 2, 0, 3), {"value": 2.5}), ((-1, 2), {}), ((-1, -2, 1, 0), {"value": 1.0}),
     ((1, 2), {"mode": "reflect"}), ((2, 2), {"mode": "replicate"}), ((3, 1), {"mode": "circular"})],
)  # fmt: skip
def test_pad(pad: tuple, kwargs: dict) -> None:
    compare(F.pad, TF.pad, (array((2, 3, 5)), pad), kwargs)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_pad_2d(mode: str) -> None:
    compare(F.pad, TF.pad, (array((2, 3, 4, 5)), (1, 2, 3, 0)), {"mode": mode})


def test_shuffles_and_folds() -> None:
    x = array((2, 8, 4, 6))
    compare(F.pixel_shuffle, TF.pixel_shuffle, (x, 2))
    compare(F.pixel_unshuffle, TF.pixel_unshuffle, (x, 2))
    compare(F.channel_shuffle, TF.channel_shuffle, (x, 4))
    compare(F.unfold, TF.unfold, (x, (2, 3)), {"padding": 1, "stride": 2, "dilation": (2, 1)})
    compare(F.fold, TF.fold, (array((2, 12, 15)), (4, 6), (2, 2)))
    compare(F.fold, TF.fold, (array((2, 12, 12)), (4, 6), (2, 2)), {"stride": 2, "padding": 1})


@pytest.mark.parametrize(
    "shape, kwargs",
    [
        ((2, 3, 5), {"size": 9}),
        ((2, 3, 5), {"scale_factor": 2.5, "mode": "linear"}),
        ((2, 3, 4, 5), {"scale_factor": 2}),
        ((2, 3, 4, 5), {"size": (3, 7), "mode": "nearest-exact"}),
        ((2, 3, 4, 5), {"scale_factor": (2.0, 1.5), "mode": "bilinear"}),
        ((2, 3, 4, 5), {"size": (7, 3), "mode": "bilinear", "align_corners": True}),
        ((2, 3, 4, 5), {"size": (7, 9), "mode": "bicubic"}),
        ((2, 3, 4, 5), {"size": (2, 3), "mode": "area"}),
        ((1, 2, 3, 4, 3), {"scale_factor": 2, "mode": "trilinear"}),
    ],
)
def test_interpolate(shape: tuple, kwargs: dict) -> None:
    compare(F.interpolate, TF.interpolate, (array(shape),), kwargs, atol=3e-5)
    x = np.random.default_rng(0).standard_normal(shape)  # float64 weights for a float64 input
    np.testing.assert_allclose(F.interpolate(ingot.tensor(x), **kwargs).numpy(), TF.interpolate(torch.tensor(x), **kwargs), atol=1e-12)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_interpolate_images(mode: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 5)).astype(np.uint8)
    got, want = (m.interpolate(t(x), (7, 9), mode=mode).numpy().astype(int) for m, t in ((F, ingot.tensor), (TF, torch.tensor)))
    assert np.abs(got - want).max() <= 1  # torch's weights are short integers


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
def test_negative_pads_crop(mode: str) -> None:
    compare(F.pad, TF.pad, (array((1, 3, 4, 5)), (-1, 2, 1, -2)), {"mode": mode})


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [False, True])
def test_grid_sample(mode: str, padding: str, align: bool) -> None:
    grid = array((2, 3, 4, 2), 1, -1.4, 1.4)
    compare(
        F.grid_sample, TF.grid_sample, (array((2, 3, 5, 6)), grid), dict(mode=mode, padding_mode=padding, align_corners=align), atol=1e-4
    )
    compare(F.affine_grid, TF.affine_grid, (array((2, 2, 3)), (2, 1, 3, 4)), {"align_corners": align})


# ---- attention


@pytest.mark.parametrize("kwargs", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_attention(kwargs: dict) -> None:
    q, k, v = array((2, 3, 4, 8)), array((2, 3, 6, 8), 1), array((2, 3, 6, 5), 2)
    compare(F.scaled_dot_product_attention, TF.scaled_dot_product_attention, (q, k, v), kwargs, atol=3e-5)


def test_attention_masks() -> None:
    q, k, v = array((2, 3, 4, 8)), array((2, 3, 6, 8), 1), array((2, 3, 6, 5), 2)
    mask = np.random.default_rng(0).random((4, 6)) > 0.4
    mask[1] = False  # a row that sees nothing
    mask[2] = True
    compare(F.scaled_dot_product_attention, TF.scaled_dot_product_attention, (q, k, v), {"attn_mask": mask}, atol=3e-5)
    compare(F.scaled_dot_product_attention, TF.scaled_dot_product_attention, (q, k, v), {"attn_mask": array((2, 1, 4, 6), 5)}, atol=3e-5)


def test_attention_grouped_heads() -> None:
    q, k, v = array((2, 4, 3, 8)), array((2, 2, 5, 8), 1), array((2, 2, 5, 8), 2)
    compare(F.scaled_dot_product_attention, TF.scaled_dot_product_attention, (q, k, v), {"enable_gqa": True}, atol=3e-5)
