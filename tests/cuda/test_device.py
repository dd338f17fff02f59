"""Tensors on a GPU: made there, moved there and back, computed with; what is refused."""

import numpy as np
import pytest

import ingot

pytestmark = pytest.mark.usefixtures("cuda")


def test_where_tensors_are():
    x = ingot.arange(6.0).reshape(2, 3)
    assert x.device == ingot.device("cpu") and not x.is_cuda
    for y in (x.cuda(), x.to("cuda"), x.to(ingot.device("cuda", 0)), x.cuda(0), x.to("cuda:0", non_blocking=True), x.to(0)):
        assert y.device == ingot.device("cuda", 0) and y.is_cuda and str(y.device) == "cuda:0"
        np.testing.assert_array_equal(y.cpu().numpy(), x.numpy())
    assert y.cuda() is y and y.to("cuda") is y and x.cpu() is x
    assert y.to(x) is not y and y.to(x).device == x.device
    assert x.to("cuda", ingot.float64).dtype is ingot.float64
    assert ingot.ones_like(y).device == y.device and y.new_zeros(2).device == y.device and (y + 1).device == y.device


@pytest.mark.parametrize(
    "make",
    [
        lambda **k: ingot.zeros(2, 3, **k), lambda **k: ingot.full((3,), 2, **k), lambda **k: ingot.arange(5, **k),
        lambda **k: ingot.tensor([[1, 2], [3, 4]], **k), lambda **k: ingot.tensor(2.5, **k), lambda **k: ingot.eye(3, **k),
        lambda **k: ingot.linspace(0, 1, 7, **k), lambda **k: ingot.empty(0, 4, **k), lambda **k: ingot.as_tensor(np.ones(3), **k),
        lambda **k: ingot.tril_indices(3, 3, **k), lambda **k: ingot.tensor([1 + 2j], **k),
    ],
)  # fmt: skip
def test_what_is_made_there(make):
    there, here = make(device="cuda"), make()
    assert there.device.type == "cuda" and there.dtype is here.dtype
    np.testing.assert_array_equal(there.cpu().numpy(), here.numpy())


def test_blocks_and_the_default_device():
    with ingot.device("cuda"):
        assert ingot.zeros(2).is_cuda and ingot.nn.Linear(2, 3).weight.is_cuda
    assert not ingot.zeros(2).is_cuda
    ingot.set_default_device("cuda")
    try:
        assert ingot.randn(2).is_cuda
    finally:
        ingot.set_default_device(None)


def test_operations_and_gradients_are_those_of_the_cpu():
    x, w = ingot.randn(5, 4), ingot.randn(4, 3)

    def f(x, w):
        h = (x @ w).tanh()
        return (h.softmax(1) * h[:, [0, 2, 1]]).sum(), h.argmax(1)

    a, b = w.clone().requires_grad_(), w.cuda().requires_grad_()
    (la, ia), (lb, ib) = f(x, a), f(x.cuda(), b)
    la.backward(), lb.backward()
    np.testing.assert_allclose(lb.item(), la.item(), rtol=1e-6)
    np.testing.assert_allclose(b.grad.cpu().numpy(), a.grad.numpy(), rtol=1e-5, atol=1e-6)
    assert b.grad.is_cuda and ib.tolist() == ia.tolist()
    assert repr(ingot.ones(2, device="cuda")) == "tensor([1., 1.], device='cuda:0')"


def test_in_place_and_views():
    x = ingot.zeros(3, 4, device="cuda")
    v = x[1:, ::2]
    v += 1
    x[0].fill_(7)
    x[2, 1] = ingot.tensor(5.0)
    x[:, 3].copy_(ingot.arange(3.0))
    want = np.zeros((3, 4), np.float32)
    want[1:, ::2] += 1
    want[0], want[2, 1], want[:, 3] = 7, 5, np.arange(3)
    np.testing.assert_array_equal(x.cpu().numpy(), want)
    assert v.is_cuda and v.cpu().tolist() == want[1:, ::2].tolist()


def test_numbers_of_the_host_mix_with_tensors_there():
    y = ingot.arange(3.0, device="cuda")
    s = ingot.tensor(2.0, requires_grad=True)
    z = (y * s + ingot.tensor(1)).sum()
    z.backward()
    assert z.is_cuda and z.item() == 9.0 and s.grad.device.type == "cpu" and s.grad.item() == 3.0


MADE = [lambda: ingot.arange(3.0), lambda: ingot.ones(3), lambda: ingot.tensor([1.0, 2.0, 3.0]), lambda: ingot.arange(3) * 2.0]


@pytest.mark.parametrize("made", MADE)
def test_two_devices_are_refused(made):
    y = ingot.arange(3.0, device="cuda")
    with pytest.raises(RuntimeError, match="same device, but found at least two devices, cuda:0 and cpu!"):
        y + made()
    flushed = made()
    flushed.numpy()
    with pytest.raises(RuntimeError, match="same device, but found at least two devices, cuda:0 and cpu!"):
        flushed * y


def test_two_gpus(other):
    a, b = ingot.ones(3, device="cuda:0"), ingot.arange(3.0, device="cuda:1")
    with pytest.raises(RuntimeError, match="same device, but found at least two devices, cuda:0 and cuda:1!"):
        a + b
    assert (a + b.to("cuda:0")).tolist() == [1.0, 2.0, 3.0]
    assert (b + a.to(b.device)).device.index == 1
    with ingot.cuda.device(1):
        assert ingot.zeros(1, device="cuda").device.index == 1 and ingot.cuda.current_device() == 1
    assert ingot.cuda.current_device() == 0
    x = ingot.ones(2, device="cuda:0", requires_grad=True)
    (x.to("cuda:1") * 3).sum().backward()
    assert x.grad.device.index == 0 and x.grad.tolist() == [3.0, 3.0]


def test_what_needs_the_host():
    y = ingot.ones(2, device="cuda")
    with pytest.raises(TypeError, match=r"can't convert cuda:0 device type tensor to numpy\. Use Tensor\.cpu\(\)"):
        y.numpy()
    with pytest.raises(TypeError, match="can't convert cuda:0"):
        np.asarray(y)
    assert y.numpy(force=True).tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="invalid device ordinal: there is no cuda:9"):
        ingot.zeros(1, device="cuda:9")


def test_random_numbers_are_those_of_the_cpu():
    for make in (ingot.rand, ingot.randn, lambda *s, **k: ingot.randint(9, s, **k), lambda *s, **k: ingot.randperm(s[0], **k)):
        ingot.manual_seed(3)
        want = make(7, 5).numpy()
        np.testing.assert_allclose(make(7, 5, device="cuda").cpu().numpy(), want, rtol=1e-6)
    g, h = ingot.Generator(device="cuda").manual_seed(1), ingot.Generator().manual_seed(1)
    assert g.device.type == "cuda"
    np.testing.assert_array_equal(ingot.rand(4, generator=g, device="cuda").cpu().numpy(), ingot.rand(4, generator=h).numpy())
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found 'cuda'"):
        ingot.rand(4, generator=g)
    state = ingot.cuda.get_rng_state()
    a = ingot.rand(3, device="cuda")
    ingot.cuda.set_rng_state(state)
    assert a.tolist() == ingot.rand(3, device="cuda").tolist() == (ingot.cuda.manual_seed(3), a.tolist())[1]


def test_a_failed_check_is_raised_at_the_next_synchronisation():
    x = ingot.arange(4.0, device="cuda")
    y = x[ingot.tensor([1, 9], device="cuda")]
    with pytest.raises(IndexError, match="out of range"):
        y.cpu()
    assert (x + 1).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_what_functions_make_for_themselves_goes_where_it_is_needed():
    a = ingot.randn(3, 3)
    p = a @ a.T + 3 * ingot.eye(3)
    for f in (
        ingot.linalg.svdvals, ingot.linalg.eigvalsh, ingot.logdet, ingot.cholesky_inverse,
        lambda x: ingot.linalg.matrix_norm(x, 2), lambda x: x.unfold(1, 2, 1), lambda x: ingot.histc(x, 4),
    ):  # fmt: skip
        got = f(p.cuda())
        assert got.is_cuda
        np.testing.assert_allclose(got.cpu().numpy(), f(p).numpy(), rtol=1e-4, atol=1e-5)


def test_a_kernel_that_is_launched_with_a_number_and_with_an_address():
    x = ingot.randn(3, 4)
    a, b = x.clone().requires_grad_(), x.cuda().requires_grad_()
    for t in (a, b):
        v, m = ingot.var_mean(t, 1)
        (v.sum() + m.sum()).backward()
    np.testing.assert_allclose(b.grad.cpu().numpy(), a.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_sparse_tensors_there():
    x = ingot.randn(4, 3).relu()
    for f in (
        lambda x: ingot.sparse.mm(x.to_sparse(), x.T), lambda x: (x.to_sparse() + x.to_sparse()).to_dense(),
        lambda x: x.to_sparse_csr() @ x.T, lambda x: ingot.sparse.sum(x.to_sparse(), 0).to_dense(),
        lambda x: ingot.sparse.softmax(x.to_sparse(), 1).to_dense(),
    ):  # fmt: skip
        got = f(x.cuda())
        assert got.is_cuda
        np.testing.assert_allclose(got.cpu().numpy(), f(x).numpy(), rtol=1e-5, atol=1e-6)
    assert x.cuda().to_sparse().device.type == "cuda"


def test_devices_are_not_mixed_once_there_is_a_subclass():
    class Other(ingot.Tensor):
        pass

    assert type(ingot.ones(3).as_subclass(Other) + 1) is Other
    with pytest.raises(RuntimeError, match="at least two devices, cuda:0 and cpu!"):
        ingot.ones(3, device="cuda") + ingot.ones(3)
