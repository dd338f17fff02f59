"""The reader of texts: both forms, what it refuses and where, and that nothing else comes out of damaged texts."""

from __future__ import annotations

import random
import re

import ml_dtypes
import numpy as np
import pytest

import ingot
from ingot.interchange.stablehlo.module import Dense, StablehloError
from ingot.interchange.stablehlo.text import read_text
from ingot.stablehlo import load

ADD = """
func.func @main(%x: tensor<2x3xf32>, %y: tensor<2x3xf32>) -> tensor<2x3xf32> {
  %0 = stablehlo.add %x, %y : tensor<2x3xf32>
  return %0 : tensor<2x3xf32>
}
"""
GENERIC = """
"builtin.module"() <{sym_name = "m"}> ({
  "func.func"() <{function_type = (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>, sym_name = "main"}> ({
  ^bb0(%arg0: tensor<2x3xf32>, %arg1: tensor<2x3xf32>):
    %0 = "stablehlo.add"(%arg0, %arg1) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
    "func.return"(%0) : (tensor<2x3xf32>) -> ()
  }) : () -> ()
}) {mhlo.num_partitions = 1 : i32} : () -> ()
"""


def constant(text: str) -> np.ndarray:
    """The array of a constant."""
    kind = text[text.index(": ") + 2 :]
    module = read_text(f"func.func @main() -> {kind} {{\n %0 = stablehlo.constant {text}\n return %0 : {kind}\n}}")
    dense = module.main.body.ops[0].attrs["value"]
    assert isinstance(dense, Dense)
    return dense.array


@pytest.mark.parametrize("text", [ADD, GENERIC])
def test_forms(text):
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(load(text)(x, x).numpy(), 2 * x)


def test_names_of_its_own():
    module = load(ADD)
    assert [(i.name, i.dtype, i.dims) for i in module.inputs] == [("arg0", np.float32, (2, 3)), ("arg1", np.float32, (2, 3))]
    assert "tensor<2x3xf32>" in repr(module)


@pytest.mark.parametrize(
    "text, want",
    [
        ("dense<1> : tensor<2xi32>", np.array([1, 1], np.int32)),
        ("dense<[[1, -2], [3, 4]]> : tensor<2x2xi64>", np.array([[1, -2], [3, 4]])),
        ("dense<[1.5, -2.0e-3, 0x7FC00000, 0xFF800000]> : tensor<4xf32>", np.array([1.5, -2e-3, np.nan, -np.inf], np.float32)),
        ("dense<0x7E00> : tensor<f16>", np.array(np.nan, np.float16)),
        ("dense<[true, false]> : tensor<2xi1>", np.array([True, False])),
        ("dense<-1> : tensor<ui32>", np.array(2**32 - 1, np.uint32)),
        ("dense<18446744073709551615> : tensor<ui64>", np.array(2**64 - 1, np.uint64)),
        ("dense<[(1.0,2.0), (0.0,-1.0)]> : tensor<2xcomplex<f32>>", np.array([1 + 2j, -1j], np.complex64)),
        ("dense<(0x7F800000,1.0)> : tensor<complex<f32>>", np.array(complex(np.inf, 1), np.complex64)),
        ('dense<"0x0000803F000000C0"> : tensor<2xf32>', np.array([1, -2], np.float32)),
        ('dense<"0x05"> : tensor<3xi1>', np.array([True, False, True])),
        ("dense<> : tensor<0x3xf32>", np.zeros((0, 3), np.float32)),
        ("dense<[[], []]> : tensor<2x0xi8>", np.zeros((2, 0), np.int8)),
        ("dense<1.0> : tensor<2xbf16>", np.array([1, 1], ml_dtypes.bfloat16)),
        ("dense<[-8, 7]> : tensor<2xi4>", np.array([-8, 7], ml_dtypes.int4)),
    ],
)
def test_constants(text, want):
    got = constant(text)
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_array_equal(got, want)


def test_a_large_constant_of_one_number_takes_no_memory():
    assert constant("dense<1> : tensor<1000000x1000xi64>").strides == (0, 0)


def body(line: str, result: str = "tensor<f32>") -> str:
    return f"func.func @main(%x: tensor<f32>, %y: tensor<3xi32>) -> {result} {{\n  {line}\n  return %0 : {result}\n}}"


@pytest.mark.parametrize(
    "text, match",
    [
        ("", "there is no function"),
        ("module {", "line 1, column 9: expected .}., and the text ends"),
        (body("%0 = stablehlo.sine %z : tensor<f32>"), "line 2, column 23: %z has no value"),
        (body("%0 = stablehlo.sine %x : tensor<f33>"), "line 2.*f33"),
        (body("%0 = stablehlo.sine %x tensor<f32>"), "line 2.*expected"),
        (body("%0 = arith.addf %x, %x : f32"), "line 2.*dialect"),
        (body("%0:2 = stablehlo.add %x, %x : (tensor<f32>, tensor<f32>) -> tensor<f32>"), "line 2.*1 results, and 2"),
        (body("%0 = stablehlo.add %x, %y : (tensor<f32>, tensor<f32>) -> tensor<f32>"), "the operands are tensor<f32>, tensor<3xi32>"),
        (body("%0 = stablehlo.constant dense<[1, 2, 3]> : tensor<2xi32>", "tensor<2xi32>"), r"\[3\] for numbers of tensor<2xi32>"),
        (body("%0 = stablehlo.constant dense<300> : tensor<i8>", "tensor<i8>"), "300 is no i8"),
        (body("%0 = stablehlo.constant dense<1.5> : tensor<i8>", "tensor<i8>"), "1.5 is no i8"),
        (body('%0 = stablehlo.constant dense<"0x00"> : tensor<2xf32>', "tensor<2xf32>"), "1 bytes for"),
        (body("%0 = stablehlo.constant dense<1> : tensor<99999999999x99999999999xi32>", "tensor<f32>"), "larger than anything"),
        (body("%x = stablehlo.sine %x : tensor<f32>"), "%x has a value already"),
        (body('%0 = stablehlo.sine "a : tensor<f32>'), "line 2"),
        (body("%0 = stablehlo.sine %x {a = 1, a = 2} : tensor<f32>"), "'a' is given twice"),
        (body("%0 = stablehlo.sine %x {a = " + "[" * 100), "more than 64 levels"),
        (ADD + ADD, "@main is there twice"),
        (ADD.replace("return %0", "stablehlo.sine %0"), "ends with a return|gives 1 results"),
        (ADD.replace("-> tensor<2x3xf32> {", "-> tensor<3x2xf32> {"), "returns other types"),
    ],
)
def test_errors_say_where(text, match):
    with pytest.raises(StablehloError, match=match):
        read_text(text)


def test_errors_of_evaluation_name_the_operation():
    with pytest.raises(StablehloError, match=r"sine \(line 2, column 3\).*unknown|attribute 'nothing'"):
        load(body("%0 = stablehlo.sine %x {nothing = 1 : i32} : tensor<f32>"))(1.0, np.zeros(3, np.int32))
    with pytest.raises(StablehloError, match="there is no such operation"):
        load(body("%0 = stablehlo.nothing %x : tensor<f32>"))(1.0, np.zeros(3, np.int32))
    with pytest.raises(StablehloError, match="it gives float32.*and tensor<f64> is expected"):
        load(body("%0 = stablehlo.sine %x : (tensor<f32>) -> tensor<f64>", "tensor<f64>"))(1.0, np.zeros(3, np.int32))
    with pytest.raises(StablehloError, match="input 1 came float32"):
        load(ADD.replace("%y: tensor<2x3xf32>", "%y: tensor<2x3xf32>"))(np.zeros((2, 3), np.float32), np.zeros((3, 2), np.float32))
    with pytest.raises(StablehloError, match="takes 2 inputs, and 1"):
        load(ADD)(np.zeros((2, 3), np.float32))
    with pytest.raises(StablehloError, match="no function @f"):
        load(body("%0 = call @f(%x) : (tensor<f32>) -> tensor<f32>"))
    with pytest.raises(StablehloError, match="calls itself"):
        load(body("%0 = call @main(%x, %y) : (tensor<f32>, tensor<3xi32>) -> tensor<f32>"))
    with pytest.raises(StablehloError, match="a call of nothing, which is not part"):
        load(body("%0 = stablehlo.custom_call @nothing(%x) : (tensor<f32>) -> tensor<f32>"))(1.0, np.zeros(3, np.int32))


def mutated(rng: random.Random, text: str) -> str:
    """A text with a few places changed: cut, doubled, replaced."""
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(len(text))
        j = min(len(text), i + rng.randint(1, 12))
        k = rng.randrange(len(text))
        piece = rng.choice(
            ["", text[k : k + rng.randint(1, 12)], rng.choice('<>(){}[],:="%@#!x?-0123456789 \n"'), "9" * rng.randint(1, 30)]
        )
        text = text[:i] + piece + text[j if rng.random() < 0.7 else i :]
    return text


SEEDS = [ADD, GENERIC]
SEEDS.append("""module @m attributes {a.b = #c.d<[1]>} {
func.func public @main(%arg0: tensor<4x5xf32> {jax.x = "y"}, %i: tensor<i32>) -> (tensor<4xf32>, tensor<2xi32>) {
  %c = stablehlo.constant dense<[1, -2]> : tensor<2xi32> loc("a"("b":1:2))
  %cst = stablehlo.constant dense<0xFF800000> : tensor<f32>
  %0 = stablehlo.reduce(%arg0 init: %cst) applies stablehlo.maximum across dimensions = [1] : (tensor<4x5xf32>, tensor<f32>) -> tensor<4xf32>
  %1:2 = stablehlo.while(%a = %i, %b = %0) : tensor<i32>, tensor<4xf32>
   cond { %2 = stablehlo.compare LT, %a, %i, SIGNED : (tensor<i32>, tensor<i32>) -> tensor<i1>
    stablehlo.return %2 : tensor<i1> }
   do { stablehlo.return %a, %b : tensor<i32>, tensor<4xf32> }
  %3 = "stablehlo.gather"(%0, %c) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1>}> : (tensor<4xf32>, tensor<2xi32>) -> tensor<2xf32>
  return %1#1, %c : tensor<4xf32>, tensor<2xi32>
}}""")  # noqa: E501


def test_damaged_texts(long):
    """Whatever is damaged, there is a module or one clear error."""
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    for _ in range(100_000 if long else 600):
        text = mutated(rng, rng.choice(SEEDS))
        try:
            read_text(text)
        except StablehloError as e:
            assert re.match(r"line \d+, column \d+: ", str(e)), (seed, str(e))
        except Exception as e:
            raise AssertionError(f"seed {seed}: {type(e).__name__}: {e}\n{text}") from e


def test_gradients_and_compilation():
    f = load(ADD.replace("stablehlo.add", "stablehlo.multiply"))
    x = ingot.ones(2, 3, requires_grad=True)
    f(x, ingot.full((2, 3), 5.0)).sum().backward()
    assert x.grad.tolist() == [[5.0] * 3] * 2
    assert f.run(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)).tolist() == [[1.0] * 3] * 2 and f.parts is None


@pytest.mark.parametrize(
    "line, words",
    [
        ('%0 = "stablehlo.reshape"() : () -> tensor<2xf32>', "reshape .line 2"),
        ('%0 = "func.call"(%x) {callee = [1, 2]} : (tensor<2xf32>) -> tensor<2xf32>', "no function"),
        ('%0:0 = "stablehlo.constant"() {value = dense<1.0> : tensor<f32>} : () -> ()', "line 2"),
    ],
)
def test_operations_of_the_wrong_form(line, words):
    result = "%x" if ":0" in line else "%0"
    with pytest.raises(StablehloError, match=words):
        text = f"func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {{\n  {line}\n  return {result} : tensor<2xf32>\n}}"
        load(text).run(np.zeros(2, np.float32))


def test_functions_that_double_what_is_called():
    def f(name: str, callee: str) -> str:
        return f"func.func @{name}(%x: tensor<f32>) -> tensor<f32> {{\n %0 = call @{callee}(%x) : (tensor<f32>) -> tensor<f32>\n" + (
            f" %1 = call @{callee}(%0) : (tensor<f32>) -> tensor<f32>\n return %1 : tensor<f32>\n}}\n"
        )

    last = "func.func @f40(%x: tensor<f32>) -> tensor<f32> {\n return %x : tensor<f32>\n}\n"
    text = f("main", "f0") + "".join(f(f"f{i}", f"f{i + 1}") for i in range(40)) + last
    with pytest.raises(StablehloError, match="more than 4194304 operations"):
        load(text)
