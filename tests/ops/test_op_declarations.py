"""What every declaration owes, and what is still owed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ingot.backends import NAMES, backend
from ingot.ir.builder import op_graph
from ingot.ir.facts import ONCE, Elementwise, Inline, OwnKernels, View
from ingot.ir.interpret import run
from ingot.ir.op import INLINED, LATER, NO_GRAD, NO_INPUTS, OPS, infer, register
from ingot.ir.ops.family import declare
from ingot.ir.ops.samples import cases, grad_cases, types_of
from ingot.ir.parse import parse
from ingot.ir.public import Binary, Unary
from ingot.ir.struct import fields, replace
from ingot.ir.transforms.vjp import vjp

ALL_OPS = sorted(OPS)

# Rules that are owed. A JVP that is owed comes from the VJP meanwhile (ir/transforms/jvp.py), so only speed is missing there.
LATER_VJP: set[str] = set()
LATER_JVP: set[str] = set()


def test_rules_that_are_owed():
    assert {n for n, op in OPS.items() if op.vjp is LATER} == LATER_VJP
    assert {n for n, op in OPS.items() if op.jvp is LATER} == LATER_JVP


def test_no_op_is_lost():
    known = set(
        """
        exp exp2 expm1 log log2 log10 log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh asinh acosh atanh tanh sigmoid erf erfc lgamma
        digamma floor ceil round trunc neg abs sign reciprocal logical_not bitwise_not isnan isinf isfinite
        add sub mul div floor_divide remainder fmod pow maximum minimum atan2 copysign integer_pow eq ne lt le gt ge
        logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor shift_left shift_right select cast bitcast
        constant iota random_bits reduce_sum reduce_prod reduce_max reduce_min reduce_and reduce_or argmax argmin
        reshape transpose broadcast slice pad reverse concatenate gather scatter index_get index_put dot
        conv conv_input_grad conv_weight_grad window_max window_sum window_argmax window_scatter window_sum_grad
        cumsum cumprod cummax cummin sort scan call
        """.split()
    )
    assert known <= set(OPS)


@pytest.mark.parametrize("name", ALL_OPS)
def test_declaration(name):
    op = OPS[name]
    assert op.name == name and op.doc.endswith(".")
    if isinstance(op.lowering, Inline):
        assert op.vjp is op.jvp is op.batch is INLINED
        return
    for rule in (op.vjp, op.jvp):
        assert callable(rule) or rule in (LATER, NO_GRAD)
    reads = any(arrays for arrays, _ in cases(op, np.random.default_rng(0)))
    assert callable(op.batch) if reads else op.batch is NO_INPUTS


@pytest.mark.parametrize("missing", ["vjp", "jvp", "batch", "lowering", "foldable", "samples"])
def test_a_declaration_without_a_rule_or_a_fact_is_refused(missing):
    tanh = OPS["tanh"]
    given = {n: getattr(tanh, n) for n in fields(tanh) if n not in ("name", "doc", "attr_names", "infer", "ref", missing)}
    with pytest.raises(TypeError, match=f"^Op\\(\\) misses {missing}$"):
        declare("softsign", doc=tanh.doc, infer=tanh.infer, ref=tanh.ref, **given)
    assert "softsign" not in OPS


@pytest.mark.parametrize("kind", [Elementwise, View])
def test_what_may_be_computed_twice_says_what_it_costs(kind):
    with pytest.raises(TypeError, match="misses cost$"):
        kind(lambda *args: None)
    assert OPS["sort"].lowering.cost is ONCE


@pytest.mark.parametrize("name", NAMES)
def test_every_target_knows_the_kernels_of_ops(name):
    target = backend(name)
    kinds = {op.lowering.kind for op in OPS.values() if isinstance(op.lowering, OwnKernels)}
    for level in target.levels.values():
        assert kinds and kinds <= set(target.target(level).kinds)


def test_a_public_function_has_a_domain_and_tensors_of_its_kind():
    with pytest.raises(ValueError, match="^the domain of a public Unary is one of float, number, rounding, not 'floats'$"):
        Unary("floats")
    with pytest.raises(ValueError, match="^the tensors of a public Binary are one, first or both, not 'second'$"):
        Binary("number", tensors="second")


def test_an_op_is_declared_once():
    with pytest.raises(ValueError, match="^op tanh is declared twice$"):
        register(replace(OPS["tanh"]))


@pytest.mark.parametrize("name", ALL_OPS)
def test_reference_keeps_the_promise_of_the_type_rule(name):
    op = OPS[name]
    samples = cases(op, np.random.default_rng(0))
    assert samples
    for arrays, attrs in samples:
        hash(attrs)
        before = [a.copy() for a in arrays]
        graph = op_graph(op, attrs, types_of(arrays))
        outs = run(graph, arrays)  # raises where dtype or shape differ from the type rule
        assert graph.out_types == infer(op, types_of(arrays), attrs)
        for a, b in zip(arrays, before):
            assert a.tobytes() == b.tobytes(), "a reference wrote to its input"
        for out in outs:
            assert out.flags.c_contiguous and not any(np.shares_memory(out, a) for a in arrays)


@pytest.mark.parametrize("name", ALL_OPS)
def test_text_round_trip(name):
    """Every op, with every sample's attributes, prints and parses back; so does its backward graph."""
    op = OPS[name]
    for arrays, attrs in cases(op, np.random.default_rng(0)):
        graph = op_graph(op, attrs, types_of(arrays))
        assert parse(graph.text).text == graph.text
        if callable(op.vjp):
            back = vjp(graph, (True,) * len(arrays), (True,) * len(graph.outputs)).graph
            assert parse(back.text).text == back.text


@pytest.mark.parametrize("name", [n for n in ALL_OPS if callable(OPS[n].vjp) and n not in ("bitcast",)])
def test_differentiable_ops_have_samples_for_it(name):
    assert grad_cases(OPS[name], np.random.default_rng(0))


def test_declaring_ops_loads_no_transform_and_no_interpreter():
    code = "import sys, ingot.ir.ops; print(*(m for m in sys.modules if m.startswith(('ingot.ir.transforms', 'ingot.ir.interpret'))))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_extents_zero_and_one_are_among_the_samples():
    without = {"constant", "random_bits", "reduce_and", "reduce_or", "scan", "call", "cond", "while_loop"}
    for name, op in OPS.items():
        samples = cases(op, np.random.default_rng(0))
        shapes = [t.shape for a, attrs in samples for t in (*types_of(a), *infer(op, types_of(a), attrs)) if a]
        if name not in without and shapes:
            assert any(1 in s for s in shapes), name
            if name not in ("argmax", "argmin", "reduce_max", "reduce_min"):
                assert any(0 in s for s in shapes), name


def test_what_takes_complex_values_has_a_rule_on_their_parts():
    from ingot.ir.facts import ByParts, OverComplex
    from ingot.ir.ops.parts import RULES

    takes = {n for n, op in OPS.items() if op.over_complex is not OverComplex.NONE and not op.lowering.graphs}
    assert takes == set(RULES)
    assert {n for n, op in OPS.items() if isinstance(op.lowering, ByParts)} <= takes
