"""utils.checkpoint: policies, what differs in the second run, autocast and random numbers in it."""

from __future__ import annotations

import functools

import pytest

import ingot
from ingot.utils.checkpoint import (
    CheckpointError,
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
    set_checkpoint_debug_enabled,
    set_checkpoint_early_stop,
)

W = (ingot.arange(9.0).reshape(3, 3) / 9).requires_grad_()
X = (ingot.arange(6.0).reshape(2, 3) / 6).requires_grad_()


def block(x):
    return ((x @ W).sin() @ W).softmax(-1)


def gradients(run):
    X.grad = W.grad = None
    run(X)[:, 0].sum().backward()
    return X.grad, W.grad


def test_policies_say_what_is_kept():
    seen = []

    def policy(ctx, op, *args):
        seen.append((ctx.is_recompute, op))
        return CheckpointPolicy.MUST_SAVE if op == ingot.ops.aten.mm.default else CheckpointPolicy.PREFER_RECOMPUTE

    wanted = gradients(block)
    for choice in (policy, [ingot.ops.aten.mm], lambda ctx, op, *args: op is ingot.ops.aten.sin):
        keep = functools.partial(create_selective_checkpoint_contexts, choice)
        found = gradients(functools.partial(checkpoint, block, use_reentrant=False, context_fn=keep))
        ingot.testing.assert_close(found, wanted, rtol=0, atol=0)
    names = [op.name for again, op in seen if again]
    assert names == [op.name for again, op in seen if not again] and names.count("aten::mm") == 2 and "aten::sin" in names


def test_a_backward_that_is_repeated():
    y = checkpoint(block, X, use_reentrant=False, context_fn=lambda: create_selective_checkpoint_contexts([ingot.ops.aten.mm]))
    first = ingot.autograd.grad(y[:, 0].sum(), X, retain_graph=True)
    ingot.testing.assert_close(first, ingot.autograd.grad(y[:, 0].sum(), X))


def test_a_policy_that_changes_its_mind():
    runs = []

    def policy(ctx, op, *args):
        runs.append(op)
        return ctx.is_recompute

    y = checkpoint(block, X, use_reentrant=False, context_fn=lambda: create_selective_checkpoint_contexts(policy))
    with pytest.raises(CheckpointError, match="was not kept"):
        y.sum().backward()
    with pytest.raises(TypeError, match="must give a CheckpointPolicy"):
        checkpoint(block, X, context_fn=lambda: create_selective_checkpoint_contexts(lambda *a: "save"))
    with pytest.raises(ValueError, match="operators such as"):
        create_selective_checkpoint_contexts(["mm"])


def test_functions_that_differ_in_the_second_run():
    runs = []

    def changing(x):
        runs.append(x)
        return x.sin() if len(runs) % 2 else x.sin() + x.cos()

    with pytest.raises(CheckpointError, match="3 differentiable operations .* and 1 before"):
        checkpoint(changing, X, use_reentrant=False).sum().backward()
    with pytest.raises(CheckpointError, match=r"(?s)first run:\nSinBackward0 of f32.2,3.\nthe second"), set_checkpoint_debug_enabled(True):
        checkpoint(changing, X, use_reentrant=False).sum().backward()
    checkpoint(changing, X, use_reentrant=False, determinism_check="none").sum().backward()


def test_arguments():
    with pytest.raises(ValueError, match="determinism_check should be one of"):
        checkpoint(block, X, determinism_check="some")
    with pytest.raises(ValueError, match="only supported when use_reentrant=False"):
        checkpoint(block, X, use_reentrant=True, debug=True)
    with set_checkpoint_early_stop(False):
        ingot.testing.assert_close(gradients(lambda x: checkpoint(block, x, use_reentrant=False, early_stop=True)), gradients(block))


def test_autocast_is_as_it_was():
    with ingot.autocast("cpu", ingot.bfloat16):
        y = checkpoint(lambda x: x @ W, X, use_reentrant=False)
        z = X @ W
    assert y.dtype is ingot.bfloat16
    first = ingot.autograd.grad(y.float().sum(), X)
    ingot.testing.assert_close(first, ingot.autograd.grad(z.float().sum(), X), rtol=0, atol=0)
