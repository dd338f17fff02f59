"""Sequences of different lengths: padding and packing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ingot
from ingot._tensor import Tensor
from ingot.nn.functional.padding import pad
from ingot.nn.packed import PackedSequence

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence", "pack_sequence", "pad_sequence",
    "unpack_sequence", "unpad_sequence",
]  # fmt: skip


def _inverse(order: list[int]) -> list[int]:
    out = [0] * len(order)
    for i, o in enumerate(order):
        out[o] = i
    return out


def pack_padded_sequence(input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Pack (T, N, *) (or (N, T, *)) with these lengths; without enforce_sorted they may come in any order.

    RuntimeError for lengths that are not N, not positive, longer than T, or not sorted where they should be.

    >>> packed = nn.utils.rnn.pack_padded_sequence(ingot.tensor([[1, 2, 0], [3, 4, 5]]), [2, 3], True, enforce_sorted=False)
    >>> packed.data, packed.sorted_indices
    (tensor([3, 1, 4, 2, 5]), tensor([1, 0]))
    """
    wanted = [int(v) for v in (lengths.tolist() if isinstance(lengths, Tensor) else lengths)]
    x = input.transpose(0, 1) if batch_first else input
    if len(wanted) != x.shape[1]:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(wanted)} (batch_size={x.shape[1]})")
    if any(v <= 0 for v in wanted):
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if max(wanted) > x.shape[0]:
        raise RuntimeError(f"Expected lengths of at most {x.shape[0]} (the padded length), but got {max(wanted)}")
    order = sorted(range(len(wanted)), key=lambda i: -wanted[i])
    if enforce_sorted and any(a < b for a, b in zip(wanted, wanted[1:])):
        raise RuntimeError("`lengths` array must be sorted in decreasing order when `enforce_sorted` is True.")
    by_length = wanted if enforce_sorted else [wanted[i] for i in order]
    sorted_indices = None if enforce_sorted else ingot.tensor(order)
    if sorted_indices is not None:
        x = x.index_select(1, sorted_indices)
    sizes = [sum(v > t for v in by_length) for t in range(by_length[0])]
    n = len(wanted)
    flat = x.reshape((x.shape[0] * n, *x.shape[2:]))
    data = flat.index_select(0, ingot.tensor([t * n + r for t, size in enumerate(sizes) for r in range(size)]))
    return PackedSequence(data, ingot.tensor(sizes), sorted_indices, None if sorted_indices is None else ingot.tensor(_inverse(order)))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The padded (T, N, *) (or (N, T, *)) of a packed sequence, and the lengths.

    total_length: pad to this T; ValueError if a sequence is longer.

    >>> packed = nn.utils.rnn.pack_sequence([ingot.tensor([1, 2, 3]), ingot.tensor([4, 5])])
    >>> nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)
    (tensor([[1, 2, 3],
            [4, 5, 0]]), tensor([3, 2]))
    """
    padded, live = sequence._padded()
    sizes = sequence.batch_sizes.tolist()
    if total_length is not None:
        if total_length < len(sizes):
            raise ValueError(
                f"Expected total_length to be at least the length of the longest sequence, but got {total_length} < {len(sizes)}"
            )
        pads = [0, 0] * (padded.ndim - 1) + [0, total_length - len(sizes)]
        padded = pad(padded, pads)
        live = pad(live.long(), [0, 0, 0, 0, 0, total_length - len(sizes)]).bool()
    if padding_value:
        mask = live.reshape((live.shape[0], live.shape[1]) + (1,) * (padded.ndim - 2))
        padded = ingot.where(mask, padded, padding_value)
    lengths = ingot.tensor([sum(n > r for n in sizes) for r in range(sizes[0])])
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(1, sequence.unsorted_indices)
        lengths = lengths.index_select(0, sequence.unsorted_indices)
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(sequences: Sequence[Tensor], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    """Stack tensors (L_i, *) of different lengths, padded to the longest: (T, N, *), or (N, T, *) with batch_first.

    padding_side: "right" or "left". RuntimeError for another one, or an empty list.

    >>> nn.utils.rnn.pad_sequence([ingot.tensor([1, 2, 3]), ingot.tensor([4])], batch_first=True, padding_value=-1)
    tensor([[ 1,  2,  3],
            [ 4, -1, -1]])
    """
    items = list(sequences)
    if not items:
        raise RuntimeError("received an empty list of sequences")
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"padding_side must be 'right' or 'left', not {padding_side!r}")
    longest = max(s.shape[0] for s in items)
    padded = []
    for s in items:
        extra = longest - s.shape[0]
        padded.append(
            pad(s, [0, 0] * (s.ndim - 1) + ([0, extra] if padding_side == "right" else [extra, 0]), value=padding_value)
        )
    return ingot.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The list of (L_i, *) that `pad_sequence` padded.

    >>> nn.utils.rnn.unpad_sequence(ingot.tensor([[1, 2, 3], [4, 0, 0]]), ingot.tensor([3, 1]), batch_first=True)
    [tensor([1, 2, 3]), tensor([4])]
    """
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [x[i, : int(n)] for i, n in enumerate(lengths.tolist() if isinstance(lengths, Tensor) else lengths)]


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The list of (L_i, *) that `pack_sequence` packed.

    >>> nn.utils.rnn.unpack_sequence(nn.utils.rnn.pack_sequence([ingot.tensor([1, 2, 3]), ingot.tensor([4])]))
    [tensor([1, 2, 3]), tensor([4])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation (n,) that undoes another one, such as `sorted_indices` of a packed sequence; None of None.

    >>> nn.utils.rnn.invert_permutation(ingot.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    return ingot.empty_like(permutation).scatter_(0, permutation, ingot.arange(permutation.numel()))


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Pack a list of tensors (L_i, *), longest first, or in any order without enforce_sorted.

    >>> nn.utils.rnn.pack_sequence([ingot.tensor([1.0, 2.0]), ingot.tensor([3.0])]).data
    tensor([1., 3., 2.])
    """
    return pack_padded_sequence(pad_sequence(sequences), [s.shape[0] for s in sequences], enforce_sorted=enforce_sorted)
