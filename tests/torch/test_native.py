"""Functions and methods that are met now and then, against torch: native ones, cells, histograms, segments, memory, Python's own loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ingot
from tests.support.interpreter import interpreter  # noqa: F401  (these are semantics: nothing needs to be compiled)
from tests.torch.against import array, close, compare

W = {"w": array((6, 3), 1), "v": array((6, 2), 2), "b": array((6,), 3), "c": array((6,), 4)}
CASES = [
    ("m.native_layer_norm(x, (3,), None, None, 1e-5)", {"x": array((2, 4, 3))}),
    ("m.native_group_norm(x, w, b, 2, 4, 3, 2, 1e-5)", {"x": array((2, 4, 3)), "w": array((4,), 1), "b": array((4,), 2)}),
    ("m.native_batch_norm(x, w, b, None, None, True, 0.1, 1e-5)", {"x": array((5, 4)), "w": array((4,), 1), "b": array((4,), 2)}),
    ("m.norm_except_dim(x, 2, 0)", {"x": array((3, 4))}), ("m.norm_except_dim(x, 2, 1)", {"x": array((3, 4))}),
    ("m.norm_except_dim(x, 1, -1)", {"x": array((3, 4))}), ("m.nuclear_norm(x)", {"x": array((3, 4))}),
    ("m.grid_sampler(x, g, 0, 1, True)", {"x": array((1, 2, 4, 4)), "g": array((1, 3, 3, 2), 1)}),
    ("m.grid_sampler_2d(x, g, 2, 0, False)", {"x": array((1, 2, 4, 4)), "g": array((1, 3, 3, 2), 1)}),
    ("m.grid_sampler_3d(x, g, 0, 0, False)", {"x": array((1, 2, 3, 3, 3)), "g": array((1, 2, 2, 2, 3), 1)}),
    ("m.affine_grid_generator(x, [2, 1, 3, 3], False)", {"x": array((2, 2, 3))}),
    ("m.convolution(x, w, None, [1, 2], [1, 0], [1, 1], False, [0, 0], 1)", {"x": array((1, 2, 5, 5)), "w": array((3, 2, 2, 2), 1)}),
    ("m.convolution(x, w, None, [2], [0], [1], True, [1], 1)", {"x": array((1, 2, 5)), "w": array((2, 3, 2), 1)}),
    ("m.lstm_cell(x, (h, k), w, v, b, c)", {"x": array((4, 3)), "h": array((4, 2), 5), "k": array((4, 2), 6),
     **{n: array((8, *a.shape[1:]), i) for i, (n, a) in enumerate(W.items())}}),
    ("m.gru_cell(x, h, w, v, b, c)", {"x": array((4, 3)), "h": array((4, 2), 5), **W}),
    ("m.rnn_tanh_cell(x, h, w[:2], v[:2], b[:2], c[:2])", {"x": array((4, 3)), "h": array((4, 2), 5), **W}),
    ("m.rnn_relu_cell(x, h, w[:2], v[:2])", {"x": array((4, 3)), "h": array((4, 2), 5), **W}),
    ("m.gru(x, h, [w, v, b, c], True, 1, 0.0, False, False, False)", {"x": array((5, 4, 3)), "h": array((1, 4, 2), 5), **W}),
    ("m.rnn_tanh(x, h, [w[:2], v[:2], w[2:4], v[2:4]], False, 1, 0.0, False, True, True)",
     {"x": array((4, 5, 3)), "h": array((2, 4, 2), 5), **W}),
    ("m.segment_reduce(x, 'sum', lengths=m.tensor([2, 0, 3]))", {"x": array((5, 2))}),
    ("m.segment_reduce(x, 'mean', offsets=m.tensor([0, 1, 5]))", {"x": array((5,))}),
    ("m.segment_reduce(x, 'max', lengths=m.tensor([2, 0, 3]), initial=0.5)", {"x": array((5, 2))}),
    ("m._segment_reduce(x, 'amax', lengths=m.tensor([1, 4]))", {"x": array((5,))}),
    ("m.segment_reduce(x, 'min', lengths=m.tensor([1, 4]))", {"x": array((5, 2))}),
    ("m._segment_reduce(x, 'sum', lengths=m.tensor([[2, 3], [1, 4]]), axis=1)", {"x": array((2, 5, 2))}),
    ("m._segment_reduce(x, 'mean', offsets=m.tensor([[0, 1, 5], [0, 0, 5]]), axis=1)", {"x": array((2, 5))}),
    ("m.segment_reduce(x, 'prod', lengths=m.tensor([2, 0, 3]))", {"x": array((5,))}),
    ("x.hardshrink(0.3)", {"x": array((3, 4))}), ("x.prelu(w)", {"x": array((3, 4)), "w": array((1,), 1)}),
    ("m.unsafe_split_with_sizes(x, [1, 2])", {"x": array((3, 4))}), ("x.unsafe_chunk(2)", {"x": array((3, 4))}),
]  # fmt: skip


@pytest.mark.parametrize("expression, inputs", CASES, ids=[c[0][:40] for c in CASES])
def test_values_and_gradients(expression, inputs):
    def run(m):
        return lambda *values: eval(expression, {"m": m, **dict(zip(inputs, values))})

    compare(run(ingot), run(torch), tuple(inputs.values()), atol=2e-5)


@pytest.mark.parametrize("options", ["bins=3", "bins=[2, 4]", "bins=[2, 3], range=[0.0, 1.0, -1.0, 1.0]", "bins=3, density=True",
                                     "bins=[m.tensor([-2.0, 0.0, 0.5]), m.tensor([-1.0, 1.0])]", "bins=2, weight=w"])  # fmt: skip
def test_histograms_of_points(options):
    x, w = array((20, 2)), array((20,), 1, 0.1, 2.0)
    mine, theirs = (eval(f"m.histogramdd(m.tensor(x), {options})", {"m": m, "x": x, "w": m.tensor(w)}) for m in (ingot, torch))
    close(mine.hist, theirs.hist)
    for a, b in zip(mine.bin_edges, theirs.bin_edges):
        close(a, b)


def test_dropouts():
    x = ingot.ones(40, 5, 3)
    out, mask = ingot.native_dropout(x, 0.5, True)
    assert ingot.equal(out, mask * 2.0) and 0.3 < mask.float().mean().item() < 0.7
    assert ingot.equal(ingot.native_dropout(x, 0.5, False)[0], x)
    channels = ingot.feature_dropout(x, 0.5, True)
    assert ingot.equal(channels, channels[..., :1].expand(40, 5, 3)) and set(channels.unique().tolist()) == {0.0, 2.0}
    y = x.clone()
    assert ingot.dropout_(y, 0.5, True) is y and (y == 0).any() and ingot.feature_dropout_(x.clone(), 0.0, True).sum() == 600
    with pytest.raises(RuntimeError):
        ingot.feature_dropout(ingot.ones(3), 0.5, True)


def test_rows_are_scaled_in_place():
    x = array((4, 3))
    a, b = ingot.tensor(x), torch.tensor(x)
    ingot.embedding_renorm_(a, ingot.tensor([0, 2]), 1.0, 2.0)
    torch.embedding_renorm_(b, torch.tensor([0, 2]), 1.0, 2.0)
    close(a, b)


PLACES = [
    "m.empty_strided((2, 3), (1, 2)).stride()", "m.empty_permuted((2, 3, 4), (0, 2, 1)).stride()", "x.dim_order()", "x.t().dim_order()",
    "x.get_device()", "x.is_same_size(x.t())", "x.dense_dim()", "x.is_cpu", "x.is_nested", "x.new(2, 3).shape", "x.new([1, 2]).tolist()",
    "x.new_empty_strided((2, 2), (1, 2)).stride()", "x.untyped_storage().nbytes()", "x[1:].storage().size()", "x.t().storage().tolist()",
    "x.untyped_storage().data_ptr() == x.data_ptr()", "x[1:].untyped_storage().data_ptr() == x.data_ptr()", "len(x.untyped_storage())",
    "x.clone().resize_(2).tolist()", "x.clone().resize_(3, 2).tolist()", "x.clone().resize_as_(x.t()).shape", "x.clone().resize_(8).shape",
    "x.clone().set_(x.t().clone()).tolist()", "x.clone().set_().shape", "x.clone().set_(x.storage(), 1, (2, 2), (1, 2)).tolist()",
    "x.clone().apply_(lambda v: v * 2 + 1).tolist()", "x.clone().map_(x + 1, lambda a, b: a * b).tolist()", "x.to_dense() is x",
    "m.get_device(x)", "m.is_distributed(x)", "m.is_inference(x)", "m.is_storage(x)", "x.name", "m.segment_reduce",
    "x.module_load(x + 1).tolist()", "type(x.as_subclass(Sub)).__name__", "x.as_subclass(Sub).tolist()", "x.sparse_dim()",
    "m.as_strided_(x.clone(), (2, 2), (1, 2)).tolist()", "m.resize_as_(x.clone(), x.t()).shape", "x.is_mps", "x.is_xla",
    "hasattr(x, '__cuda_array_interface__')",
]  # fmt: skip


@pytest.mark.parametrize("expression", [p for p in PLACES if p != "m.segment_reduce"])
def test_places_in_memory(expression):
    results = []
    for m in (ingot, torch):
        sub = type("Sub", (m.Tensor,), {})
        try:
            value = eval(expression, {"m": m, "x": m.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "Sub": sub})
        except RuntimeError:
            value = "refused"
        results.append(tuple(value) if isinstance(value, (ingot.Size, torch.Size)) else value)
    if expression.endswith("sparse_dim()") or "resize_(8)" in expression:
        return  # torch refuses the one; its new elements are not defined
    assert results[0] == results[1]


def test_a_subclass_shares_memory_and_history():
    class Sub(ingot.Tensor):
        pass

    x = ingot.ones(2, requires_grad=True)
    y = (x * 2).as_subclass(Sub)
    y.sum().backward()
    assert x.grad.tolist() == [2, 2] and type(y) is Sub
    z = ingot.zeros(2)
    z.as_subclass(Sub).add_(1)
    assert z.tolist() == [1, 1]


def test_files_are_mapped(tmp_path):
    path = tmp_path / "numbers"
    a = ingot.from_file(str(path), shared=True, size=3, dtype=ingot.float64)
    a.copy_(ingot.arange(3))
    np.testing.assert_array_equal(np.fromfile(path), [0, 1, 2])
    b = ingot.from_file(path, size=2, dtype=ingot.float64)
    b.add_(5)
    assert b.tolist() == [5, 6] and np.fromfile(path).tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError):
        ingot.from_file(path, size=9)


SENTENCES = {
    "ones(1).coalesce()": "to_sparse", "Stream()": "no streams", "cuda.get_device_name()": "no CUDA device",
    "cuda.MemPool()": "ingot.cuda.memory_stats", "ones(1).reinforce(1)": "distributions",
}  # fmt: skip


@pytest.mark.parametrize("what", SENTENCES)
def test_what_is_not_there_says_so(what):
    with pytest.raises(RuntimeError, match=SENTENCES[what]) as e:
        eval(f"ingot.{what}", {"ingot": ingot, "ones": ingot.ones})
    assert "\n" not in str(e.value)


def test_settings_that_change_nothing():
    ingot.set_deterministic_debug_mode("error")
    assert ingot.get_deterministic_debug_mode() == 2
    ingot.set_deterministic_debug_mode(0)
    with pytest.raises(RuntimeError):
        ingot.set_deterministic_debug_mode("other")
    ingot.set_warn_always(True)
    assert ingot.is_warn_always_enabled()
    ingot.set_warn_always(False)
    ingot.set_anomaly_enabled(True)
    assert ingot.is_anomaly_enabled() and ingot.is_anomaly_check_nan_enabled()
    ingot.set_anomaly_enabled(False)
    assert not ingot.is_anomaly_enabled() and ingot.compiled_with_cxx11_abi()
    assert ingot.get_device_module("cpu").device_count() == 1 and ingot.get_device_module("cuda") is ingot.cuda
    with ingot.cuda.nvtx.range("a"):
        assert ingot.cuda.nvtx.range_push("b") == 1 and ingot.cuda.nvtx.range_pop() == 1
    assert list(ingot.utils.data.DataChunk([1, 2])) == [1, 2]


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize("dim", [0, -1])
def test_gradients_of_softmax_by_torch_s_names(name, dim):
    rng = np.random.default_rng(0)
    x, g = (rng.standard_normal((3, 4)).astype(np.float32) for _ in range(2))
    found = []
    for m in (torch, ingot):
        out = getattr(m, name)(m.from_numpy(x), dim)
        found.append(getattr(m, f"_{name}_backward_data")(m.from_numpy(g), out, dim, m.float32).numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-6)
