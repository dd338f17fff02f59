"""ingot.compile: attributes, containers and variables end as the eager function leaves them, after errors and repeated traces too."""

import numpy as np
import pytest

import ingot
from ingot import nn
from tests.support.stateful import Counting, check, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


@program
def attributes_of_a_module(compile):
    m = Counting()
    f = compile(m)
    return lambda: f(tensor()), m


@program
def attributes_that_come_and_go(compile):
    class Net(nn.Module):
        def forward(self, x):
            self.tmp = 3
            self.list = [1, 2]
            y = x * self.tmp
            del self.tmp
            self.list.append(4)
            return y

    m = Net()
    f = compile(m)
    return lambda: f(tensor()), m


@program
def attributes_where_an_argument_is_captured_too(compile):
    m = Counting()

    def f(x):
        y = m(x)
        m.extra = m.n
        with ingot.no_grad():
            x.mul_(2)
        return y + m.w

    f = compile(f)

    def call():
        out = f(m.w)
        del m.extra
        return out

    return call, m


@program
def deleted_where_an_argument_is_captured_too(compile):
    class Box:
        pass

    box, w = Box(), tensor()
    box.items, box.table, box.once = [1], {"a": 1, "b": 2}, 5
    box.numbers = np.zeros(2)

    def f(x):
        box.items.append(len(box.items))
        box.table["c"] = box.table.pop("a")
        box.numbers[0] += 1
        del box.once
        return x + w

    f = compile(f)

    def call():
        out = f(w)
        seen = dict(vars(box), numbers=box.numbers.tolist())
        box.once, box.table["a"] = 5, 1
        return out, seen

    return call, w


@program
def an_error_in_the_middle(compile):
    m = Counting()

    def f(x):
        y = m(x)
        if m.n == 2:
            raise KeyError("second")
        return y

    f = compile(f)
    return lambda: f(tensor()), m


@program
def an_index_out_of_range(compile):
    m = Counting()
    index = [0, 7, 1]
    f = compile(lambda x, i: m(x)[i])
    return lambda: f(tensor(), ingot.tensor([index.pop(0)])), m


@program
def a_list_of_many(compile):
    many = [0] * 2000

    def f(x):
        many.append(len(many))
        many[0] += 1
        return x * len(many)

    f = compile(f)
    return (lambda: (f(tensor()), many[0], len(many)),)


@program
def a_call_that_is_refused_and_then_made_without_compiling(compile):
    m = Counting()

    def f(x):
        y = m(x)
        m.new, m.seen["new"] = 1, m.n
        return y * 2 if y.sum() > 0 else y

    compiled = compile(f)

    def call():
        try:
            return compiled(tensor())
        except ingot.CaptureError:
            return f(tensor())

    return call, m


@program
def a_queue_of_losses(compile):
    from collections import deque

    last, seen = deque(maxlen=2), set()

    def f(x):
        last.append(len(last))
        seen.add(len(seen))
        return x * len(seen)

    f = compile(f)
    return (lambda: (f(tensor()), list(last), sorted(seen)),)


@program
def a_dict_of_many(compile):
    many = {str(i): i for i in range(2000)}
    averages = {str(i): ingot.zeros(3) for i in range(1100)}

    def f(x):
        many["7"] += 1
        averages["9"] = averages["9"] * 0.5 + x
        return x * many["7"] + averages["9"]

    f = compile(f)
    return (lambda: (f(tensor()), many["7"], averages["9"], len(many)),)


COUNT = 0


@program
def globals_and_closures_where_an_argument_is_captured_too(compile):
    global COUNT
    COUNT, calls, w = 0, 0, tensor()

    def f(x):
        global COUNT
        nonlocal calls
        COUNT += 1
        calls += 2
        return x * w

    f = compile(f)
    return lambda: (f(w), COUNT, calls), w


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make)
