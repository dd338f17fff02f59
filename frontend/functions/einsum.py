"""einsum: an equation over labelled dims, carried out as a chain of pairwise products."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters, ascii_lowercase, ascii_uppercase
from typing import Any

from ingot._tensor.autocast import lower
from ingot._tensor.composites import composite
from ingot._tensor.overriding import spread
from ingot.functions.common import ShapeError, Tensor, apply, cast, dtype_name, dtypes
from ingot.functions.matmul import dot_general

__all__ = [
    "einsum",
]  # fmt: skip

Labels = tuple[str, ...]


@spread
@lower
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Sums of products by Einstein's convention, as in `"bij,bjk->bik"`; `...` stands for dims that broadcast.

    Without `->` the labels that appear once, in alphabetical order, make the result. A label repeated within one operand takes
    its diagonal. Instead of an equation, each operand may be followed by a list of its labels as numbers from 0 to 51, and `...`;
    a last list is the result's. With one operand of which nothing is summed, the result is a view of it. Integers that are summed
    outside of products give int64. RuntimeError for a malformed equation or extents that differ, ValueError for another number.

        >>> ingot.einsum("ij,jk->ik", ingot.ones(2, 3), ingot.ones(3, 4)).shape
        ingot.Size([2, 4])
    """
    if isinstance(equation, Tensor):
        return einsum(*_numbered(equation, *operands))
    tensors: Sequence[Any] = operands
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        tensors = operands[0]
    if not isinstance(equation, str):
        raise TypeError(f"einsum(): the equation must be str, not {type(equation).__name__}")
    if not tensors:
        raise RuntimeError("einsum(): must provide at least one operand")
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"einsum(): operands must be Tensors, not {type(t).__name__}")
        if t.dtype is not tensors[0].dtype:
            raise RuntimeError(
                f"einsum(): expected operands of one dtype, but got: {dtype_name(tensors[0].dtype)} != {dtype_name(t.dtype)}"
            )
    inputs, output = parse(equation, [t.ndim for t in tensors])
    _check_extents(inputs, tensors)
    if len(tensors) == 1 and set(inputs[0]) == set(output):
        return _view(tensors[0], inputs[0], output)
    return _einsum(*tensors, inputs=inputs, output=output)


def _view(x: Tensor, labels: Labels, output: Labels) -> Tensor:
    """One operand whose dims all stay: a view of it."""
    while len(set(labels)) < len(labels):
        label = next(c for c in labels if labels.count(c) > 1)
        i = labels.index(label)
        j = labels.index(label, i + 1)
        x = x.diagonal(0, i, j)
        labels = (*(c for d, c in enumerate(labels) if d not in (i, j)), label)
    return x.permute([labels.index(c) for c in output])


def _numbered(*operands: Any) -> tuple[Any, ...]:
    """The equation that lists of numbers say, and the operands: `a, [0, 1], b, [1, 2], [0, 2]` is `"AB,BC->AC"`."""
    tensors, terms = operands[: len(operands) // 2 * 2 : 2], [_letters(labels) for labels in operands[1::2]]
    text = ",".join(terms)
    return text if len(operands) % 2 == 0 else f"{text}->{_letters(operands[-1])}", *tensors


def _letters(labels: Any) -> str:
    if not isinstance(labels, (list, tuple)):
        raise TypeError(f"einsum(): each operand must be followed by a list of its labels, not {type(labels).__name__}")
    for i in labels:
        if i is not Ellipsis and not 0 <= i < len(ascii_letters):
            raise ValueError(f"einsum(): a label must be a number from 0 to 51 or `...`, but got {i}")
    return "".join("..." if i is Ellipsis else (ascii_uppercase + ascii_lowercase)[i] for i in labels)


def _terms(text: str, allow_comma: bool) -> list[list[str]]:
    """The labels of each operand; "..." is one label."""
    terms: list[list[str]] = [[]]
    i = 0
    while i < len(text):
        c = text[i]
        if c.isascii() and c.isalpha():
            terms[-1].append(c)
        elif text.startswith("...", i):
            if "..." in terms[-1]:
                raise RuntimeError(f"einsum(): found '...' more than once in one operand of {text!r}")
            terms[-1].append("...")
            i += 2
        elif c == "," and allow_comma:
            terms.append([])
        elif c != " ":
            raise RuntimeError(f"einsum(): invalid character {c!r} in {text!r}: labels are letters, beside ',', '->' and '...'")
        i += 1
    return terms


def parse(equation: str, ranks: Sequence[int]) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of every operand and of the result, the ellipsis spelled out as labels "0", "1", ... from the right."""
    left, arrow, right = equation.partition("->")
    terms = _terms(left, True)
    if len(terms) != len(ranks):
        raise RuntimeError(f"einsum(): the equation {equation!r} names {len(terms)} operands, but {len(ranks)} were given")
    inputs, wide = [], 0
    for term, rank in zip(terms, ranks):
        named = len(term) - ("..." in term)
        if named > rank or (named < rank and "..." not in term):
            raise ShapeError(
                f"einsum(): the number of subscripts in the equation ({named}) does not match the number of dimensions ({rank}) for an "
                "operand"
            )
        extra = rank - named if "..." in term else 0
        wide = max(wide, extra)
        inputs.append((term, extra))
    spelled = [_spell(term, extra) for term, extra in inputs]
    if arrow:
        (result,) = _terms(right, False)
        output = _spell(result, wide)
        if len(set(output)) < len(output):
            raise RuntimeError(f"einsum(): an output subscript appears more than once in {equation!r}")
        for label in output:
            if not any(label in s for s in spelled) and not label.isdigit():
                raise RuntimeError(f"einsum(): output subscript {label} does not appear in the equation for any input operand")
    else:
        every = [x for s in spelled for x in s]
        letters = sorted(x for x in set(every) if not x.isdigit() and every.count(x) == 1)
        output = _spell(["..."], wide) + tuple(letters)
    return tuple(spelled), output


def _spell(term: list[str], extra: int) -> Labels:
    out: list[str] = []
    for label in term:
        out += [str(i) for i in reversed(range(extra))] if label == "..." else [label]
    return tuple(out)


def _check_extents(inputs: tuple[Labels, ...], tensors: Sequence[Tensor]) -> None:
    extent: dict[str, int] = {}
    for labels, t in zip(inputs, tensors):
        here: dict[str, int] = {}
        for label, n in zip(labels, t.shape):
            if here.setdefault(label, n) != n:
                raise ShapeError(f"einsum(): subscript {label} is repeated for an operand but the sizes don't match, {n} != {here[label]}")
            known = extent.setdefault(label, n)
            if known == 1:
                extent[label] = n
            elif n not in (1, known):
                raise ShapeError(f"einsum(): operands do not broadcast: subscript {label} has the sizes {known} and {n}")


def diagonals(x: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """One dim for each label: repeated ones take the diagonal, by a mask-free walk of flattened dims."""
    while len(set(labels)) < len(labels):
        label = next(c for c in labels if labels.count(c) > 1)
        i = labels.index(label)
        j = labels.index(label, i + 1)
        n = x.shape[i]
        order = (*(d for d in range(x.ndim) if d not in (i, j)), i, j)
        x = apply("transpose", x, attrs=(order,))
        lead = tuple(x.shape[:-2])
        zeros = (0,) * len(lead)
        # the diagonal of n x n is every (n + 1)-th element of the flattened matrix
        x = apply("reshape", x, attrs=((*lead, n * n),))
        x = apply("slice", x, attrs=((*zeros, 0), (*lead, n * n), (*(1 for _ in lead), n + 1)))
        labels = (*(labels[d] for d in order[:-2]), label)
    return x, labels


def _sum_out(x: Tensor, labels: Labels, keep: set[str]) -> tuple[Tensor, Labels]:
    axes = tuple(i for i, c in enumerate(labels) if c not in keep)
    if not axes:
        return x, labels
    left = tuple(c for c in labels if c in keep)
    if x.dtype.kind in "iub":  # as `sum`
        x = cast(x, dtypes.i64)
    x = apply("reduce_sum", x, attrs=(axes,))
    return apply("reshape", x, attrs=(tuple(n for i, n in enumerate(x.shape) if i not in axes),)), left


def _drop_ones(x: Tensor, labels: Labels, other: dict[str, int]) -> tuple[Tensor, Labels]:
    """Without the dims of extent 1 that the other operand has wider: they broadcast."""
    gone = [i for i, c in enumerate(labels) if x.shape[i] == 1 and other.get(c, 1) != 1]
    if not gone:
        return x, labels
    shape = tuple(n for i, n in enumerate(x.shape) if i not in gone)
    return apply("reshape", x, attrs=(shape,)), tuple(c for i, c in enumerate(labels) if i not in gone)


@composite
def _einsum(*tensors: Tensor, inputs: tuple[Labels, ...], output: Labels) -> Tensor:
    pairs = [diagonals(x, labels) for x, labels in zip(tensors, inputs)]
    x, labels = pairs[0]
    for k in range(1, len(pairs)):
        y, others = pairs[k]
        later = set(output).union(*(ls for _, ls in pairs[k + 1 :]))
        x, labels = _sum_out(x, labels, later | set(others))
        y, others = _sum_out(y, others, later | set(labels))
        wide = dict(zip(labels, x.shape))
        x, labels = _drop_ones(x, labels, dict(zip(others, y.shape)))
        y, others = _drop_ones(y, others, wide)
        if x.dtype is not y.dtype:  # one of them has been summed
            x, y = cast(x, dtypes.i64), cast(y, dtypes.i64)
        shared = [c for c in labels if c in others]
        batch = [c for c in shared if c in later]
        contract = [c for c in shared if c not in later]
        x = dot_general(
            x, y,
            (tuple(map(labels.index, batch)), tuple(map(others.index, batch))),
            (tuple(map(labels.index, contract)), tuple(map(others.index, contract))),
        )  # fmt: skip
        labels = (*batch, *(c for c in labels if c not in shared), *(c for c in others if c not in shared))
    x, labels = _sum_out(x, labels, set(output))
    missing = tuple(c for c in output if c not in labels)  # an ellipsis that stood for no dims anywhere
    if missing:
        x = apply("reshape", x, attrs=((*x.shape, *(1 for _ in missing)),))
        labels = (*labels, *missing)
    perm = tuple(map(labels.index, output))
    return x if perm == tuple(range(len(perm))) and len(tensors) > 1 else apply("transpose", x, attrs=(perm,))
