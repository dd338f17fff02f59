"""GPUs: the driver's functions as a table, devices with their streams and memory, and what runs graphs there.

`driver.py` opens the table: libcuda's functions, or with INGOT_CUDA=emulated those of `standin.py`, which run kernels on the CPU. All
that stands above the table is the same for both. Nothing here is imported before a CUDA device is asked for.
"""
