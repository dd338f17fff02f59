"""ingot.compile: attributes that are exchanged, in slots, on tensors and in dicts; modules and optimizers that change between calls."""

import copy
from array import array

import pytest

import ingot
from ingot import nn
from tests.support.stateful import check, said, tensor

PROGRAMS = {}


def program(make):
    PROGRAMS[make.__name__] = make
    return make


def exchanging(kind):
    def make(compile):
        class Pair(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = kind(tensor()), kind(tensor() * 4)

            def forward(self, x):
                self.a, self.b = self.b, self.a
                return self.a * x - self.b

        m = Pair()
        f = compile(m)
        return lambda: f(tensor()), m

    make.__name__ = f"exchanged_{kind.__name__}s"
    return make


@program
def made_where_no_module_has_a_name(compile):
    space = {}
    exec("class Held:\n    factor = 1.0\n\n\nheld = Held()\n\n\ndef f(x):\n    held.last = x + 1\n    return x * held.factor\n", space)
    assert space["Held"].__module__ == "builtins"
    f, factors = compile(space["f"]), iter([2.0, 3.0, 3.0])

    def call():
        out = f(tensor())
        space["held"].factor = next(factors, 5.0)
        return out, space["held"].last

    return call, space["held"]


def other_dicts(kind):
    """Objects that get another __dict__ between calls, and again."""

    def make(compile):
        x = kind()
        x.factor, x.n = 2.0, 0

        def f(y):
            x.n = x.n + 1
            x.last = y * x.n
            return y * x.factor

        f, factors = compile(f), iter([2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])

        def call():
            x.__dict__ = {**vars(x), "factor": next(factors)}
            return f(tensor()), x.last

        return call, x.__dict__

    make.__name__ = f"other_dicts_of_{kind.__name__}s"
    return make


for kind in (type("Plain", (), {}), type("Net", (nn.Module,), {}), tensor):
    program(other_dicts(kind))


@program
def an_object_at_a_tensor(compile):
    t, conf = tensor(), type("Conf", (), {})()
    t.conf, conf.factor = conf, 2.0
    f, factors = compile(lambda x: x * t.conf.factor), iter([3.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])

    def call():
        out = f(tensor())
        conf.factor = next(factors)
        return out

    return call, t


@program
def a_class_gets_what_its_base_has(compile):
    base = type("Base", (), {"factor": 1.0})
    kind = type("Kind", (base,), {})
    f = compile(lambda x: x * kind.factor)
    steps = iter([(base, 2.0), (base, 3.0), (kind, 4.0), (base, 5.0), (kind, 6.0), (base, 7.0), (kind, 8.0)])

    def call():
        out = f(tensor())
        of, value = next(steps)
        of.factor = value
        return out

    return call, tensor()


@program
def what_users_keep_at_a_layer(compile):
    layer = nn.Linear(3, 3)
    layer.scales, layer.inner = {"a": 2.0}, nn.Identity()
    object.__setattr__(layer, "factor", 2.0)
    f, k = compile(lambda x: x * layer.scales["a"] * layer.factor * getattr(layer.inner, "bias", 1.0)), [0.0]

    def call():
        out = f(tensor())
        k[0] += 1
        if k[0] < 2:
            layer.scales["a"] = k[0]
        elif k[0] < 4:
            object.__setattr__(layer, "factor", k[0])
        else:
            vars(layer)["inner"] = nn.Linear(1, 1).requires_grad_(False)  # before the one that is registered
        return out

    return call, tensor()


@program
def other_tables_of_a_module(compile):
    m = nn.Module()
    m.register_buffer("b", tensor())

    def f(x):
        m.b = x + m.b
        return m.b * 2

    f = compile(f)

    def call():
        m._buffers = dict(m._buffers)
        return f(tensor()), m.b

    return call, m


program(exchanging(nn.Parameter))
program(exchanging(ingot.Tensor.clone))


@program
def exchanged_gradients(compile):
    a, b = tensor(True), tensor(True)
    a.grad, b.grad = ingot.ones(3), ingot.zeros(3)

    def f(x):
        a.grad, b.grad = b.grad, a.grad
        return x

    f = compile(f)
    return lambda: f(tensor()), a, b


@program
def a_gradient_that_is_returned(compile):
    w = tensor(True)
    w.grad = ingot.ones(3)

    def f(x):
        w.grad.zero_()
        w.grad.add_(x)
        return w.grad

    f = compile(f)

    def call():
        g = f(tensor())
        same = g is w.grad
        w.grad.mul_(2)
        return same, g

    return call, w


@program
def slots(compile):
    class Slotted:
        __slots__ = ("n", "t", "made", "mode")

    s = Slotted()
    s.n, s.t, s.made, s.mode = 1, tensor(), tensor(), "new"

    def f(x):
        s.n += 1
        s.t.add_(x)
        s.made = s.made * 2
        s.mode = "called"
        return s.t * s.n

    f = compile(f)

    def call():
        s.mode = "new"
        return f(tensor()), s.n, s.t, s.made, s.mode

    return (call,)


@program
def attributes_of_a_tensor(compile):
    w, m = tensor(), nn.Linear(3, 1)
    w.calls, m.weight.scale = 0, 2

    def f(x):
        w.calls += 1
        w.new = getattr(w, "new", 0) + 2
        return m(x) * m.weight.scale * w.calls

    f = compile(f)

    def call():
        out = f(tensor())
        m.weight.scale += 1
        return out, w.calls, w.new

    return (call,)


@program
def an_attribute_that_a_tensor_gets(compile):
    w = tensor()

    def f(x):
        w.calls = getattr(w, "calls", 0) + 1
        return x * w.calls

    f = compile(f)
    return (lambda: (f(tensor()), w.calls),)


@program
def arrays_of_the_standard_library(compile):
    numbers, raw = array("i", [1]), bytearray(b"a")

    def f(x):
        numbers[0] += 1
        raw.append(numbers[0])
        return x * numbers[0] * len(raw)

    f = compile(f)
    return (lambda: (f(tensor()), numbers[0], len(raw)),)


@program
def entries_of_a_dict_that_go(compile):
    d = {"a": tensor(), "b": tensor()}

    def f(x):
        y = d.pop("a") * x
        d["b"] = d["b"] + 1
        d["n"] = 3
        return y

    f = compile(f)

    def call():
        out, left = f(tensor()), said(d)
        d["a"] = tensor()
        return out, left

    return call, d


@program
def a_dict_that_is_cleared(compile):
    d = {"a": tensor()}

    def f(x):
        y = d["a"] * x
        d.clear()
        d["z"], d["a"] = y + 1, y + 2
        return y

    f = compile(f)
    return lambda: f(tensor()), d


@program
def a_flag_that_toggles(compile):
    class Toggling(nn.Module):
        flip = False

        def forward(self, x):
            self.flip = not self.flip
            return x * 2 if self.flip else x * 3

    m = Toggling()
    f = compile(m)
    return lambda: (f(tensor()), m.flip), m


@program
def a_step_every_second_call(compile):
    m, count = nn.Linear(3, 1), {"calls": 0}
    opt = ingot.optim.SGD(m.parameters(), lr=0.1)

    def f(x):
        m(x).sum().backward()
        count["calls"] += 1
        if count["calls"] % 2 == 0:
            opt.step()
            opt.zero_grad()

    f = compile(f)
    return lambda: f(tensor()), m, count


def training(between):
    def make(compile):
        m = nn.Linear(3, 1)
        opt = ingot.optim.Adam(m.parameters(), lr=0.1)
        saved = []

        def f(x):
            opt.zero_grad()
            m(x).sum().backward()
            opt.step()

        f = compile(f)

        def call():
            f(tensor())
            between(m, opt, saved)

        return call, m, opt

    make.__name__ = between.__name__
    return make


@program
@training
def state_is_loaded(m, opt, saved):
    if saved:
        opt.load_state_dict(saved[0])
    else:
        saved.append(copy.deepcopy(opt.state_dict()))


@program
@training
def state_is_dropped(m, opt, saved):
    opt.state.clear()


@program
@training
def settings_change(m, opt, saved):
    opt.param_groups[0]["weight_decay"] += 0.1
    opt.param_groups[0]["betas"] = (0.5, 0.5)


@program
@training
def a_parameter_is_frozen(m, opt, saved):
    m.bias.requires_grad_(not m.bias.requires_grad)


@program
@training
def the_bias_is_taken_away(m, opt, saved):
    m.bias = None


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    check(make, 7)


@pytest.mark.parametrize("x", [ingot.ones(1), nn.Module(), type("Plain", (), {})()], ids=["tensor", "module", "object"])
def test_a_dict_that_a_function_assigns_is_refused(x):
    x.factor = 2.0
    before = x.__dict__

    @ingot.compile
    def f(y):
        x.__dict__ = {**vars(x), "last": y * 2}
        return y * x.factor

    with pytest.raises(ingot.CaptureError, match=f"f: a compiled function cannot assign the __dict__ of a {type(x).__name__}"):
        f(tensor())
    assert x.__dict__ is before and x.factor == 2.0 and not hasattr(x, "last")
