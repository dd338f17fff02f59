"""Tensors of other frameworks' tracers, by torch's path: there are none."""
