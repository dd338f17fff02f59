"""Names of torch.cuda that are rarely asked for: they can be imported, and say that they are not supported."""

from __future__ import annotations

from ingot._refused import refused, refused_class

_WHY = "what NVIDIA's tools and torch's allocator say is not told here; ingot.cuda.memory_stats tells of memory"

FUNCTIONS = (
    "caching_allocator_alloc caching_allocator_delete caching_allocator_enable change_current_allocator check_error clock_rate cudart "
    "current_blas_handle current_solver_handle device_memory_used get_gencode_flags get_per_process_memory_fraction "
    "host_memory_stats host_memory_stats_as_nested_dict list_gpu_processes "
    "memory_snapshot memory_usage power_draw reset_accumulated_host_memory_stats "
    "reset_peak_host_memory_stats temperature use_mem_pool utilization caching_allocator_disabled"
)
CLASSES = "CUDAPluggableAllocator GreenContext MemPool cudaStatus"
NAMES = {n: refused(f"cuda.{n}", _WHY) for n in FUNCTIONS.split()} | {n: refused_class(f"cuda.{n}", _WHY) for n in CLASSES.split()}
