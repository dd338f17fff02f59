"""The axes of a nest as threads run over them: which run as one, and along which neighbouring threads are neighbours."""

from __future__ import annotations

import math

from ingot.ir.lower.assumed import assumed
from ingot.ir.lower.group import Group
from ingot.ir.lower.nest.passes import Passes
from ingot.ir.lower.nest.trial import Trial

__all__ = ["Axes", "chosen_axes"]

Axes = tuple[tuple[int, ...], ...]

SHORT = 16  # an axis of fewer elements leaves most threads of a warp without neighbours


def chosen_axes(group: Group) -> tuple[Axes, int | None]:
    """The axes that are not of extent 1, those that run as one together; and the one along which memory is read and written best."""
    trial = Trial(group, Passes(group), False)
    runs: list[tuple[int, ...]] = []
    for a, d in enumerate(group.shape):
        if d == 1:
            continue
        if runs and (runs[-1][0] in group.reduced) == (a in group.reduced) and trial.merges(runs[-1][-1], a):
            runs[-1] = (*runs[-1], a)
        else:
            runs.append((a,))
    if not trial.together(runs):
        runs = [(a,) for run in runs for a in run]
    best, most = None, -math.inf
    for i, run in enumerate(runs):
        score = trial.score(run[-1]) + 0.5 * i - (4 if assumed(math.prod(group.shape[a] for a in run)) < SHORT else 0)
        if score > most:
            best, most = i, score
    return tuple(runs), best
