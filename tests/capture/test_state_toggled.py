"""ingot.compile: Python state that goes to and fro: what a function assigns, deletes and moves is done where code serves it again, too."""

import enum
import itertools
import os
from array import array
from collections import OrderedDict
from contextvars import ContextVar

import numpy as np
import pytest

import ingot

NUMBERS = itertools.count()


class Mode(enum.Enum):
    A = 2
    B = 3


class Holder:
    pass


def members():
    state = {"mode": Mode.A}

    def f(x):
        y = x * state["mode"].value
        state["mode"] = Mode.B if state["mode"] is Mode.A else Mode.A
        return y

    return f


def functions_and_classes():
    class One:
        k = 1.0

    class Two:
        k = 2.0

    held = Holder()
    held.fn, held.kind = abs, One

    def f(x):
        y = held.fn(x) * held.kind.k
        held.fn, held.kind = (abs, One) if held.kind is Two else (ingot.neg, Two)
        return y

    return f


def attributes_that_come_and_go():
    held = Holder()

    def f(x):
        if hasattr(held, "k"):
            del held.k
            return x * 2
        held.k = 1
        return x * 3

    return f


def attributes_of_classes_that_come_and_go():
    class Own(Holder):
        pass

    def f(x):
        if "k" in vars(Own):
            del Own.k
            return x * 2
        Own.k = 1
        return x * 3

    return f


def orders():
    table = OrderedDict(a=1, b=2)

    def f(x):
        first = next(iter(table))
        table.move_to_end(first)
        return x * table[first]

    return f


def sets():
    seen = set()

    def f(x):
        y = x * (len(seen) + 1)
        seen.symmetric_difference_update({1})
        return y

    return f


def arrays():
    numbers, plain, raw = np.ones(1), array("d", [1.0]), bytearray(b"\1")

    def f(x):
        y = x * float(numbers[0]) + plain[0] * raw[0]
        numbers[0], plain[0], raw[0] = 3 - numbers[0], 5 - plain[0], 7 - raw[0]
        return y

    return f


def objects():
    a, b, at = Holder(), Holder(), Holder()
    a.k, b.k, at.now = 2.0, 3.0, a

    def f(x):
        y = x * at.now.k
        at.now = b if at.now is a else a
        return y

    return f


def variables():
    fn = abs

    def f(x):
        nonlocal fn
        y = fn(x)
        fn = ingot.neg if fn is abs else abs
        return y

    return f


@pytest.mark.parametrize(
    "make",
    [members, functions_and_classes, attributes_that_come_and_go, attributes_of_classes_that_come_and_go, orders, sets, arrays, objects,
     variables],
)  # fmt: skip
def test_state_that_goes_to_and_fro(make):
    plain, compiled = make(), ingot.compile(make())
    for n in (3, 3, 3, 3, 5, 5, 2, 2, 2, 7):
        x = ingot.arange(float(n)) - 1
        assert compiled(x).tolist() == plain(x).tolist()
    if make in (members, functions_and_classes, variables):
        assert compiled.stats["traces"] <= 5


def defaults():
    def scaled(x, k=1.0):
        return x * k

    def f(x):
        y = scaled(x)
        scaled.__defaults__ = (3 - scaled.__defaults__[0],)
        return y

    return f


def context_variables():
    variable = ContextVar("toggled", default=1.0)

    def f(x):
        y = x * variable.get()
        variable.set(3 - variable.get())
        return y

    return f


def the_environment():
    name = f"INGOT_TEST_TOGGLED_{next(NUMBERS)}"

    def f(x):
        on = name in os.environ
        if on:
            del os.environ[name]
        else:
            os.environ[name] = "1"
        return x * (2 if on else 3)

    return f


def sets_of_classes():
    class Own:
        seen = {"a"}

    def f(x):
        y = x * len(Own.seen)
        Own.seen.symmetric_difference_update({"b"})
        return y

    return f


def globals_that_come_and_go():
    space = {}
    exec("def f(x):\n global g\n try:\n  del g\n  return x * 2\n except NameError:\n  g = 1\n  return x * 3", space)
    return space["f"]


@pytest.mark.parametrize("make", [defaults, context_variables, the_environment, sets_of_classes, globals_that_come_and_go])
def test_what_no_code_can_do_is_traced_each_time(make):
    plain, compiled = make(), ingot.compile(make())
    for n in (3, 3, 3, 3, 5, 5, 2, 2, 2, 7):
        x = ingot.arange(float(n)) - 1
        assert compiled(x).tolist() == plain(x).tolist()
