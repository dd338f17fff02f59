"""ingot.compile: what a function adds to lists, deques and the like outside, without looking at them, each call adds; one trace does."""

from collections import defaultdict, deque

import pytest

import ingot
from ingot import nn
from tests.support.stateful import check, tensor

X = [1.0, 2.0, 3.0]


def adding(act, held):
    """A program whose calls do `act(held, x)`."""

    def make(compile):
        h, scale = held(), iter([1.0, 2.0, 3.0, 4.0, 5.0])
        f = compile(lambda x: (act(h, x), x + 1)[1])
        return lambda: f(tensor() * next(scale)), h

    return make


def both(h, x):
    y = x * 2
    h += [y]
    h.insert(0, (y, 1))


CASES = {
    "append": (lambda h, x: h.append(x * 2), list),
    "an_argument": (lambda h, x: h.append(x), list),
    "numbers": (lambda h, x: h.extend([3, "s", x.shape[0], x.sum().item()]), list),
    "nested": (lambda h, x: h.append({"x": [x * 2, (x, 1.5)]}), list),
    "in_many_ways": (both, list),
    "deque": (lambda h, x: (h.append(x.sum()), h.appendleft(x * 2)), lambda: deque(maxlen=3)),
    "cleared_first": (lambda h, x: (h.clear(), h.append(x * 2), h.append(3)), list),
    "in_a_dict": (lambda h, x: h["a"].append(x * 2), lambda: {"a": [], "b": 1}),
    "in_a_list": (lambda h, x: (h[0].append(x), h[1].append(1)), lambda: [[], []]),
    "in_a_defaultdict": (lambda h, x: h["a"].append(x * 2), lambda: defaultdict(list)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_what_is_added(case):
    check(adding(*case), 5)


def test_one_trace_is_enough():
    class Net(nn.Module):
        log = []  # noqa: RUF012

        def __init__(self):
            super().__init__()
            self.fc, self.history = nn.Linear(3, 1), []

        def forward(self, x):
            y = self.fc(x)
            self.history.append(y)
            self.log.append(y.shape)
            return y

    net, losses = Net(), []
    opt = ingot.optim.SGD(net.parameters(), lr=0.1)

    @ingot.compile
    def step(x):
        opt.zero_grad()
        loss = net(x).sum()
        loss.backward()
        opt.step()
        losses.append(loss.detach())
        return loss

    got = [step(ingot.ones(2, 3)).item() for _ in range(5)]
    assert [x.item() for x in losses] == got and len(net.history) == len(Net.log) == 5 and step.stats["traces"] == 1
    assert net.history[3].sum().item() == got[3] != got[4]
    losses = [7]  # the function finds another list
    step(ingot.ones(2, 3))
    assert losses[0] == 7 and len(losses) == 2


@pytest.mark.parametrize("look", [len, bool, list, lambda h: h[-1:], lambda h: [1] + h, lambda h: 1 in h, lambda h: h == [1]])
def test_a_list_that_is_looked_at_is_refused(look):
    held = [1]

    @ingot.compile
    def f(x):
        held.append(x * 2)
        return x + (2.0 if look(held) else 1.0)

    with pytest.raises(ingot.LeakedTensorError, match="f: a compiled function adds tensors to a list that it also looks at"):
        f(tensor())
    assert held == [1]


def test_what_a_failed_call_has_added_stays():
    held, limit = [], [2]

    @ingot.compile
    def f(x, i):
        held.append(len(x))
        if len(x) > limit[0]:
            raise ValueError
        return x[i]

    with pytest.raises(ValueError):
        f(tensor(), ingot.tensor([0]))
    limit[0] = 5
    with pytest.raises(IndexError):
        f(tensor(), ingot.tensor([7]))
    f(tensor(), ingot.tensor([0]))
    assert held == [3, 3, 3]


def test_methods_that_were_taken_from_a_list():
    held = []
    push = held.append
    f = ingot.compile(lambda x: (push(1), x)[1])
    f(tensor()), f(tensor())
    assert held == [1, 1]


def test_numbers_of_one_place_that_are_put_in_others():
    table, ring = {}, deque([2, 2], maxlen=2)
    state = type("State", (), {"n": 0})()

    @ingot.compile
    def f(x):
        table["n"] = state.n
        ring.append(state.n)
        state.n += 1
        return x * len(ring)

    for k in range(6):
        f(tensor())
        assert table == {"n": k} and ring[-1] == k and type(ring[-1]) is int


def test_objects_in_lists_of_classes():
    class Neuron(nn.Module):
        known = []  # noqa: RUF012

        def __init__(self):
            super().__init__()
            self.known.append(self)
            self.register_buffer("mem", tensor())

        def forward(self, x):
            for n in self.known:
                n.mem = ingot.zeros_like(n.mem)
            self.mem = self.mem + x
            return self.mem * 2

    other, n = Neuron(), Neuron()
    f = ingot.compile(n)
    assert [f(tensor()).tolist() for _ in range(3)] == [[2, 4, 6]] * 3
    assert n.mem.tolist() == [1, 2, 3] and other.mem.tolist() == [0, 0, 0]


@pytest.mark.parametrize("put", [lambda h, v: h.__setitem__("a", [v]), lambda h, v: h["a"].__setitem__(0, v)], ids=["list", "item"])
def test_numbers_in_tuples_in_lists_are_those_of_the_call(put):
    held = {"a": [(1, (0.5, "s"))]}
    f = ingot.compile(lambda x: x * held["a"][0][0] + held["a"][0][1][0])
    for k in range(8):
        put(held, (k, (1.5 * k, "s")))
        assert f(tensor()).tolist() == [k * v + 1.5 * k for v in X]
    assert f.stats["traces"] == 2
    put(held, (2.0, (1, "t")))  # of other kinds
    assert f(tensor()).tolist() == [3, 5, 7]
