"""Names of torch.cuda that need a device and are rarely asked for: they can be imported, and say that there is none."""

from __future__ import annotations

from ingot.cuda.absent import refused, refused_class

FUNCTIONS = (
    "caching_allocator_alloc caching_allocator_delete caching_allocator_enable change_current_allocator check_error clock_rate cudart "
    "current_blas_handle current_solver_handle device_memory_used get_gencode_flags get_per_process_memory_fraction "
    "get_stream_from_external graph_pool_handle host_memory_stats host_memory_stats_as_nested_dict list_gpu_processes "
    "make_graphed_callables memory_snapshot memory_summary memory_usage power_draw reset_accumulated_host_memory_stats "
    "reset_accumulated_memory_stats reset_peak_host_memory_stats temperature use_mem_pool get_allocator_backend caching_allocator_disabled"
)
CLASSES = "CUDAPluggableAllocator GreenContext MemPool cudaStatus"
NAMES = {n: refused(n) for n in FUNCTIONS.split()} | {n: refused_class(n) for n in CLASSES.split()}
