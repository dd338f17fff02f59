"""Operations between partitions, of which there is one here: what it would give to itself. What waits for others is refused."""

from __future__ import annotations

from typing import Any

import numpy as np

from ingot._tensor import Tensor
from ingot.functions.common import apply, scalar
from ingot.interchange.stablehlo.rules import Call, op
from ingot.ir import dtypes

__all__: list[str] = []

TOKEN = "token"


def _alone(groups: Any) -> None:
    """NotImplementedError unless every group has one member."""
    array = getattr(groups, "array", None)
    if array is not None and array.shape and array.shape[-1] > 1:
        raise NotImplementedError(f"groups of {array.shape[-1]} partitions; there is one")


@op("all_reduce", "cross-replica-sum", raw=True)
def all_reduce(
    *operands: Any, replica_groups: Any = None, channel_id: int = 0, channel_type: int = 0, use_global_device_ids: bool = False
) -> Any:
    _alone(replica_groups)
    return operands


@op("all_gather", raw=True)
def all_gather(
    *operands: Any, all_gather_dim: int, replica_groups: Any = None, channel_id: int = 0, channel_type: int = 0,
    use_global_device_ids: bool = False,
) -> Any:  # fmt: skip
    _alone(replica_groups)
    return operands


@op("reduce_scatter", raw=True)
def reduce_scatter(
    operand: Any, *, scatter_dimension: int, replica_groups: Any = None, channel_id: int = 0, channel_type: int = 0,
    use_global_device_ids: bool = False,
) -> Any:  # fmt: skip
    _alone(replica_groups)
    return operand


@op("all_to_all", raw=True)
def all_to_all(
    *operands: Any, split_dimension: int, concat_dimension: int, split_count: int, replica_groups: Any = None, channel_id: int = 0,
    channel_type: int = 0,
) -> Any:  # fmt: skip
    _alone(replica_groups)
    return operands


@op("collective_broadcast", raw=True)
def collective_broadcast(
    *operands: Any, replica_groups: Any = None, channel_id: int = 0, channel_type: int = 0, has_dynamic_root: bool = False
) -> Any:  # fmt: skip
    _alone(replica_groups)
    return operands[:-1] if has_dynamic_root else operands


@op("collective_reduce", raw=True)
def collective_reduce(
    *operands: Any, replica_groups: Any = None, channel_id: int = 0, channel_type: int = 0, use_global_device_ids: bool = False,
    has_dynamic_root: bool = False,
) -> Any:  # fmt: skip
    _alone(replica_groups)
    return operands[:-1] if has_dynamic_root else operands


@op("collective_permute")
def collective_permute(operand: Tensor, *, source_target_pairs: Any, channel_id: int = 0, channel_type: int = 0) -> Tensor:
    """What nobody sends to is zero."""
    if any(tuple(map(int, pair)) == (0, 0) for pair in source_target_pairs.array.reshape(-1, 2)):
        return operand
    return apply("broadcast", scalar(0, operand.dtype), attrs=(tuple(operand.shape),))


@op("partition_id", "replica_id")
def partition_id() -> Any:
    return np.zeros((), dtypes.u32.numpy)


@op("sdy.sharding_constraint", "sdy.reshard", raw=True)
def hint(operand: Any, *, sharding: Any = None) -> Any:
    return operand


@op("create_token", "after_all", raw=True)
def token(*inputs: Any) -> Any:
    return TOKEN


@op("async_start", raw=True)
def async_start(c: Call, *operands: Any) -> Any:
    """Done at once."""
    return (tuple(c.region(0, operands)),)


@op("async_done", raw=True)
def async_done(operand: Any) -> Any:
    return operand


@op("infeed", "outfeed", "send", "recv", raw=True)
def waiting(c: Call, *operands: Any, **attrs: Any) -> Any:
    raise NotImplementedError("there is nobody on the other side")
