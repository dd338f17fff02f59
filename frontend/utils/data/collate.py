"""From a list of samples to a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["default_collate", "default_convert"]

np_str_obj_array_pattern = re.compile(r"[SaUO]")  # of dtypes whose arrays are not collated; libraries take it from here


def default_collate(batch: list) -> Any:
    """Stack samples: tensors, arrays and numbers into tensors with a new first dim; dicts, tuples and lists entry by entry.

    Strings stay a list. TypeError for anything else, RuntimeError if the samples' structures differ.
    """
    import ingot

    first = batch[0]
    if isinstance(first, ingot.Tensor):
        return ingot.stack(list(batch), 0)
    if isinstance(first, np.ndarray):
        if first.dtype.kind in "SUO":
            raise TypeError(_refusal(first.dtype))
        return ingot.from_numpy(np.stack(batch))
    if isinstance(first, (bool, np.bool_)):
        return ingot.tensor([bool(b) for b in batch])
    if isinstance(first, np.generic):
        return ingot.from_numpy(np.asarray(batch, first.dtype))
    if isinstance(first, float):
        return ingot.tensor(batch, dtype=ingot.float64)
    if isinstance(first, int):
        return ingot.tensor(batch)
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        out = {k: default_collate([d[k] for d in batch]) for k in first}
        return _rebuilt(first, out)
    if isinstance(first, Sequence):
        if any(len(b) != len(first) for b in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        columns = [default_collate(list(c)) for c in zip(*batch)]
        if hasattr(first, "_fields"):
            return type(first)(*columns)
        return columns
    raise TypeError(_refusal(type(first)))


def _refusal(kind: Any) -> str:
    return f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {kind}"


def _rebuilt(like: Any, table: dict) -> Any:
    try:
        return type(like)(table)
    except TypeError:
        return table


def default_convert(data: Any) -> Any:
    """What a DataLoader without batching does to each sample: arrays become tensors, containers entry by entry."""
    import ingot

    if isinstance(data, (np.ndarray, np.generic)) and data.dtype.kind not in "SUO":
        return ingot.from_numpy(np.asarray(data))
    if isinstance(data, Mapping):
        return _rebuilt(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(v) for v in data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [default_convert(v) for v in data]
    return data
