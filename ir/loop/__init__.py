"""The loop IR: what kernels are made of, for every backend."""
