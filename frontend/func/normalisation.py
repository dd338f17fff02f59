"""Batch normalisation without running statistics, for functions of functions: a batch of samples writes to no buffer."""

from __future__ import annotations

from ingot.nn.modules.module import Module
from ingot.nn.modules.normalization import _BatchNorm

__all__ = ["replace_all_batch_norm_modules_"]


def replace_all_batch_norm_modules_(root: Module) -> Module:
    """Have every batch normalisation in `root` keep no running statistics, in place: it uses those of its batch always. Returns `root`.

    >>> net = ingot.func.replace_all_batch_norm_modules_(nn.Sequential(nn.BatchNorm1d(2)))
    >>> net[0].running_mean is None
    True
    """
    for module in root.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root
