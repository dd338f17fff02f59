"""ingot.compile: tensors and objects that move between attributes, items and names stand after each call where they stand eagerly.

So do attributes of the tensors that a call makes or is given.
"""

import pytest

import ingot
from ingot import nn
from tests.support.stateful import check, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


class Two:
    def __init__(self):
        self.a, self.b, self.n = tensor(), tensor(values=[4.0, 5.0, 6.0]), 0


def which(o, *known):
    """Which of the known objects stand at `a` and `b`."""
    return [next(i for i, k in enumerate(known) if k is x) for x in (o.a, o.b)]


@program
def swapped_and_one_is_read(compile):
    o = Two()
    a, b = o.a, o.b

    def f(x):
        o.a, o.b = o.b, o.a
        return o.b * x

    f = compile(f)
    return lambda: (f(tensor()), which(o, a, b)), vars(o)


@program
def swapped_and_none_is_read(compile):
    o = Two()
    a, b = o.a, o.b

    def f(x):
        o.a, o.b = o.b, o.a
        return x + 1

    f = compile(f)
    return lambda: (f(tensor()), which(o, a, b)), vars(o)


@program
def swapped_by_turns_and_written(compile):
    o = Two()

    def f(x):
        o.n += 1
        if o.n % 3:
            o.a, o.b = o.b, o.a
        o.a.mul_(x)
        return o.a - o.b

    f = compile(f)
    return lambda: f(tensor()), vars(o)


@program
def buffers_that_take_turns(compile):
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("cur", tensor())
            self.register_buffer("nxt", ingot.zeros(3))

        def forward(self, x):
            self.nxt.copy_(self.cur * 0.5 + x)
            self.cur, self.nxt = self.nxt, self.cur
            return self.cur.sum()

    m = Field()
    cur, nxt = m.cur, m.nxt
    f = compile(m)
    return lambda: (f(tensor()), m.cur is cur, m.nxt is nxt), m


@program
def a_window_of_three(compile):
    o = Two()
    o.c = ingot.zeros(3)

    def f(x):
        o.a, o.b, o.c = o.b, o.c, x * 2
        return o.a + o.c

    f = compile(f)
    calls = []

    def call():
        calls.append(o.c)
        return f(tensor(values=[len(calls), 0, 1])), o.b is calls[-1]

    return call, vars(o)


@program
def written_through_another_place(compile):
    o = Two()

    def f(x):
        o.n += 1
        o.b.mul_(0.5)
        if o.n > 2:
            o.a = o.b
        return o.a * x + o.n

    f = compile(f)
    return lambda: f(tensor()), vars(o)


@program
def places_that_hold_the_same_from_some_call_on(compile):
    o = Two()
    o.c = tensor(values=[7.0, 8.0, 9.0])
    known = o.a, o.b, o.c

    def f(x):
        o.a, o.b, o.c = o.c, o.a, o.c
        return o.a + x

    f = compile(f)
    return lambda: (f(tensor()), which(o, *known), o.c is known[2]), vars(o)


@program
def networks_that_change_places(compile):
    class Agent(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, x):
            self.a, self.b = self.b, self.a
            return self.a(x) - 2 * self.b(x)

    m = Agent()
    a, b = m.a, m.b
    f = compile(m)
    return lambda: (f(tensor()), which(m, a, b)), m


@program
def lists_that_change_places(compile):
    o = Two()
    o.a, o.b = a, b = [tensor()], [tensor()]

    def f(x):
        o.a, o.b = o.b, o.a
        o.a[0] = o.a[0] * 2
        return o.a[0] + x

    f = compile(f)
    return lambda: (f(tensor()), which(o, a, b)), vars(o)


@program
def lists_of_equal_numbers_that_change_places(compile):
    o = Two()
    o.a, o.b = a, b = [1, 2], [1, 2]

    def f(x):
        o.a, o.b = o.b, o.a
        return x * o.a[1]

    f = compile(f)
    return lambda: (f(tensor()), which(o, a, b)), a, b


@program
def one_deleted_and_one_made(compile):
    o = Two()

    def f(x):
        y = o.a * x
        del o.a
        o.c = [1]
        return y

    f = compile(f)

    def call():
        out, left = f(tensor()), sorted(vars(o))
        o.a = tensor()
        del o.c
        return out, left

    return call, vars(o)


@program
def parameters_that_change_places(compile):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(tensor()), nn.Parameter(tensor(values=[0.5, 0.25, 2.0]))

        def forward(self, x):
            self.a, self.b = self.b, self.a
            return (self.a * x - self.b).square().sum()

    m = M()
    a, b = m.a, m.b
    o = ingot.optim.SGD(m.parameters(), lr=0.01, momentum=0.9)
    f = compile(m)

    def call():
        o.zero_grad()
        loss = f(tensor())
        loss.backward()
        o.step()
        return loss, which(m, a, b), a.grad, b.grad

    return call, m, o


@program
def leaves_that_change_places(compile):
    o = Two()
    o.a.requires_grad_(), o.b.requires_grad_()
    a, b = o.a, o.b

    def f(x):
        o.a, o.b = o.b, o.a
        return (o.a * x).sum()

    f = compile(f)

    def call():
        f(tensor()).backward()
        return a.grad, b.grad, which(o, a, b)

    return call, vars(o)


@program
def leaves_that_change_places_and_get_gradients_inside(compile):
    o = Two()
    o.a.requires_grad_(), o.b.requires_grad_()
    a, b = o.a, o.b

    def f(x):
        o.a, o.b = o.b, o.a
        loss = (o.a * x).sum()
        loss.backward()
        return loss, o.a.grad * 2

    f = compile(f)
    return lambda: (f(tensor()), a.grad, b.grad, which(o, a, b)), vars(o)


@program
def parameters_that_change_places_in_a_step(compile):
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(tensor()), nn.Parameter(tensor(values=[0.5, 0.25, 2.0]))

    m = M()
    a, b = m.a, m.b
    o = ingot.optim.Adam(m.parameters(), lr=0.01)

    def f(x):
        m.a, m.b = m.b, m.a
        o.zero_grad()
        loss = (m.a * x - m.b).square().sum()
        loss.backward()
        o.step()
        return loss

    f = compile(f)
    return lambda: (f(tensor()), which(m, a, b)), m, o


@program
def gradients_through_what_has_moved(compile):
    o, x = Two(), tensor(True)

    def f(x):
        o.a, o.b = o.b.detach(), o.a
        o.b = o.b * x
        return (o.a * o.b).sum()

    f = compile(f)

    def call():
        o.a, o.b, x.grad = o.a.detach(), o.b.detach(), None
        f(x).backward()
        return x.grad

    return call, vars(o)


@program
def attributes_of_what_is_returned(compile):
    count = [0]

    def f(x):
        count[0] += 1
        y, z = x * 2, x + 1
        y.tag, y.total, y.parts = "y", z.sum(), {"n": x.shape[0], "z": [z, 1.5]}
        z.count = count[0]
        return y, z

    f = compile(f)
    sizes = iter(range(1, 100))
    return lambda: [(t, vars(t)) for t in f(ingot.ones(next(sizes)))], count


@program
def attributes_of_what_is_given_and_kept(compile):
    o = Two()

    def f(x):
        o.a = x + 1
        o.a.mark, x.seen = 5, o.b
        return o.a * 2

    f = compile(f)

    def call():
        x = tensor()
        return f(x), x.seen is o.b, o.a.mark

    return call, o.b


@program
def attributes_that_are_objects(compile):
    class Info:
        pass

    def f(x):
        y = x * 2
        y.info = Info()
        return y

    f, before = compile(f), []

    def call():
        y = f(tensor())
        before.append(y.info)
        return y, sum(i is y.info for i in before)

    return (call,)


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make, 6)


def test_buffers_that_take_turns_are_compiled_for_each():
    class Field(nn.Module):
        def __init__(self):
            super().__init__()
            self.cur, self.nxt = tensor(), tensor()

        def forward(self, x):
            self.cur, self.nxt = self.nxt, self.cur
            return self.cur + x

    f = ingot.compile(Field())
    for _ in range(8):
        f(tensor())
    assert f._compiled.stats["traces"] <= 3
