"""Transforms: functions of graphs that give other graphs, from the ops' own rules.

`vjp.py` the backward graph, `jvp.py` the pushforward, `batch.py` the graph over batches; `replay.py` what they share. Each remembers
its results.
"""
