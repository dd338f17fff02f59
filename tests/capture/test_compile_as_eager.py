"""What a compiled function leaves behind is what the function itself leaves: shapes of arguments, histories, state, constants."""

import numpy as np
import pytest

import ingot
from ingot import nn


class Square(ingot.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return a * a

    @staticmethod
    def backward(ctx, grad):
        (a,) = ctx.saved_tensors
        return 2 * a * grad


@pytest.mark.parametrize(
    "shape, call",
    [
        ((2,), lambda v: v.unsqueeze_(0)),
        ((1, 2), lambda v: v.squeeze_()),
        ((2, 3), lambda v: v.t_()),
        ((2, 3), lambda v: v.transpose_(0, 1)),
        ((2, 3), lambda v: v.swapaxes_(0, 1).unsqueeze_(1)),
        ((2, 3), lambda v: v.t_().mul_(2)),
        ((2, 3), lambda v: v.mul_(2).t_().sum(0)),
        ((2, 3), lambda v: (v[0], v.t_()[1:], v.add_(1)[0])),
    ],
)
def test_an_argument_turns_into_a_view_of_itself(shape, call):
    def made():
        return ingot.arange(6.0)[: int(np.prod(shape))].reshape(shape).clone()

    compiled = ingot.compile(call)
    for _ in range(3):
        x, y = made(), made()
        views = x[..., 0], y[..., 0]
        results = compiled(x), call(y)
        assert x.shape == y.shape and x.stride() == y.stride() and x.tolist() == y.tolist()
        assert views[0].tolist() == views[1].tolist()
        first, second = (r if isinstance(r, tuple) else (r,) for r in results)
        assert [a.tolist() for a in first] == [a.tolist() for a in second]
        for a, b in zip(first, second):  # they share what they shared
            a.add_(1), b.add_(1)
        assert x.tolist() == y.tolist()


def test_a_view_in_place_keeps_the_history_of_an_argument():
    w = ingot.ones(2, 3, requires_grad=True)
    for _ in range(2):
        x = w * 2
        ingot.compile(lambda v: v.t_())(x)
        w.grad = None
        (x * ingot.arange(6.0).reshape(3, 2)).sum().backward()
        assert w.grad.tolist() == [[0.0, 4.0, 8.0], [2.0, 6.0, 10.0]]


def test_a_tensor_from_outside_cannot_turn_into_a_view():
    v = ingot.ones(2)
    with pytest.raises(ingot.CaptureError, match="use the operation without the underscore"):
        ingot.compile(lambda: v.unsqueeze_(0))()
    assert v.shape == (2,)


@pytest.mark.parametrize("f", [Square.apply, ingot.inverse, lambda a: ingot.linalg.qr(a)[0], lambda a: ingot.linalg.eigh(a)[0]])
def test_what_a_backward_has_released_is_still_a_value(f):
    def step(a):
        a = a.clone().requires_grad_()
        y = f(a)
        y.sum().backward()
        return y, a.grad

    a = ingot.tensor([[2.0, 1.0], [1.0, 3.0]])
    y, grad = ingot.compile(step)(a)
    expected = step(a)
    assert np.allclose(y.detach().numpy(), expected[0].detach().numpy()) and np.allclose(grad.numpy(), expected[1].numpy())
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


@pytest.mark.parametrize("settings", [{}, {"maximize": True}, {"weight_decay": 0.1}])
def test_the_first_momentum_is_not_dampened(settings):
    def train(compiled):
        p, q = nn.Parameter(ingot.tensor([1.0])), nn.Parameter(ingot.tensor([2.0]))
        optimizer = ingot.optim.SGD([p, q], lr=0.1, momentum=0.9, dampening=0.5, **settings)

        def step(x, both):
            optimizer.zero_grad()
            ((p * x).sum() + (q.sum() if both else 0)).backward()
            optimizer.step()

        f = ingot.compile(step) if compiled else step
        seen = []
        for i in range(5):
            f(ingot.tensor([2.0]), i > 1)
            seen += [p.item(), q.item()]
        return seen

    assert train(True) == pytest.approx(train(False), rel=1e-6)


def test_constants_have_values_while_a_function_is_compiled():
    x = ingot.arange(9.0).reshape(3, 3)
    for f in (
        lambda x: x[ingot.tensor([True, False, True])],
        lambda x: x[[True, False, True]],
        lambda x: x[ingot.triu(ingot.ones(3, 3, dtype=ingot.bool))],
        lambda x: ingot.masked_select(x, ingot.eye(3, dtype=ingot.bool)),
        lambda x: x[ingot.tensor([0, 2, 0]).nonzero()[:, 0]],
        lambda x: ingot.repeat_interleave(x, ingot.tensor([1, 0, 2]), dim=0),
        lambda x: x * ingot.tensor(3.0).item() if ingot.tensor([1, 2]).sum() == 3 else x,
        lambda x: nn.utils.rnn.pad_packed_sequence(nn.utils.rnn.pack_padded_sequence(x.unsqueeze(-1), [3, 2, 1]))[0],
    ):
        assert ingot.compile(f)(x).tolist() == f(x).tolist()


def test_what_depends_on_arguments_or_random_numbers_has_no_value():
    for f in (lambda x: x.sum().item() > 2, lambda x: int(ingot.rand(()).item()), lambda x: x if (x - x + x > 1).any() else -x):
        with pytest.raises(ingot.CaptureError, match="not known"):
            ingot.compile(f)(ingot.arange(3.0))


@pytest.mark.parametrize("source", ["uint8", "int8", "bool", "int16", "float16", "bfloat16", "int32", "float32", "int64", "float64"])
def test_bits_are_read_as_another_dtype(source):
    numbers = np.random.default_rng(0).integers(0, 256, (3, 16), np.uint8)
    x = ingot.from_numpy(numbers % 2 if source == "bool" else numbers).clone().view(getattr(ingot, source))
    for target in (ingot.uint8, ingot.int16, ingot.float16, ingot.int32, ingot.float32, ingot.int64, ingot.float64):
        expected = x.numpy().view(target.numpy)
        for f in (ingot.Tensor.view, ingot.compile(ingot.Tensor.view)):
            y = f(x, target)
            assert y.dtype is target and np.array_equal(y.numpy().view(np.uint8), expected.view(np.uint8))
    with pytest.raises(RuntimeError, match="must be divisible"):
        ingot.ones(3, dtype=ingot.float32).view(ingot.int64)
    with pytest.raises(RuntimeError, match="cannot be 0"):
        ingot.ones((), dtype=ingot.float32).view(ingot.int16)


def test_an_in_place_write_between_forward_and_backward_is_an_error():
    w = nn.Parameter(ingot.ones(2))
    buffer = ingot.ones(2)

    def exp(x):
        return (x * w).exp()

    def kept(x):
        y = (x * w).exp()
        return y, y[:1]

    def write_argument(f, x):
        y = f(x)
        x.add_(1)
        return y

    def write_captured(f, x):
        y = f(x)
        with ingot.no_grad():
            w.add_(1)
        return y

    def write_buffer(f, x):
        y = f(x)
        buffer.mul_(2)
        return y

    def write_result(f, x):
        return f(x).mul_(2)

    def write_view(f, x):
        y, part = f(x)
        part.mul_(2)
        return y

    cases = [
        (lambda x: x * x, write_argument), (lambda x: x * w, write_argument), (lambda x: x * w, write_captured),
        (lambda x: x * buffer, write_buffer), (exp, write_result), (kept, write_view),
    ]  # fmt: skip
    for fn, use in cases:
        for f in (fn, ingot.compile(fn)):
            for _ in range(2):
                x = ingot.ones(2, requires_grad=True) * 2
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    use(f, x).sum().backward()
                y = f(x)  # untouched, it works
                (y[0] if isinstance(y, tuple) else y).sum().backward()


def test_what_a_compiled_call_itself_writes_is_no_error():
    bn, x = nn.BatchNorm1d(2), ingot.rand(4, 2, requires_grad=True)
    f = ingot.compile(bn)
    for _ in range(2):
        f(x).sum().backward()
    assert bn.num_batches_tracked.item() == 2
