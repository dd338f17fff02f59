"""`nn.attention.flex_attention`: attention whose scores go through a function of the user's, and are masked by one.

    causal = lambda b, h, q, k: q >= k
    mask = create_block_mask(causal, None, None, 8, 8)
    y = flex_attention(query, key, value, block_mask=mask)

Source: torch.nn.attention.flex_attention. The functions see one score at a time and are batched (`ingot.vmap`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import ingot
from ingot._tensor import Tensor

__all__ = [
    "AuxOutput", "AuxRequest", "BlockMask", "FlexKernelOptions", "and_masks", "create_block_mask", "create_mask", "flex_attention",
    "noop_mask", "or_masks",
]  # fmt: skip

_DEFAULT_SPARSE_BLOCK_SIZE = 128
Mask = Callable[[Any, Any, Any, Any], Any]  # (batch, head, position of the query, of the key) -> bool
FlexKernelOptions = dict[str, Any]  # accepted, and without effect


class AuxRequest(NamedTuple):
    """What `flex_attention` is to give beside its result."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What `flex_attention` gave beside its result: for each query the logsumexp of its scores and the largest. None: not asked."""

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Tensor:
    """The mask that lets everything through."""
    return ingot.ones((), dtype=ingot.bool)


def and_masks(*mask_mods: Mask) -> Mask:
    """The mask of what all masks let through.

    >>> both = nn.attention.flex_attention.and_masks(lambda b, h, q, k: q >= k, lambda b, h, q, k: q - k < 2)
    >>> nn.attention.flex_attention.create_mask(both, None, None, 3, 3).int()[0, 0].tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """
    return lambda b, h, q, k: math.prod([m(b, h, q, k) for m in mask_mods], start=ingot.ones((), dtype=ingot.bool))


def or_masks(*mask_mods: Mask) -> Mask:
    """The mask of what any mask lets through."""

    def either(b: Any, h: Any, q: Any, k: Any) -> Any:
        found = ingot.zeros((), dtype=ingot.bool)
        for m in mask_mods:
            found = found | m(b, h, q, k)
        return found

    return either


def _everywhere(fn: Callable, score: Tensor | None, shape: tuple[int, int, int, int]) -> Tensor:
    """fn(score, b, h, q, k), or fn(b, h, q, k), at every point."""
    first = () if score is None else (0,)
    for axis in (3, 2, 1, 0):
        fn = ingot.vmap(fn, in_dims=(*first, *(0 if i == axis else None for i in range(4))))
    return fn(*(() if score is None else (score,)), *(ingot.arange(n) for n in shape))


def create_mask(mod_fn: Callable, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Tensor:
    """A mask (or the changes to a score of 0) as a tensor of [B, H, Q_LEN, KV_LEN]; without B or H, 1 in their place.

    >>> nn.attention.flex_attention.create_mask(lambda b, h, q, k: q >= k, 1, 1, 2, 2)
    tensor([[[[ True, False],
              [ True,  True]]]])
    """
    shape = (B or 1, H or 1, Q_LEN, KV_LEN)
    if len(inspect.signature(mod_fn).parameters) == 5:
        return _everywhere(mod_fn, ingot.zeros(shape), shape)
    return _everywhere(mod_fn, None, shape).expand(shape)


class BlockMask:
    """A mask of [B, H, Q_LEN, KV_LEN] by a function, and which of its blocks let anything through."""

    def __init__(self, mask_mod: Mask, shape: tuple[int, int, int, int], BLOCK_SIZE: tuple[int, int]):
        self.mask_mod = mask_mod
        self.shape = shape
        self.BLOCK_SIZE = BLOCK_SIZE

    @property
    def seq_lengths(self) -> tuple[int, int]:
        """How many queries and keys there are."""
        return self.shape[2], self.shape[3]

    def numel(self) -> int:
        """How many points it has."""
        return math.prod(self.shape)

    def dense(self) -> Tensor:
        """The mask as a tensor of bools."""
        return create_mask(self.mask_mod, *self.shape)

    def to_dense(self) -> Tensor:
        """Blocks in which anything is let through: 1, others 0; [B, H, blocks of queries, blocks of keys]."""
        (rows, columns), mask = self.BLOCK_SIZE, self.dense()
        down, right = -mask.shape[2] % rows, -mask.shape[3] % columns
        mask = ingot.nn.functional.pad(mask.int(), (0, right, 0, down))
        b, h, q, k = mask.shape
        return mask.view(b, h, q // rows, rows, k // columns, columns).amax(dim=(3, 5))

    def sparsity(self) -> float:
        """The share of blocks that are left out, in percent."""
        return 100 * (1 - self.to_dense().float().mean().item())

    def to(self, device: Any) -> BlockMask:
        """Itself."""
        return self

    def __repr__(self) -> str:
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%)"


def create_block_mask(
    mask_mod: Mask,
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
    _compile: bool = False,
) -> BlockMask:
    """The mask of a function mask_mod(batch, head, query, key) -> bool, for `flex_attention`.

    >>> nn.attention.flex_attention.create_block_mask(lambda b, h, q, k: q >= k, None, None, 256, 256)
    BlockMask(shape=(1, 1, 256, 256), sparsity=25.00%)
    """
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else BLOCK_SIZE
    return BlockMask(mask_mod, (B or 1, H or 1, Q_LEN, KV_LEN), size)


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """Attention of query [B, H, L, E] over key [B, H, S, E] and value [B, H, S, V]: [B, H, L, V].

    return_aux: an AuxOutput with what it asks for is given, too; return_lse: the logsumexp of rows alone is.
    score_mod(score, batch, head, query, key) changes a score; block_mask masks; scale: 1 / sqrt(E) by default. Rows of which nothing
    is let through are 0. ValueError for shapes that do not fit.

    >>> x = ingot.ones(1, 1, 3, 4)
    >>> nn.attention.flex_attention.flex_attention(x, x, x, lambda s, b, h, q, k: s + (q - k)).shape
    ingot.Size([1, 1, 3, 4])
    """
    if return_lse and return_aux is not None:
        raise ValueError("flex_attention: return_lse and return_aux ask for the same: pass return_aux=AuxRequest(lse=True)")
    if query.ndim != 4 or key.ndim != 4 or value.ndim != 4:
        raise ValueError(f"flex_attention takes tensors of 4 dims, got {query.ndim}, {key.ndim} and {value.ndim}")
    if query.shape[1] != key.shape[1]:
        if not enable_gqa or query.shape[1] % key.shape[1]:
            raise ValueError(
                f"flex_attention: {query.shape[1]} heads of queries and {key.shape[1]} of keys; enable_gqa=True takes a multiple of them"
            )
        n = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(n, dim=1), value.repeat_interleave(n, dim=1)
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    b, h, q, k = scores.shape
    if score_mod is not None:
        scores = _everywhere(score_mod, scores, (b, h, q, k)).to(query.dtype)
    if block_mask is None:
        weights, lse = scores.softmax(-1), scores.logsumexp(-1)
    else:
        if block_mask.shape[2] < q or block_mask.shape[3] < k:
            raise ValueError(f"flex_attention: the mask is for {block_mask.seq_lengths} queries and keys, there are {(q, k)}")
        mask = create_mask(block_mask.mask_mod, b, h, q, k)
        scores = scores.masked_fill(~mask, -math.inf)
        some = mask.any(-1, keepdim=True)
        weights = ingot.where(some, ingot.where(some, scores, 0.0).softmax(-1), 0.0)
        lse = ingot.where(some[..., 0], ingot.where(some, scores, 0.0).logsumexp(-1), -math.inf)
    out = weights @ value
    if return_aux is not None:
        largest = scores.amax(-1) if return_aux.max_scores else None
        return out, AuxOutput(lse if return_aux.lse else None, largest)
    return (out, lse) if return_lse else out
