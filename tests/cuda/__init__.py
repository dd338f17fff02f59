"""CUDA kernels: PTX, and their emulation on the CPU."""
