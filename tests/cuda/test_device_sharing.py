"""Memory of a GPU that others see: DLPack, `__cuda_array_interface__`, and CUDA graphs, which work in it at each replay."""

import numpy as np
import pytest

import ingot

pytestmark = pytest.mark.usefixtures("cuda")


class Other:
    """Another library's tensor, which has ours by DLPack alone."""

    def __init__(self, t):
        self.t = t
        self.streams = []

    def __dlpack_device__(self):
        return self.t.__dlpack_device__()

    def __dlpack__(self, stream=None, **options):
        self.streams.append(stream)
        return self.t.__dlpack__(stream=stream, **options)


@pytest.mark.parametrize("dtype", [ingot.float32, ingot.int64, ingot.bfloat16, ingot.float16, ingot.bool, ingot.complex64])
def test_dlpack_shares_memory(dtype):
    x = ingot.arange(6, device="cuda").reshape(2, 3).to(dtype)
    assert x.__dlpack_device__() == (2, 0)
    other = Other(x)
    y = ingot.from_dlpack(other)
    assert y.device == x.device and y.dtype is dtype and y.data_ptr() == x.data_ptr() and y.tolist() == x.tolist()
    assert other.streams == [ingot.cuda.current_stream().cuda_stream]
    y[0, 1] = 0
    assert x.tolist() == y.tolist()  # a write to one is seen by the other
    x.fill_(1)
    assert y.tolist() == ingot.ones(2, 3, dtype=dtype).tolist()
    z = ingot.from_dlpack(x, copy=True)
    assert z.data_ptr() != x.data_ptr() and z.tolist() == x.tolist()


def test_dlpack_of_views_and_what_it_refuses():
    x = ingot.arange(12.0, device="cuda").reshape(3, 4)
    for view in (x.T, x[1:, ::2], x[:, 1]):
        got = ingot.from_dlpack(view)
        assert got.tolist() == view.tolist() and got.stride() == view.stride()
    with pytest.raises(BufferError, match="require gradient"):
        ingot.ones(1, device="cuda", requires_grad=True).__dlpack__()
    with pytest.raises(BufferError, match="lives on the device"):
        x.__dlpack__(dl_device=(1, 0))
    with pytest.raises(BufferError, match="is no stream"):
        x.__dlpack__(stream=0)
    assert ingot.from_dlpack(x, device="cpu").device.type == "cpu"


def test_the_consumer_s_stream_waits(standin):
    s = ingot.cuda.Stream()
    x = ingot.arange(3.0, device="cuda") * 2
    x.__dlpack__(stream=s.cuda_stream)
    assert standin._objects[s.cuda_stream].waiting
    s.synchronize()


def test_cuda_array_interface_both_ways():
    x = ingot.arange(6.0, device="cuda").reshape(2, 3)
    told = x.T.__cuda_array_interface__
    assert told["shape"] == (3, 2) and told["strides"] == (4, 12) and told["typestr"] == "<f4" and told["data"] == (x.data_ptr(), False)
    assert told["version"] == 3 and told["stream"] == ingot.cuda.current_stream().cuda_stream

    class Foreign:
        __cuda_array_interface__ = x.__cuda_array_interface__

    y = ingot.as_tensor(Foreign())
    assert y.data_ptr() == x.data_ptr() and y.tolist() == x.tolist()
    y += 1
    assert x.tolist() == y.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    with pytest.raises(AttributeError, match="on non-CUDA tensor type"):
        ingot.ones(1).__cuda_array_interface__  # noqa: B018
    with pytest.raises(RuntimeError, match="requires grad"):
        ingot.ones(1, device="cuda", requires_grad=True).__cuda_array_interface__  # noqa: B018


def test_a_graph_reads_what_its_inputs_hold_now():
    x, w = ingot.arange(4.0, device="cuda"), ingot.full((4,), 2.0, device="cuda")
    g = ingot.cuda.CUDAGraph()
    with ingot.cuda.graph(g):
        y = (x * w).cumsum(0)
        w += 1
    results = []
    for k in range(3):
        x.copy_(ingot.full((4,), float(k)))
        g.replay()
        results.append(y.clone())
    assert [t.tolist()[-1] for t in results] == [0.0, 12.0, 32.0]  # w grew at each replay
    assert w.tolist() == [5.0] * 4
    g.reset()


def test_a_training_step_in_a_graph():
    def made():
        ingot.manual_seed(0)
        m = ingot.nn.Linear(3, 2).cuda()
        return m, ingot.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)

    r = np.random.default_rng(0)
    data = [ingot.tensor(r.standard_normal((4, 3)).astype("f")).cuda() for _ in range(4)]

    def step(m, o, x):
        o.zero_grad()
        loss = (m(x) ** 2).sum()
        loss.backward()
        o.step()
        return loss

    m, o = made()
    want = [step(m, o, x).item() for x in data]
    m, o = made()
    static = ingot.zeros(4, 3, device="cuda")
    g = ingot.cuda.CUDAGraph()
    start = {k: v.clone() for k, v in m.state_dict().items()}
    step(m, o, static)  # makes the optimizer's state
    with ingot.cuda.graph(g):
        loss = step(m, o, static)
    m.load_state_dict(start)
    for s in o.state.values():
        s["momentum_buffer"].zero_()
    got = []
    for x in data:
        static.copy_(x)
        g.replay()
        got.append(loss.item())
    np.testing.assert_allclose(got, want, rtol=1e-5)
