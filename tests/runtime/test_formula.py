"""Texts of sizes become functions, and nothing else does."""

import random

import pytest

from ingot.ir.size import evaluate, larger, smaller, symbol
from ingot.runtime.formula import FormulaError, formula, names_in


def test_every_size_is_read_as_it_is_printed():
    r = random.Random(11)
    b, t = symbol("B", 0, 64), symbol("lambda", 1, 512)  # a symbol may be called as Python's own words are

    def size(depth):
        if not depth:
            return r.choice([b, t, b * t, r.randint(-9, 9)])
        x, y = size(depth - 1), size(depth - 1)
        return r.choice([lambda: x + y, lambda: x - y, lambda: x * y, lambda: x // 7, lambda: smaller(x, y), lambda: larger(x, y)])()

    for _ in range(300):
        x, values = size(r.randint(0, 4)), (r.randint(0, 64), r.randint(1, 512))
        assert formula(str(x), ["B", "lambda"])(*values) == evaluate(x, {"B": values[0], "lambda": values[1]}), x


def test_numbers_are_sizes_and_symbols_are_known():
    assert formula(7, ["B"])(1) == 7 and formula("3*B+min(T,4)", ["B", "T"])(2, 9) == 10
    assert names_in("3*B+min(T,4)") == {"B", "T"} and names_in(4) == set()


WRONG = [
    "", "(", ")", "B B", "B(1)", "B**2", "B//2", "2**9**9", "B.x", "__import__('os')", "min", "min B", "1,2)", "(B", "B+", "+B", "B--B",
    "max()", "[1]", "B;B", "B\n", "lambda: 1", "1 if B else 2", "B=1", "'x'", "9" * 20, "(" * 99 + "B" + ")" * 99, "B+" * 20000 + "B", "C",
    "min(,B)", "B(B)",
]  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(FormulaError):
        formula(text, ["B"])
