"""Views, in-place writes, exposed memory: torch's meaning, hazard by hazard."""

import copy
import pickle

import numpy as np
import pytest

import ingot
from ingot.runtime.plans import stats


def arange(*shape):
    n = int(np.prod(shape))
    return ingot.tensor(np.arange(n, dtype=np.float32).reshape(shape))


# ---- views


def test_writing_to_the_base_shows_in_views():
    x = arange(2, 3)
    row, column, flat, t = x[1], x[:, 0], x.view(6), x.t()
    x.mul_(10)
    assert row.tolist() == [30, 40, 50]
    assert column.tolist() == [0, 30]
    assert flat.tolist() == [0, 10, 20, 30, 40, 50]
    assert t.tolist() == [[0, 30], [10, 40], [20, 50]]


def test_writing_to_a_view_shows_in_the_base_and_in_other_views():
    x = arange(4, 4)
    t = x.t()
    part = t[1:3, ::2]
    other = x[0]
    part.fill_(-1)
    want = np.arange(16, dtype=np.float32).reshape(4, 4)
    want.T[1:3, ::2] = -1
    assert np.array_equal(x.numpy(), want)
    assert np.array_equal(other.numpy(), want[0])
    assert np.array_equal(t.numpy(), want.T)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x[1],
        lambda x: x[:, 1:3],
        lambda x: x[::2, 1::2],
        lambda x: x.permute(2, 0, 1),
        lambda x: x.permute(2, 0, 1)[1:, 0],
        lambda x: x.reshape(6, 4)[1::2],
        lambda x: x.unsqueeze(1)[:, 0, 1],
        lambda x: x.diagonal(0, 0, 1),
        lambda x: x.narrow(1, 1, 2).select(2, 0),
        lambda x: x[0].squeeze(),
    ],
)
def test_every_view_writes_through(view):
    x = arange(2, 3, 4)
    numpy = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    v = view(x)
    # the same view of positions tells what must change
    positions = view(ingot.tensor(np.arange(24).reshape(2, 3, 4))).numpy().reshape(-1)
    v.add_(100)
    numpy.reshape(-1)[positions] += 100
    assert np.array_equal(x.numpy(), numpy)


def test_views_of_views_and_stale_reads():
    x = arange(3, 4)
    a = x[1:]
    b = a[:, 2:]
    x.zero_()
    b.fill_(5)
    a[0, 0] = 7
    assert x.tolist() == [[0, 0, 0, 0], [7, 0, 5, 5], [0, 0, 5, 5]]
    assert b.tolist() == [[5, 5], [5, 5]]


def test_strides_are_metadata():
    x = arange(2, 3, 4)
    assert x.stride() == (12, 4, 1) and x.is_contiguous()
    p = x.permute(2, 0, 1)
    assert p.stride() == (1, 12, 4) and not p.is_contiguous()
    assert p.contiguous().stride() == (6, 3, 1)
    s = x[1, ::2, 1:]
    assert s.stride() == (8, 1) and s.storage_offset() == 13
    assert x.unsqueeze(0).expand(5, 2, 3, 4).stride() == (0, 12, 4, 1)
    assert x.contiguous() is x


def test_view_refuses_what_strides_cannot_say():
    t = arange(3, 4).t()
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        t.view(12)
    assert t.reshape(12).tolist() == np.arange(12).reshape(3, 4).T.reshape(-1).tolist()
    r = t.reshape(12)
    r.zero_()
    assert t.sum().item() == 66  # reshape made a copy


def test_reshape_strides_agree_with_numpy():
    from ingot.runtime.strides import Layout, contiguous_strides

    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(300):
        shape = tuple(rng.integers(1, 4, rng.integers(1, 4)))
        a = np.zeros(shape, np.int8)
        steps = tuple(slice(None, None, int(rng.integers(1, 3))) for _ in shape)
        v = a[steps].transpose(rng.permutation(len(shape)))
        n = v.size
        new = [(n,), (1, n), tuple(reversed(v.shape)), (*v.shape, 1)]
        if n % 2 == 0:
            new += [(2, n // 2), (n // 2, 2)]
        for shape2 in new:
            got = Layout(v.shape, v.strides, 0).reshaped(tuple(int(d) for d in shape2))
            w = v.view()
            try:
                w.shape = shape2
            except AttributeError:
                assert got is None
                continue
            checked += 1
            assert got is not None
            assert all(g == s for g, s, d in zip(got.strides, w.strides, shape2) if d > 1)
    assert checked > 300
    assert contiguous_strides((2, 0, 3)) == (3, 3, 1)


def test_expanded_views_refuse_writes():
    x = arange(3).expand(2, 3)
    with pytest.raises(RuntimeError, match="more than one element"):
        x.add_(1)


def test_clone_and_copy_are_apart():
    x = arange(3)
    c = x.clone()
    y = ingot.zeros(3)
    y.copy_(x)
    d = x.detach()
    x.fill_(9)
    assert c.tolist() == [0, 1, 2] and y.tolist() == [0, 1, 2] and d.tolist() == [9, 9, 9]
    y.fill_(1)
    assert x.tolist() == [9, 9, 9]


def test_copy_converts_and_broadcasts():
    x = ingot.zeros(2, 3, dtype=ingot.int64)
    x.copy_(ingot.tensor([1.7, 2.2, -3.9]))
    assert x.tolist() == [[1, 2, -3], [1, 2, -3]]
    with pytest.raises(RuntimeError):
        x.copy_(ingot.ones(4))


def test_set_data_exchanges_memory():
    p = ingot.nn.Parameter(ingot.ones(2))
    other = arange(3)
    p.data = other
    assert p.tolist() == [0, 1, 2] and p.requires_grad and p.is_leaf
    other.add_(1)
    assert p.tolist() == [1, 2, 3]
    p.sum().backward()
    assert p.grad.tolist() == [1, 1, 1]


# ---- exposed memory


def test_numpy_shares_memory_both_ways():
    x = arange(3)
    n = x.numpy()
    n[0] = 100
    assert x.tolist() == [100, 1, 2]
    x.add_(1)
    assert n.tolist() == [101, 2, 3]
    x[1] = -5
    assert n.tolist() == [101, -5, 3]
    v = x[1:]
    v.mul_(2)
    assert n.tolist() == [101, -10, 6]
    n[2] = 0
    assert v.tolist() == [-10, 0]


def test_reads_of_exposed_memory_are_snapshots():
    x = arange(3)
    n = x.numpy()
    y = x + 1  # recorded, not run
    n[:] = 50
    assert y.tolist() == [1, 2, 3]
    z = x * 2
    n[:] = 0
    assert z.tolist() == [100, 100, 100]


def test_what_was_pending_before_exposure_keeps_its_value():
    x = arange(3)
    y = x + 1
    n = x.numpy()
    n[:] = 50
    assert y.tolist() == [1, 2, 3]


def test_copies_do_not_see_numpy_writes():
    x = arange(3)
    c, d = x.clone(), copy.deepcopy(x)
    z = ingot.zeros(3)
    z.copy_(x)
    n = x.numpy()
    n[0] = 9
    assert c.tolist() == d.tolist() == z.tolist() == [0, 1, 2]


def test_the_tape_does_not_see_numpy_writes():
    x = arange(3).requires_grad_()
    y = (x * x).sum()
    n = x.detach().numpy()
    n[:] = 100
    y.backward()
    assert x.grad.tolist() == [0, 2, 4]
    assert x.tolist() == [100, 100, 100]


def test_exposure_ends_with_the_array():
    x = arange(3)
    n = x.numpy()
    assert x._share().exposed is not None
    del n
    x.add_(1)
    (x + 1).tolist()
    assert x._share().exposed is None
    assert x.tolist() == [1, 2, 3]


def test_a_slice_of_the_array_keeps_the_exposure():
    x = arange(4)
    n = x.numpy()[1:]
    n[0] = 7
    assert x.tolist() == [0, 7, 2, 3]
    x.zero_()
    assert n.tolist() == [0, 0, 0]


def test_from_numpy_shares_memory():
    a = np.arange(4, dtype=np.float32)
    x = ingot.from_numpy(a)
    y = x * 2
    a[0] = 10
    assert y.tolist() == [0, 2, 4, 6] and x.tolist() == [10, 1, 2, 3]
    x.add_(1)
    assert a.tolist() == [11, 2, 3, 4]
    x[2:].zero_()
    assert a.tolist() == [11, 2, 0, 0]
    assert x[1:3].tolist() == [2, 0]
    c = x.clone()
    a[1] = -1
    assert c.tolist() == [11, 2, 0, 0]


def test_large_exposed_memory_is_read_at_once():
    a = np.ones(2 << 20, np.float32)
    x = ingot.from_numpy(a)
    y = x + 1
    a[:] = 7
    assert y[0].item() == 2
    z = ingot.zeros(1)
    z = x.clone()
    a[:] = 8
    assert z[5].item() == 7


def test_read_only_arrays_refuse_writes():
    a = np.arange(3, dtype=np.float32)
    a.flags.writeable = False
    x = ingot.from_numpy(a)
    assert (x + 1).tolist() == [1, 2, 3]
    with pytest.raises(RuntimeError, match="read-only"):
        x.add_(1)


def test_dlpack_shares_memory():
    x = arange(3)
    n = np.from_dlpack(x)
    assert n.tolist() == [0, 1, 2]
    x.add_(1)
    assert n.tolist() == [1, 2, 3]


def test_array_protocol_and_scalars():
    x = arange(2, 2)
    assert np.array_equal(np.asarray(x), [[0, 1], [2, 3]])
    assert float(x[1, 1]) == 3.0 and int(x[1, 0]) == 2 and bool(x[0, 1])
    assert [10, 20, 30][ingot.tensor(1)] == 20
    with pytest.raises(RuntimeError, match="ambiguous"):
        bool(x)
    with pytest.raises(RuntimeError, match="cannot be converted to Scalar"):
        x.item()
    with pytest.raises(TypeError):
        len(x[0, 0])
    with pytest.raises(TypeError, match="integer tensors"):
        [1, 2][ingot.tensor(1.0)]
    assert ingot.tensor(0.1).item() == np.float32(0.1).item()


def test_numpy_of_a_tensor_that_requires_gradients():
    x = arange(2).requires_grad_()
    with pytest.raises(RuntimeError, match="detach"):
        x.numpy()
    assert x.numpy(force=True).tolist() == [0, 1]


def test_deepcopy_and_pickle():
    x = arange(3).requires_grad_()
    (x * 2).sum().backward()
    y = copy.deepcopy(x)
    assert y.requires_grad and y.grad.tolist() == [2, 2, 2] and y.grad is not x.grad
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)
    z = pickle.loads(pickle.dumps(x))
    assert z.tolist() == x.tolist() and z.requires_grad and z.dtype is x.dtype
    assert pickle.loads(pickle.dumps(ingot.ones(2, dtype=ingot.bfloat16))).dtype is ingot.bfloat16


def test_conversions():
    x = ingot.tensor([1.5, -2.5])
    assert x.to(ingot.int32).tolist() == [1, -2] and x.double().dtype is ingot.float64
    assert x.to("cpu") is x and x.to(ingot.float32) is x and x.to(ingot.float32, copy=True) is not x
    assert x.type() == "ingot.FloatTensor"
    with pytest.raises(RuntimeError, match="CUDA"):
        x.to("cuda")
    with pytest.raises(TypeError):
        x.to(3.5)


def test_reshapes_of_what_is_in_memory_share_it_and_nothing_runs():
    x = ingot.tensor(np.arange(6, dtype=np.float32))
    flushes = stats["flushes"]
    y = x.reshape(2, 3)
    kept, alone = y.clone(), y[None].squeeze(0).detach().clone()
    assert y.tolist() == [[0, 1, 2], [3, 4, 5]] and stats["flushes"] == flushes
    x.numpy()[0] = 9
    assert y[0, 0].item() == 9 and kept[0, 0].item() == 0 and alone[0, 0].item() == 0
    y[1, 2] = 7
    assert x[5].item() == 7 and kept[1, 2].item() == 5
    z = x.view(3, 2)
    z.numpy()[0, 1] = -1
    assert x[1].item() == -1 and y[0, 1].item() == -1 and kept[0, 1].item() == 1


def test_a_reshape_keeps_its_value_where_a_compiled_call_writes_in_place():
    w = ingot.ones(4)

    @ingot.compile
    def step():
        w.add_(1)
        return w.sum()

    step(), step()
    kept = w.reshape(2, 2).clone()
    for _ in range(3):
        step()
    assert kept.tolist() == [[3, 3], [3, 3]] and w.tolist() == [6] * 4
