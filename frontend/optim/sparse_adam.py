"""Adam for sparse gradients, of which there are none."""

from ingot._refused import refused_class

__all__ = ["SparseAdam"]

SparseAdam = refused_class("optim.SparseAdam", "gradients are dense here, those of embeddings too: use optim.Adam")
