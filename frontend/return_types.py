"""The named tuples that functions give, by the names of torch.return_types: functions that give the same share a class."""

from __future__ import annotations

from ingot.functions.extrema import Extremes as aminmax
from ingot.functions.extrema import ValuesIndices

__all__ = ["aminmax", "cummax", "cummin", "kthvalue", "max", "median", "min", "mode", "nanmedian", "sort", "topk"]

cummax = cummin = kthvalue = max = median = min = mode = nanmedian = sort = topk = ValuesIndices
