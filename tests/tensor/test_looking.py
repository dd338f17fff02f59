"""What people look at: operations counted, models summed up, anomalies found."""

from __future__ import annotations

import pytest

import ingot
from ingot import nn
from ingot.utils.flop_counter import FlopCounterMode
from ingot.utils.summary import summary

NET = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
aten = ingot.ops.aten


def test_flops_of_a_training_step(capsys):
    with FlopCounterMode() as counter:
        NET(ingot.ones(2, 3, 8, 8)).sum().backward()
    conv, linear = 2 * 2 * 8 * 36 * 27, 2 * 2 * 288 * 10
    counts = counter.get_flop_counts()  # torch's numbers; addmm is mm here
    assert counts["Global"] == {aten.convolution: conv, aten.mm: 3 * linear, aten.convolution_backward: conv}
    assert counts["Sequential.0"] == {aten.convolution: conv} and counts["Sequential.2"] == {aten.mm: linear}
    assert counts["Sequential"] == {aten.convolution: conv, aten.mm: linear}
    assert counter.get_total_flops() == 2 * conv + 3 * linear
    shown = capsys.readouterr().out
    assert "Sequential.2" in shown and "- aten.mm" in shown and "100.00%" in shown
    assert "Sequential.2" not in counter.get_table(depth=1)


def test_flops_within_loops_and_composites():
    with FlopCounterMode(display=False) as counter:
        q = ingot.ones(2, 4, 16, 8)
        nn.functional.scaled_dot_product_attention(q, q, q)
        w = ingot.ones(3, 3)
        ingot.scan(lambda c, x: (c @ w + x, c), ingot.ones(2, 3), ingot.ones(5, 2, 3))
    assert counter.get_flop_counts() == {"Global": {aten.bmm: 2 * 2 * 8 * 16 * 16 * 8, aten.mm: 5 * 2 * 2 * 9}}


def test_flops_that_users_count():
    counted = {aten.softmax: lambda x, out_shape: 5 * out_shape[0] * x[1]}
    with FlopCounterMode(display=False, custom_mapping=counted) as counter:
        (ingot.ones(2, 3) @ ingot.ones(3, 4)).softmax(-1)
    assert counter.get_total_flops() == 2 * 2 * 3 * 4 + 5 * 8
    assert (ingot.ones(2) * 2).tolist() == [2.0, 2.0] and nn.Module.__call__.__qualname__ == "Module.__call__"  # nothing stays


def test_summary():
    found = summary(NET, ingot.ones(2, 3, 8, 8))
    assert [(r.name, r.kind, r.shapes, r.parameters) for r in found.rows] == [
        ("", "Sequential", ((2, 10),), 0), ("0", "Conv2d", ((2, 8, 6, 6),), 224), ("1", "Flatten", ((2, 288),), 0),
        ("2", "Linear", ((2, 10),), 2890),
    ]  # fmt: skip
    assert found.parameters == found.trainable == 3114 and found.nbytes == 4 * 3114
    assert found.flops == found.rows[0].flops == found.rows[1].flops + found.rows[3].flops
    text = str(found)
    assert "2 (Linear)" in text and "[2, 8, 6, 6]" in text and "parameters: 3,114" in text
    assert not NET[0]._forward_hooks and not NET[0]._forward_pre_hooks
    with pytest.raises(TypeError, match="expected a Module"):
        summary(lambda x: x, ingot.ones(1))


def test_anomaly_mode_names_the_line_of_the_forward():
    x = ingot.zeros(2, requires_grad=True)
    for mode in (ingot.autograd.detect_anomaly(), ingot.autograd.set_detect_anomaly(True)):
        with mode, pytest.raises(RuntimeError, match=r"(?s)nan.*test_looking.py:\d+.*y = x.sqrt"):
            y = x.sqrt() * 0  # its derivative at 0 is infinite
            y.sum().backward()
    for mode in (ingot.autograd.detect_anomaly(check_nan=False), ingot.autograd.set_detect_anomaly(True, check_nan=False)):
        with mode:
            (x.sqrt() * 0).sum().backward()
    assert not ingot.is_anomaly_enabled()
