"""The tensor: recording, storage, gradients, random numbers."""
