"""What a checkpoint keeps: policies say which operations are computed again in backward, and which results are kept for it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ingot import ops
from ingot._tensor import wrap
from ingot._tensor.intercept import Emit, intercepted, operator_of
from ingot.runtime.array import Array
from ingot.runtime.tape import Signature

__all__ = ["CheckpointError", "CheckpointPolicy", "SelectiveCheckpointContext", "create_selective_checkpoint_contexts"]


class CheckpointError(RuntimeError):
    """The function did something else when it was called again."""


class CheckpointPolicy(enum.Enum):
    """What happens to an operation's result: kept for backward (…_SAVE), or computed again there (…_RECOMPUTE).

    MUST_… and PREFER_… are one here: nothing overrules a policy. Kept on the host (…_CPU_OFFLOAD) is kept.
    """

    MUST_SAVE = 0
    PREFER_SAVE = 1
    MUST_RECOMPUTE = 2
    PREFER_RECOMPUTE = 3
    MUST_CPU_OFFLOAD = 4

    @property
    def saves(self) -> bool:
        """Whether the result is kept."""
        return self in (CheckpointPolicy.MUST_SAVE, CheckpointPolicy.PREFER_SAVE, CheckpointPolicy.MUST_CPU_OFFLOAD)


class SelectiveCheckpointContext:
    """What a policy is told besides: `is_recompute`, whether this is the computation in backward."""

    def __init__(self, *, is_recompute: bool):
        self.is_recompute = is_recompute


def create_selective_checkpoint_contexts(
    policy_fn_or_list: Callable[..., Any] | Sequence[Any], allow_cache_entry_mutation: bool = False
) -> tuple[_Block, _Block]:
    """For `checkpoint(context_fn=...)`: blocks around the function's two runs, of which the first keeps what the policy says.

    policy_fn_or_list  policy(ctx, op, *tensors) gives a CheckpointPolicy (or a bool: whether to keep); or a list of operators to keep. An
                       operator is `ingot.ops.aten.…`, with or without an overload: products are `mm` and `bmm`, convolutions
                       `convolution`, others go by their own names, such as `softmax` and `exp`
    allow_cache_entry_mutation  accepted: what is kept is never written to

    >>> from ingot.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts
    >>> keep = lambda: create_selective_checkpoint_contexts([ingot.ops.aten.mm.default])
    >>> x = ingot.ones(2, 2, requires_grad=True)
    >>> checkpoint(lambda x: (x @ x).sin(), x, use_reentrant=False, context_fn=keep).sum().backward()
    """
    if callable(policy_fn_or_list):
        policy: Callable[..., Any] = policy_fn_or_list
    else:
        kept = list(policy_fn_or_list)
        for op in kept:
            if not isinstance(op, ops.Operator):
                raise ValueError(f"create_selective_checkpoint_contexts: a function or operators such as ingot.ops.aten.mm, not {op!r}")

        def policy(ctx: Any, op: Any, *args: Any, **kwargs: Any) -> Any:
            return CheckpointPolicy.MUST_SAVE if op in kept else CheckpointPolicy.PREFER_RECOMPUTE

    store: list[list[Array]] = []
    return _Block(_saving, policy, store), _Block(_recalling, policy, store)


class _Block:
    """A block that can be entered again."""

    def __init__(self, make: Callable[..., AbstractContextManager], *args: Any):
        self.make, self.args = make, args
        self.entered: list[AbstractContextManager] = []

    def __enter__(self) -> None:
        self.entered.append(self.make(*self.args))
        self.entered[-1].__enter__()

    def __exit__(self, *exc: Any) -> Any:
        return self.entered.pop().__exit__(*exc)


def _asked(policy: Callable, ctx: SelectiveCheckpointContext, sig: Signature, arrays: Sequence[Array]) -> bool:
    found = policy(ctx, operator_of(sig), *(wrap((a, None)) for a in arrays))
    if isinstance(found, bool):
        return found
    if not isinstance(found, CheckpointPolicy):
        raise TypeError(f"a checkpoint's policy must give a CheckpointPolicy or a bool, got {type(found).__name__}")
    return found.saves


@contextmanager
def _saving(policy: Callable, store: list[list[Array]]) -> Iterator[None]:
    ctx = SelectiveCheckpointContext(is_recompute=False)

    def handle(sig: Signature, arrays: Sequence[Array], emit: Emit) -> list[Array]:
        outs = emit()
        if _asked(policy, ctx, sig, arrays):
            store.append(list(outs))
        return outs

    with intercepted(handle):
        yield


@contextmanager
def _recalling(policy: Callable, store: list[list[Array]]) -> Iterator[None]:
    ctx = SelectiveCheckpointContext(is_recompute=True)
    at = 0

    def handle(sig: Signature, arrays: Sequence[Array], emit: Emit) -> list[Array]:
        nonlocal at
        if not _asked(policy, ctx, sig, arrays):
            return emit()
        if at >= len(store) or tuple(a.type for a in store[at]) != sig.out_types:
            raise CheckpointError(f"checkpoint: {sig.name} was not kept when the function ran first: its policy, or what it does, differs")
        at += 1
        return store[at - 1]

    with intercepted(handle):
        yield
