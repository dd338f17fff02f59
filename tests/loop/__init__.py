"""The loop IR: kernels and programs, interpreted and compiled."""
