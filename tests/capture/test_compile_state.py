"""ingot.compile: programs that change state, called three times each, leave the world as the eager function leaves it."""

import numpy as np
import pytest

import ingot
from ingot import nn

PROGRAMS = {}
X = [1.0, 2.0, 3.0]


def program(make):
    """`make(compile)` gives a call without arguments and what it changes; `compile` is what the function goes through."""
    PROGRAMS[make.__name__] = make
    return make


def tensor(requires_grad=False, values=X):
    return ingot.tensor(values, requires_grad=requires_grad)


def said(x):
    """Everything that can be seen of a value."""
    if isinstance(x, ingot.Tensor):
        values = np.array(x.detach().tolist()).round(4).tolist()
        return type(x).__name__, values, x.requires_grad, x.grad_fn is None, x.is_leaf, said(x.grad)
    if isinstance(x, nn.Module):
        plain = {k: said(v) for k, v in vars(x).items() if k[:1] != "_" and k != "training"}
        return {**{k: said(v) for k, v in x.named_parameters()}, **{k: said(v) for k, v in x.named_buffers()}, **plain}
    if isinstance(x, ingot.optim.Optimizer):
        return [said(s) for s in x.state.values()]
    if isinstance(x, dict):
        return {k: said(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [said(v) for v in x]
    return x if isinstance(x, (int, float, str, bool, type(None))) else type(x).__name__


def history(make, compile, rounds=3):
    ingot.manual_seed(0)
    call, *state = make(compile)
    seen = []
    for _ in range(rounds):
        try:
            result = said(call())
        except ingot.CaptureError:
            raise
        except Exception as e:
            result = type(e).__name__
        seen.append((result, [said(s) for s in state]))
    return seen


# ---- written in place


@program
def added_to_without_history(compile):
    state, x = ingot.zeros(3), tensor(True)
    f = compile(lambda x: state.add_(x).sum())

    def call():
        state.detach_()
        loss = f(x)
        kept = state.requires_grad, state.grad_fn is None
        loss.backward()
        return loss, kept

    return call, state, x


@program
def detached_in_place(compile):
    x = tensor(True)
    made = [x * 2]

    def f(y):
        made[0].detach_()
        return made[0] + y

    f = compile(f)
    return lambda: (f(tensor()), made[0].requires_grad), made


@program
def detached_in_place_and_written(compile):
    x = tensor(True)
    made = x * 2

    def f(y):
        made.detach_()
        made.add_(y)
        return made * y

    f = compile(f)
    return lambda: f(tensor()), made, x


@program
def a_view_of_a_captured_tensor_is_written(compile):
    base, x = ingot.zeros(2, 3), tensor(True)
    row = base[0]

    def f(x):
        row.mul_(0.5)
        base[1].add_(x)
        return base.sum() + row.sum()

    f = compile(f)
    return lambda: f(x), base, row, x


@program
def the_base_of_a_view_is_written(compile):
    base, x = ingot.zeros(2, 3), tensor(True)
    row = base[1]

    def f(x):
        base.add_(x)
        return row * 2

    f = compile(f)
    return lambda: f(x), base, row, x


@program
def an_argument_is_written_with_history(compile):
    x = tensor(True)

    def f(s, x):
        s.mul_(x)
        return s.sum()

    f = compile(f)

    def call():
        s = ingot.ones(3)
        out = f(s, x)
        rg = s.requires_grad
        s.sum().backward()
        return out, rg, s

    return call, x


@program
def a_parameter_under_no_grad(compile):
    w = nn.Parameter(tensor())

    def f(x):
        with ingot.no_grad():
            w.mul_(x)
        return w.sum()

    f = compile(f)

    def call():
        w.grad = None
        f(tensor()).backward()

    return call, w


@program
def copied_from_what_has_history(compile):
    s, x = ingot.zeros(3), tensor(True)

    def f(x):
        s.copy_(x * 2)
        return s + 1

    f = compile(f)
    return lambda: f(x), s, x


# ---- gradients


@program
def a_gradient_that_is_not_there_yet(compile):
    w = tensor(True)
    seen = []

    def f(x):
        return x * 2 if w.grad is None else x * w.grad

    f = compile(f)

    def call():
        out = f(tensor())
        (w * 3).sum().backward()
        seen.append(w.grad is None)
        return out

    return call, w, seen


@program
def a_gradient_of_a_tensor_without_a_place_for_one(compile):
    w = tensor()
    f = compile(lambda x: x * 2 if w.grad is None else x * w.grad)

    def call():
        out = f(tensor())
        w.grad = ingot.ones(3) if w.grad is None else None
        return out

    return call, w


@program
def a_gradient_of_an_argument_without_a_place_for_one(compile):
    w = tensor()
    f = compile(lambda w: w * 2 if w.grad is None else w * w.grad)

    def call():
        out = f(w)
        w.grad = ingot.ones(3) if w.grad is None else None
        return out

    return call, w


@program
def a_gradient_is_dropped(compile):
    w = tensor(True)

    def f(x):
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_gradient_is_assigned_and_read(compile):
    w = tensor(True)

    def f(x):
        w.grad = x * 2
        (w * x).sum().backward()
        return w.grad * 1

    f = compile(f)
    return lambda: f(tensor()), w


def zeroing(set_to_none):
    def make(compile):
        model = nn.Linear(3, 1)
        opt = ingot.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

        def f(x):
            loss = model(x).sum()
            loss.backward()
            opt.step()
            opt.zero_grad(set_to_none=set_to_none)
            return loss

        f = compile(f)
        return lambda: f(tensor()), model, opt

    make.__name__ = f"zero_grad_{set_to_none}"
    return make


program(zeroing(True))
program(zeroing(False))


def module_zeroing(set_to_none):
    def make(compile):
        model = nn.Linear(3, 1)

        def f(x):
            model.zero_grad(set_to_none=set_to_none)
            model(x).sum().backward()

        f = compile(f)
        return lambda: f(tensor()), model

    make.__name__ = f"module_zero_grad_{set_to_none}"
    return make


program(module_zeroing(True))
program(module_zeroing(False))


@program
def a_retained_gradient(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        (h * h).sum().backward()
        return h.grad

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_retained_gradient_of_a_result(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        (h * h).sum().backward()
        return h.detach(), h.grad

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_retained_gradient_that_is_dropped(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.retain_grad()
        (h * h).sum().backward()
        return w.grad * 1

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_hook_inside(compile):
    w = tensor(True)

    def f(x):
        h = w * x
        h.register_hook(lambda g: g * 10)
        h.sum().backward()

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_hook_outside(compile):
    w = tensor(True)
    w.register_hook(lambda g: g * 10)
    f = compile(lambda x: (w * x).sum().backward())
    return lambda: f(tensor()), w


@program
def a_hook_on_a_parameter_inside(compile):
    w = tensor(True)

    def f(x):
        handle = w.register_hook(lambda g: g * 10)
        (w * x).sum().backward()
        handle.remove()

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_hook_after_accumulation(compile):
    w = tensor(True)

    def after(p):
        with ingot.no_grad():
            p.sub_(p.grad * 0.1)
        p.grad = None

    w.register_post_accumulate_grad_hook(after)
    f = compile(lambda x: (w * x).sum().backward())
    return lambda: f(tensor()), w


@program
def requires_grad_inside(compile):
    w = tensor()

    def f(x):
        w.requires_grad_(True)
        return (w * x).sum()

    f = compile(f)

    def call():
        f(tensor()).backward()
        w.requires_grad_(False)

    return call, w


@program
def requires_grad_of_something_new(compile):
    def f(x):
        y = (x * 2).requires_grad_()
        (y * y).sum().backward()
        return y.grad

    f = compile(f)
    return (lambda: f(tensor()),)


@program
def requires_grad_of_a_result(compile):
    def f(x):
        return (x * 2).requires_grad_()

    f = compile(f)

    def call():
        y = f(tensor())
        (y * y).sum().backward()
        return y

    return (call,)


@program
def requires_grad_switched_off_and_on(compile):
    w = nn.Parameter(tensor())

    def f(x):
        w.requires_grad_(False)
        y = w * x
        w.requires_grad_(True)
        return y, (w * x).sum()

    f = compile(f)
    return lambda: f(tensor()), w


@program
def a_leaf_is_detached(compile):
    w = tensor(True)

    def f(x):
        w.detach_()
        return w * x

    f = compile(f)
    return lambda: f(tensor()), w


# ---- optimizers


@program
def state_made_inside(compile):
    model = nn.Linear(3, 2)
    opt = ingot.optim.Adam(model.parameters(), lr=0.1, amsgrad=True)

    def f(x):
        opt.zero_grad()
        model(x).pow(2).sum().backward()
        opt.step()

    f = compile(f)
    return lambda: f(tensor()), model, opt


@program
def a_users_optimizer(compile):
    class Momentum(ingot.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {"lr": 0.1})
            self.steps = 0
            self.log = []

        def step(self):
            self.steps += 1
            self.log.append(self.steps)
            with ingot.no_grad():
                for g in self.param_groups:
                    for p in g["params"]:
                        s = self.state[p]
                        if not s:
                            s["m"], s["n"] = ingot.zeros_like(p), 0
                        s["m"].mul_(0.5).add_(p.grad)
                        s["n"] += 1
                        p.sub_(s["m"] * g["lr"] / self.steps)

    model = nn.Linear(3, 2)
    opt = Momentum(model.parameters())

    def f(x):
        opt.zero_grad()
        model(x).pow(2).sum().backward()
        opt.step()

    f = compile(f)
    return lambda: (f(tensor()), opt.steps, list(opt.log)), model, opt


# ---- modules


@program
def a_buffer_is_registered_inside(compile):
    class Lazy(nn.Module):
        def forward(self, x):
            if not hasattr(self, "mean"):
                self.register_buffer("mean", ingot.zeros(3))
            self.mean.mul_(0.5).add_(x)
            return x - self.mean

    m = Lazy()
    f = compile(m)
    return lambda: f(tensor()), m


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.n, self.log, self.seen, self.last = 0, [], {"calls": 0}, "none"
        self.w = nn.Parameter(tensor())

    def forward(self, x):
        self.n += 1
        self.log.append(self.n)
        self.seen["calls"] += 2
        self.seen[str(self.n)] = self.n
        self.last = f"call {self.n}"
        return x * self.w * self.n


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


@program
def two_modules_share_a_parameter(compile):
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight

    def f(x):
        a.zero_grad()
        loss = b(a(x)).pow(2).sum()
        loss.backward()
        with ingot.no_grad():
            for p in {*a.parameters(), *b.parameters()}:
                p.sub_(p.grad * 0.01)
        return loss

    f = compile(f)
    return lambda: f(tensor()), a, b


@program
def two_compiled_modules_share_a_parameter(compile):
    a, b = nn.Linear(3, 3), nn.Linear(3, 3)
    b.weight = a.weight
    f, g = compile(a), compile(b)

    def call():
        loss = g(f(tensor())).pow(2).sum()
        loss.backward()
        with ingot.no_grad():
            a.weight.sub_(a.weight.grad * 0.01)
        return loss

    return call, a, b


@program
def a_parameter_is_exchanged_between_calls(compile):
    m = nn.Linear(3, 1)
    f = compile(m)

    def call():
        out = f(tensor())
        m.weight = nn.Parameter(m.weight.detach() + 1)
        return out

    return call, m


def functional(tied):
    def make(compile):
        m = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        if tied:
            m[1].weight = m[0].weight
        f = compile(m)
        ones = {"0.weight": ingot.ones(3, 3), "1.bias": ingot.zeros(3)}

        def call():
            before = f(tensor())
            inside = ingot.func.functional_call(f, ones, tensor())
            return before, inside, f(tensor())

        return call, m

    make.__name__ = f"functional_call{'_of_tied_weights' * tied}"
    return make


program(functional(False))
program(functional(True))


@program
def functional_call_with_an_error_inside(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            f(x)
            raise KeyError

    m = Net()
    f = compile(m.inner)

    def call():
        seen = [f(tensor())]
        with pytest.raises(KeyError):
            ingot.func.functional_call(m, {"inner.weight": ingot.ones(3, 3)}, tensor())
        return seen + [f(tensor())]

    return call, m


# ---- errors, generators, nesting, threads


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
def generators(compile):
    mine = ingot.Generator().manual_seed(7)

    def f(x):
        return x + ingot.rand(3) + ingot.rand(3, generator=mine)

    f = compile(f)
    return (lambda: (f(tensor()), ingot.rand(2), ingot.rand(2, generator=mine), mine.offset),)


@program
def generators_that_are_seeded_between(compile):
    f = compile(lambda x: nn.functional.dropout(x, 0.5) + ingot.randn(3))

    def call():
        ingot.manual_seed(3)
        return f(tensor()), f(tensor())

    return (call,)


@program
def a_lazily_made_buffer_in_a_dict(compile):
    cache = {}

    def f(x):
        if "mask" not in cache:
            cache["mask"] = ingot.ones(3) * 2
        cache["mask"].add_(1)
        return x * cache["mask"]

    f = compile(f)
    return lambda: f(tensor()), cache


@program
def a_gradient_is_dropped_where_there_is_no_place_for_one(compile):
    w = tensor()

    def f(x):
        w.grad = None
        return x * 2

    f = compile(f)

    def call():
        out = f(tensor()), w.grad
        w.grad = ingot.ones(3)
        return out

    return call, w


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


@pytest.mark.parametrize("make", PROGRAMS.values(), ids=PROGRAMS)
def test_programs(make):
    def plain(f):
        return f

    want = history(make, plain)
    got = history(make, ingot.compile)
    for n, (a, b) in enumerate(zip(got, want)):
        assert a == b, f"call {n}"
