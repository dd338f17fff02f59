"""The calls that `ingot cache warm` is told: what they mean, and what is wrong with those that mean nothing."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingot.runtime.cli import call_spec
from ingot.runtime.cli.call_spec import Tensor, parse, read
from ingot.runtime.cli.output import CommandError


@pytest.mark.parametrize(
    "text, args, kwargs",
    [
        ("()", (), {}),
        ("(f32[32,784], i64[32])", (Tensor("f32", (32, 784)), Tensor("i64", (32,))), {}),
        ("(f32[], bool[0], u8[1,],)", (Tensor("f32", ()), Tensor("bool", (0,)), Tensor("u8", (1,))), {}),
        ("(f64[()], bf16[ ], f16[\n2 ,3])", (Tensor("f64", ()), Tensor("bf16", ()), Tensor("f16", (2, 3))), {}),
        ("(0.5, -1, +2, True, None, 'f32[]#', b'x', 1e-3)", (0.5, -1, 2, True, None, "f32[]#", b"x", 1e-3), {}),
        ("((1, f32[2]), [], [()], (), {}, [i8[1], 2])", ((1, Tensor("f32", (2,))), [], [()], (), {}, [Tensor("i8", (1,)), 2]), {}),
        ("({'a': f32[1], 2: (f32[],)})", ({"a": Tensor("f32", (1,)), 2: (Tensor("f32", ()),)},), {}),
        ("(k=[3], é=u64[4])", (), {"k": [3], "é": Tensor("u64", (4,))}),
        ("(f32[2])  # a comment, with () and f32[]", (Tensor("f32", (2,)),), {}),
    ],
)  # fmt: skip
def test_arguments(text, args, kwargs):
    found = parse(f"  pkg.mod : net.sub.forward{text} ")
    assert (found.module, found.attribute, found.args, found.kwargs) == ("pkg.mod", "net.sub.forward", args, kwargs)
    assert [type(a) for a in found.args] == [type(a) for a in args]
    assert "#" not in found.text or "'" in found.text
    assert parse(found.text) == found  # what is shown is what was meant


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "no call"), ("f(1)", "no call"), ("m:", "no call"), ("m:f", "no arguments"), ("m:f(", "no call"), ("m:f)", "no call"),
        ("a b:f()", "no call"), ("1m:f()", "no call"), ("m:f(1) g(2)", "no call"), ("m:f()()", "a name"), ("m:f[0](1)", "a name"),
        ("m:f(x)", "neither"), ("m:f(x.y)", "neither"), ("m:f(g(1))", "neither"), ("m:f(f32)", "neither"), ("m:f(1+1)", "neither"),
        ("m:f(...)", "neither"), ("m:f(*[1])", "neither"), ("m:f(**{})", "**"), ("m:f(f'{1}')", "neither"), ("m:f(-'a')", "neither"),
        ("m:f({1})", "neither"), ("m:f({**{}})", "literals"), ("m:f({f32[1]: 2})", "literals"), ("m:f(lambda: 1)", "neither"),
        ("m:f(float32[2])", "f32, f64"), ("m:f(c65[2])", "no dtype"), ("m:f(f32[B,2])", "neither"), ("m:f(f32[-1])", "at least 0"),
        ("m:f(f32[2.5])", "at least 0"), ("m:f(f32[True])", "at least 0"), ("m:f(f32[1:2])", "neither"), ("m:f(f32[[1]])", "at least 0"),
        ("m:f(f32[99999999999999999999])", "at least 0"), ("m:f(f32[" + "1," * 100 + "])", "at least 0"),
        ("m:f(a=1, a=2)", "a is given twice"),
        ("m:f(" + "(" * 2000 + ")" * 2000 + ")", "no call"), ("m:f('\0')", "no call"),
    ],
)  # fmt: skip
def test_what_is_no_call(text, why):
    with pytest.raises(CommandError) as e:
        parse(text)
    assert why in str(e.value) and e.value.code == 2


@pytest.mark.parametrize("depth", [50, 900, 5000])
@pytest.mark.parametrize("deep", ["m:f({0}1)", "m:{1}f()"])
def test_depth_is_no_crash(deep, depth):
    try:
        parse(deep.format("-" * depth, "a." * depth))
    except CommandError as e:
        assert len(str(e)) < 20000


@given(st.text("mf:()[],.#'\"\\\n=32i \t{}*-", max_size=40))
@example("m:f('''")
@example("m:f(\n  1)")
def test_any_text_is_a_call_or_a_usage_error(text):
    try:
        found = call_spec.parse("m:f(" + text)
    except CommandError:
        return
    assert found.module == "m"


def test_files(tmp_path):
    file = tmp_path / "specs.txt"
    file.write_text("# all of it\n\n  m:f(f32[2])  # once\nm:g('#')\nm:f(f32[2])\n")
    assert [s.text for s in read([str(file), "m:h()", "m:g('#')"])] == ["m:f(f32[2])", "m:g('#')", "m:h()"]
    file.write_text("m:f()\nm:f(\n")
    with pytest.raises(CommandError, match=r"specs.txt:2: "):
        read([str(file)])
    file.write_text("# nothing\n")
    with pytest.raises(CommandError, match="no call in it"):
        read([str(file)])
    file.write_bytes(b"\xff\xfe\0")
    with pytest.raises(CommandError, match="no text"):
        read([str(file)])
    with pytest.raises(CommandError, match="neither a file nor a call"):
        read([str(tmp_path / "missing")])
    with pytest.raises(IsADirectoryError):
        read([str(tmp_path)])
