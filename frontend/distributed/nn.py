"""Functions across processes that have gradients, by the names of torch.distributed.nn: there are no other processes."""

from __future__ import annotations

from ingot._refused import refused
from ingot.distributed import ONE_PROCESS

__all__ = ["all_gather", "all_reduce", "all_to_all", "broadcast", "gather", "reduce", "reduce_scatter", "scatter"]

all_gather, all_reduce, all_to_all = (refused(f"distributed.nn.{n}", ONE_PROCESS) for n in ("all_gather", "all_reduce", "all_to_all"))
broadcast, gather, reduce = (refused(f"distributed.nn.{n}", ONE_PROCESS) for n in ("broadcast", "gather", "reduce"))
reduce_scatter, scatter = (refused(f"distributed.nn.{n}", ONE_PROCESS) for n in ("reduce_scatter", "scatter"))
