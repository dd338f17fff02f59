"""Nested tensors: there are none. What libraries look for when they are imported is here, and says so."""

from __future__ import annotations

from ingot._refused import refused

__all__ = ["as_nested_tensor", "nested_tensor", "nested_tensor_from_jagged", "to_padded_tensor"]

_NESTED = "tensors are rectangular: pad sequences (nn.utils.rnn.pad_sequence), and mask what was padded"
nested_tensor, as_nested_tensor = refused("nested.nested_tensor", _NESTED), refused("nested.as_nested_tensor", _NESTED)
to_padded_tensor = refused("nested.to_padded_tensor", _NESTED)
nested_tensor_from_jagged = refused("nested.nested_tensor_from_jagged", _NESTED)
