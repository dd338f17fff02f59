"""Connectionist temporal classification: the probability of a label sequence, summed over all its alignments by one scan."""

from __future__ import annotations

from collections.abc import Sequence

import ingot
from ingot._tensor import Tensor
from ingot._tensor.autocast import full
from ingot._tensor.composites import composite
from ingot._tensor.recording import record, stop_gradient
from ingot.ir.builder import Builder
from ingot.ir.dtypes import DType, bool_, i64
from ingot.ir.graph import Graph
from ingot.ir.op import OPS
from ingot.ir.size import ShapeError, remembered
from ingot.ir.types import tensor_type

NEVER = -1e30  # the logarithm of no probability: infinities would give NaN in the backward


@remembered(256)
def _step(dtype: DType, n: int, states: int) -> Graph:
    """skips, lengths | alphas, time | emissions -> alphas, time: one step of time through all states."""
    b = Builder("ctc_step")
    skips, lengths = b.expr(b.input(tensor_type(bool_, (n, states)), "skips")), b.expr(b.input(tensor_type(i64, (n, 1)), "lengths"))
    alpha, time = b.expr(b.input(tensor_type(dtype, (n, states)), "alpha")), b.expr(b.input(tensor_type(i64, ()), "time"))
    emitted = b.expr(b.input(tensor_type(dtype, (n, states)), "emitted"))

    def moved(by: int):  # type: ignore[no-untyped-def]
        if by >= states:
            return alpha.full(NEVER)
        cut = OPS["slice"](alpha, starts=(0, 0), stops=(n, states - by), steps=(1, 1))
        return OPS["pad"](cut, NEVER, low=(0, by), high=(0, 0), interior=(0, 0))

    one, two = moved(1), OPS["select"](skips, moved(2), NEVER)
    top = OPS["maximum"](OPS["maximum"](alpha, one), two)
    total = OPS["exp"](alpha - top) + OPS["exp"](one - top) + OPS["exp"](two - top)
    after = OPS["log"](total) + top + emitted
    alive = OPS["broadcast"](time < lengths, shape=(n, states))
    return b.freeze((OPS["select"](alive, after, alpha).value, (time + 1).value))


@composite
def _ctc(log_probs: Tensor, targets: Tensor, input_lengths: Tensor, target_lengths: Tensor, blank: int, zero_infinity: bool) -> Tensor:
    steps, n, _ = log_probs.shape
    labels = targets.shape[1]
    states = 2 * labels + 1
    place = ingot.arange(states, dtype=ingot.int64)
    padded = ingot.cat([targets, targets.new_full((n, 1), blank)], 1)
    within = ingot.arange(labels + 1, dtype=ingot.int64) < target_lengths.unsqueeze(1)
    padded = ingot.where(within, padded, blank)
    is_label = place % 2 == 1
    extended = ingot.where(is_label, padded.index_select(1, place // 2), blank)  # blanks between, before and after the labels
    before = ingot.cat([extended.new_full((n, 2), blank), extended], 1)[:, :states]
    skips = is_label & (extended != before)
    emitted = log_probs.gather(2, extended.unsqueeze(0).expand(steps, n, states))
    start = ingot.where(place == 0, 0.0, NEVER).to(log_probs.dtype).expand(n, states)
    body = _step(log_probs.dtype, n, states)
    time = ingot.zeros((), dtype=ingot.int64)
    lengths = input_lengths.unsqueeze(1)
    if steps:
        start, _ = record(OPS["scan"], (skips, lengths, start, time, emitted), (body, 2, 2, steps, False))
    last = 2 * target_lengths.unsqueeze(1)
    ends = ingot.cat([start.gather(1, last), ingot.where(last > 0, start.gather(1, (last - 1).clamp(min=0)), NEVER)], 1)
    loss = -ingot.logsumexp(ends, 1)
    # torch's gradient is that of normalised probabilities: the term they sum to has no value here, but a derivative
    alive = ingot.arange(steps, dtype=ingot.int64).unsqueeze(1) < input_lengths
    mass = ingot.where(alive.unsqueeze(2), log_probs, float("-inf")).exp()
    loss = loss + (mass - stop_gradient(mass)).sum((0, 2))
    impossible = loss > -0.5 * NEVER
    return ingot.where(impossible, 0.0 if zero_infinity else float("inf"), loss)


def _lengths(name: str, given: Tensor | Sequence[int], n: int) -> Tensor:
    t = given if isinstance(given, Tensor) else ingot.tensor(list(given), dtype=ingot.int64)
    if t.dtype.kind not in "iu":
        raise RuntimeError(f"ctc_loss: {name} must be integral, got {t.dtype}")
    if t.numel() != n:
        raise RuntimeError(f"ctc_loss: {name} must be of size batch_size {n}, got {t.numel()}")
    return t.reshape((n,)).long()


@full
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """-log of the probability of each target sequence, summed over all alignments to the log-probabilities (T, N, C).

    targets: (N, S) without blanks, or all sequences one after the other (then `target_lengths` are read). Without N: (T, C) and
    (S). "mean" divides by the target lengths first. `zero_infinity`: a target too long for its input gives 0, not infinity.
    RuntimeError for lengths and shapes that do not fit. As torch's, the gradient is the one for normalised log-probabilities.
    Source: https://doi.org/10.1145/1143844.1143891.

    >>> F.ctc_loss(ingot.zeros(5, 1, 3).log_softmax(-1), ingot.tensor([[1, 2]]), [5], [2])
    tensor(0.9689)
    """
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if not log_probs.is_floating_point() or log_probs.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: expected floating log_probs (T, N, C) or (T, C), got {log_probs.dtype} {list(log_probs.shape)}")
    single = log_probs.ndim == 2
    x = log_probs.unsqueeze(1) if single else log_probs
    steps, n, classes = x.shape
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank must be in label range 0 to {classes - 1}, got {blank}")
    if targets.dtype.kind not in "iu":
        raise RuntimeError(f"ctc_loss: targets must be integral, got {targets.dtype}")
    have, want = _lengths("input_lengths", input_lengths, n), _lengths("target_lengths", target_lengths, n)
    targets = targets.long()
    if targets.ndim == 1:
        sizes = want.tolist()
        if sum(sizes) != targets.shape[0]:
            raise RuntimeError(f"ctc_loss: target_lengths sum to {sum(sizes)}, but there are {targets.shape[0]} targets")
        rows = [ingot.constant_pad_nd(t, (0, max(sizes, default=0) - t.shape[0]), blank) for t in targets.split(sizes)]
        targets = ingot.stack(rows) if rows else targets.reshape((0, 0))
    if targets.ndim != 2 or targets.shape[0] != n:
        raise ShapeError(f"ctc_loss: expected targets of {n} sequences, got {list(targets.shape)}")
    loss = _ctc(x, targets, have, want, blank, bool(zero_infinity))
    if reduction == "mean":
        return (loss / want.clamp(min=1).to(loss.dtype)).mean()
    if reduction == "sum":
        return loss.sum()
    return loss.squeeze(0) if single else loss
