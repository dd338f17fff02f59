"""Text form, parser, verifier and locations."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

import ingot.ir.ops  # noqa: F401
from ingot.ir import location
from ingot.ir.builder import Builder
from ingot.ir.dtypes import ALL, bf16, bool_, f16, f32, f64, i64
from ingot.ir.graph import Const, Graph, Node, Value
from ingot.ir.op import OPS
from ingot.ir.parse import ParseError
from ingot.ir.size import symbol
from ingot.ir.text import parse, print_graph
from ingot.ir.types import tensor_type
from ingot.ir.verify import VerifyError, verify


def here() -> tuple:
    frame = sys._getframe(1)
    return frame.f_code, frame.f_lasti


def simple(name: str = "main", first: str = "x") -> Graph:
    b = Builder(name)
    x = b.input(tensor_type(f32, (symbol("B"), 4)), first)
    lr = b.input(tensor_type(f32, ()), "lr", scalar=True)
    y = b.emit(OPS["mul"], (x, lr))[0]
    return b.freeze(b.emit(OPS["reduce_sum"], (y,), ((1,),)))


def test_text():
    assert simple().text == (
        "func @main(%a0: f32[B,4], %a1: scalar f32[]) -> f32[B,1] {\n"
        "  %0 = mul %a0, %a1 : f32[B,4]\n"
        "  %1 = reduce_sum %0 {axes=[1]} : f32[B,1]\n"
        "  return %1\n"
        "}\n"
    )


def test_names_are_no_identity_but_are_printed_for_people():
    a, b = simple("f", "x"), simple("g", "weight.0")
    assert a.text == b.text and a.digest == b.digest
    assert "func @g(%weight.0: f32[B,4], %lr: scalar f32[])" in str(b)
    back = parse(str(b))
    assert back.name == "g" and back.input_names == ("weight.0", "lr") and back.scalars == {1}


@pytest.mark.parametrize("names", [("a b", "a b"), ("0", "1"), ("", ""), ("é", "/")])
def test_any_names_print_legally(names):
    b = Builder("3 fancy")
    x, y = (b.input(tensor_type(f32, (2,)), n) for n in names)
    g = b.freeze(b.emit(OPS["add"], (x, y)))
    assert parse(str(g)).text == g.text


def constant_graph(array: np.ndarray, dtype) -> Graph:
    c = Const(tensor_type(dtype, array.shape), array.astype(dtype.numpy).tobytes() if array.dtype != dtype.numpy else array.tobytes())
    out = Value(c.type)
    return Graph("main", (), (Node(OPS["constant"], (), (c,), (out,)),), (out,))


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_constants_round_trip(dtype):
    for shape in ((), (0,), (3,), (2, 2), (5, 5)):
        values = np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2
        g = constant_graph(values, dtype)
        back = parse(print_graph(g, payloads=True))
        assert back.nodes[0].attrs == g.nodes[0].attrs
        if dtype.kind not in "bfc":
            info = np.iinfo(dtype.numpy)
            g = constant_graph(np.array([info.min, info.max], dtype.numpy), dtype)
            assert parse(g.text).nodes[0].attrs == g.nodes[0].attrs


@pytest.mark.parametrize("dtype", (f16, bf16, f32, f64), ids=str)
def test_floats_are_exact(dtype):
    rng = np.random.default_rng(0)
    bits = f"u{dtype.itemsize}"
    for _ in range(50):  # any bits at all: NaN payloads, denormals, both zeros
        array = rng.integers(0, 2**dtype.bits, 8, dtype=np.uint64).astype(bits)
        array[0], array[1], array[2] = 0, 1 << (dtype.bits - 1), array[2] | np.array(np.inf).astype(dtype.numpy).view(bits)
        g = constant_graph(array.view(dtype.numpy), dtype)
        assert parse(g.text).nodes[0].attrs == g.nodes[0].attrs
    assert "[0x1p+0, -0x0p+0, inf, -inf, 0x1.8p-1]" in constant_graph(np.array([1, -0.0, np.inf, -np.inf, 0.75]), dtype).text


def test_large_constants_are_digests_in_the_identity():
    g = constant_graph(np.arange(100.0), f64)
    assert "sha256:" in g.text and len(g.text) < 200
    with pytest.raises(ParseError, match="digest alone"):
        parse(g.text)
    assert parse(print_graph(g, payloads=True)).digest == g.digest


def nested() -> Graph:
    t = tensor_type(f32, (2,))

    def twice(name: str) -> Graph:
        b = Builder(name)
        x = b.input(t, "x")
        return b.freeze(b.emit(OPS["add"], (x, x)))

    def outer(name: str) -> Graph:
        b = Builder(name)
        x = b.input(t, "x")
        return b.freeze(b.emit(OPS["call"], (x,), (twice("inner"),)))

    b = Builder("main")
    x = b.input(t, "x")
    (y,) = b.emit(OPS["call"], (x,), (outer("one"),))
    (z,) = b.emit(OPS["call"], (y,), (outer("two"),))  # another object, the same content
    return b.freeze(b.emit(OPS["call"], (z,), (twice("other"),)))


def test_functions_are_printed_once_by_content():
    g = nested()
    assert g.text.count("func @") == 3
    assert "%0 = call %a0 {graph=@f1}" in g.text and "%1 = call %0 {graph=@f1}" in g.text and "%2 = call %1 {graph=@f0}" in g.text
    back = parse(g.text)
    verify(back)
    assert back.text == g.text
    assert back.nodes[0].attrs[0] is back.nodes[1].attrs[0]
    named = parse(str(g))
    assert named.text == g.text and named.nodes[1].attrs[0].name == "two"


def test_printing_is_fast():
    b = Builder()
    x = b.input(tensor_type(f32, (128, 4)))
    for _ in range(2500):
        x = b.emit(OPS["add"], b.emit(OPS["reduce_sum"], (x,), ((0,),)) + (x,))[0]
    g = b.freeze((x,))
    start = time.perf_counter()
    text = print_graph(g)
    assert time.perf_counter() - start < 2.0  # it takes 10 ms; a quadratic one would take many seconds
    assert parse(text).text == text


HEAD = "func @main(%x: f32[2,3]) -> f32[2,3] {\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "line 1: expected a function"),
        ("nonsense", "expected a function"),
        (HEAD + "  %0 = foo %x : f32[2,3]\n return %0 }", "line 2: no op is named 'foo'"),
        (HEAD + "  %0 = neg %y : f32[2,3]\n return %0 }", "line 2: %y is not defined before this use"),
        (HEAD + "  %0 = neg %x : f32[3,2]\n return %0 }", r"line 2: neg gives f32\[2,3\]; the text has 1 values of f32\[3,2\]"),
        (HEAD + "  %0 = neg %x, %x : f32[2,3]\n return %0 }", "line 2: neg: .*takes 1 inputs?, got 2"),
        (HEAD + "  %0 = transpose %x : f32[3,2]\n return %0 }", "line 2: transpose: .*attribute 'perm' is missing"),
        (HEAD + "  %0 = neg %x {axes=[1]} : f32[2,3]\n return %0 }", "unknown attribute axes"),
        (HEAD + "  %x = neg %x : f32[2,3]\n return %x }", "line 2: %x is defined twice"),
        (HEAD + "  return }", "line 2: returns , but declares"),
        (HEAD + "  return %x", "expected '}'"),
        (HEAD + "  %0 = neg %x : f99[2]\n return %0 }", "expected a type such as"),
        (HEAD + "  return %x }\n" + HEAD + "  return %x }", "@main is defined twice"),
        (HEAD + "  %0 = call %x {graph=@main} : f32[2,3]\n return %0 }", "@main refers to itself"),
        (HEAD + "  %0 = call %x {graph=@g} : f32[2,3]\n return %0 }", "@g is not defined"),
        (HEAD + "  $", "line 2: no such character here: '\\$'"),
        ("func @f() -> i8[] { %0 = constant {value=300} : i8[] return %0 }", "line 1: constant: "),
        ("func @f() -> i8[2] { %0 = constant {value=[1]} : i8[2] return %0 }", "needs 2 elements"),
        ("func @f() -> i8[] { %0 = constant {value=base64:AAAA} : i8[] return %0 }", "holds 1 bytes, not 3"),
        ("func @f(%x: scalar f32[2]) -> f32[2] { return %x }", "scalar input has rank 0"),
        ("func @f(%x: f32[" + "9" * 5000 + "]) -> f32[1] { return %x }", "an integer of 5000 digits"),
        (HEAD + '  %0 = neg %x {mode="\\q"} : f32[2,3]\n return %0 }', "line 2: bad string"),
        (HEAD + "  %0 = transpose %x {perm=" + "[" * 999 + "]" * 999 + "} : f32[3,2]\n return %0 }", "nested too deep"),
    ],
)
def test_parse_errors(text, message):
    with pytest.raises(ParseError, match=message):
        parse(text)


def test_parser_survives_damage():
    rng = np.random.default_rng(0)
    whole = str(nested()) + str(simple())
    for _ in range(500):
        text = list(whole)
        for at in rng.integers(0, len(text), 3):
            text[at] = chr(rng.integers(32, 127))
        try:
            verify(parse("".join(text)[: rng.integers(1, len(text))]))
        except (ParseError, VerifyError):
            pass


# -- verifier --


def test_verify_accepts_and_returns_the_graph():
    g = simple()
    assert verify(g) is g


def broken(change) -> Graph:
    g = simple()
    first, second = g.nodes
    stranger = Value(first.outputs[0].type)
    return {
        "order": lambda: g.replace(nodes=(second, first)),
        "type": lambda: g.replace(nodes=(first, Node(second.op, second.inputs, second.attrs, (Value(tensor_type(f32, (7,))),)))),
        "twice": lambda: g.replace(nodes=(first, second, second)),
        "output": lambda: g.replace(outputs=(stranger,)),
        "attrs": lambda: g.replace(nodes=(first, Node(second.op, second.inputs, (), second.outputs))),
        "rule": lambda: g.replace(nodes=(first, Node(second.op, second.inputs, ((9,),), second.outputs))),
        "scalar": lambda: g.replace(scalars=frozenset((0,))),
        "names": lambda: g.replace(input_names=("x",)),
        "input": lambda: g.replace(inputs=(g.inputs[0], g.inputs[0])),
        "body": lambda: g.replace(nodes=(*g.nodes, Node(OPS["call"], g.inputs, (broken("output"),), (stranger,)))),
        "hash": lambda: g.replace(nodes=(first, Node(second.op, second.inputs, ([1],), second.outputs))),
    }[change]()


@pytest.mark.parametrize(
    "change, message",
    [
        ("order", "node 0, .*input 0 .* is not defined before"), ("type", r"has types f32\[7\], its rule gives f32\[B,1\]"),
        ("twice", "defined twice"), ("output", "output 0 .* is not defined in the graph"),
        ("attrs", "0 attributes, but the op takes 1: axes"),
        ("rule", "its type rule refuses it: .*axis 9"), ("scalar", "scalar input 0 is not an input of rank 0"),
        ("names", "2 inputs but 1 names"), ("input", "an input stands twice"), ("body", "output 0"), ("hash", "not hashable"),
    ],
)  # fmt: skip
def test_verify_refuses(change, message):
    with pytest.raises(VerifyError, match=message):
        verify(broken(change))


# -- locations --


def test_location_has_line_column_and_carets():
    a = b = 1
    total = (a + b, here())
    line = sys._getframe().f_lineno - 1
    where = location.resolve(total[1])
    assert where.line == line and where.file == __file__ and where.function.endswith("carets")
    if sys.version_info >= (3, 11):
        assert where.column == 21 and where.end_column == 27
        assert where.snippet("") == "total = (a + b, here())\n" + " " * 16 + "^^^^^^"
        assert str(where).endswith(f"test_text_form.py:{line}:21")
    else:
        assert where.column is None and where.snippet("") == "total = (a + b, here())"
    assert "in test_location_has_line" in location.describe(total[1])


def test_locations_count_characters_not_bytes():
    code = compile("é = 'ü'; x = here()", "nofile.py", "exec")
    space = {"here": here}
    exec(code, space)
    where = location.resolve(space["x"])
    assert where.line == 1 and where.text() == "" and where.snippet() == ""


def test_locations_print_only_for_people():
    b = Builder()
    x = b.input(tensor_type(f32, ()))
    b.loc = here()
    g = b.freeze(b.emit(OPS["neg"], (x,)))
    assert "test_text_form.py:" in str(g) and "test_text_form" not in g.text
    assert parse(str(g)).text == g.text
    wrong = g.replace(nodes=(Node(OPS["neg"], (x,), (), (Value(tensor_type(f64, ())),), b.loc),))
    with pytest.raises(VerifyError, match=r"(?s)rule gives f32\[\].*test_text_form\.py:.*b\.loc = here\(\)"):
        verify(wrong)


def test_kinds_of_attributes():
    b = Builder()
    x = b.input(tensor_type(f32, (2,)))
    at = b.constant(np.array([0, 1]), i64)
    (y,) = b.emit(OPS["scatter"], (x, at, x), (0, "add"))
    (m,) = b.emit(OPS["cast"], (y,), (bool_,))
    g = b.freeze((m,))
    assert '{axis=0, mode="add"}' in g.text and "{dtype=bool}" in g.text
    assert parse(g.text).nodes[-1].attrs == (bool_,)


def test_numpy_integers_print_as_integers_and_other_objects_do_not():
    b = Builder()
    x = b.input(tensor_type(f32, (2, 3)))
    assert "{perm=[1, 0]}" in b.freeze(b.emit(OPS["transpose"], (x,), ((np.int64(1), np.int32(0)),))).text
    node = Node(OPS["neg"], (x,), (), (Value(x.type),))
    with pytest.raises(TypeError, match="an attribute of type complex has no text form"):
        _ = Graph("main", (x,), (Node(OPS["transpose"], (x,), (1j,), node.outputs),), node.outputs).text


def test_a_transform_without_an_axis_is_along_the_last_one():
    """Files hold texts from before the op had one."""
    text = "func @main(%a0: c64[2,4]) -> c64[2,4] {\n  %0 = fft %a0 {inverse=false} : c64[2,4]\n  return %0\n}\n"
    assert parse(text).nodes[0].attr("axis") == 1
