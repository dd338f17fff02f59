"""Modules of torch that are nothing but names which answer (_refused.py): a library that imports them starts.

ANSWERING says for each path which names it has; REASONS, by the longest beginning of a path, why nothing stands behind them.
"""

from __future__ import annotations

import functools
from typing import Any

from ingot._refused import refused, refused_class

__all__ = ["ANSWERING", "REASONS", "answering", "modules_below"]

_FSDP = (
    "BackwardPrefetch CPUOffload FullOptimStateDictConfig FullStateDictConfig FullyShardedDataParallel MixedPrecision OptimStateKeyType "
    "ShardedOptimStateDictConfig ShardedStateDictConfig ShardingStrategy StateDictType"
)
_COLLECTIVES = "all_gather all_reduce all_to_all broadcast gather reduce reduce_scatter scatter"
_PLACEMENTS = "DTensor Partial Placement Replicate Shard distribute_module distribute_tensor"
ANSWERING: dict[str, tuple[str, ...]] = {path: tuple(names.split()) for path, names in {
    "_ops": "HigherOrderOperator OpOverload OpOverloadPacket",
    "distributed":
        "DeviceMesh FileStore HashStore ProcessGroup Store TCPStore Work all_gather all_gather_into_tensor all_gather_object all_reduce "
        "all_to_all all_to_all_single barrier broadcast broadcast_object_list destroy_process_group gather gather_object get_backend "
        "get_global_rank get_process_group_ranks get_rank get_world_size init_device_mesh init_process_group irecv isend "
        "monitored_barrier new_group recv reduce reduce_scatter reduce_scatter_tensor scatter scatter_object_list send",
    "distributed._composable.fsdp": "FSDPModule fully_shard",
    "distributed._functional_collectives": "all_gather_tensor all_reduce all_to_all_single_autograd reduce_scatter_tensor wait_tensor",
    "distributed._tensor": _PLACEMENTS,
    "distributed._tensor.experimental": "implicit_replication",
    "distributed.algorithms._checkpoint.checkpoint_wrapper":
        "CheckpointImpl CheckpointWrapper apply_activation_checkpointing checkpoint_wrapper offload_wrapper",
    "distributed.algorithms.join": "Join Joinable JoinHook",
    "distributed.algorithms.model_averaging.averagers": "ModelAverager PeriodicModelAverager",
    "distributed.autograd": "DistAutogradContext backward context get_gradients",
    "distributed.checkpoint": "FileSystemReader FileSystemWriter load load_state_dict save save_state_dict",
    "distributed.checkpoint.default_planner": "DefaultLoadPlanner DefaultSavePlanner",
    "distributed.checkpoint.optimizer": "load_sharded_optimizer_state_dict",
    "distributed.checkpoint.state_dict":
        "StateDictOptions get_model_state_dict get_optimizer_state_dict get_state_dict set_model_state_dict set_optimizer_state_dict "
        "set_state_dict",
    "distributed.distributed_c10d": "Backend PrefixStore ProcessGroup Store rendezvous",
    "distributed.elastic.multiprocessing.errors": "ChildFailedError ProcessFailure record",
    "distributed.fsdp": f"{_FSDP} CPUOffloadPolicy FSDPModule MixedPrecisionPolicy OffloadPolicy fully_shard",
    "distributed.fsdp.api": _FSDP,
    "distributed.fsdp.fully_sharded_data_parallel": _FSDP,
    "distributed.fsdp.sharded_grad_scaler": "ShardedGradScaler",
    "distributed.fsdp.wrap":
        "ModuleWrapPolicy always_wrap_policy enable_wrap lambda_auto_wrap_policy size_based_auto_wrap_policy transformer_auto_wrap_policy "
        "wrap",
    "distributed.launcher.api": "LaunchConfig elastic_launch",
    "distributed.device_mesh": "DeviceMesh init_device_mesh",
    "distributed.nn": f"{_COLLECTIVES} RemoteModule",
    "distributed.nn.functional": _COLLECTIVES,
    "distributed.optim": "DistributedOptimizer PostLocalSGDOptimizer ZeroRedundancyOptimizer",
    "distributed.pipelining": "PipelineStage Schedule1F1B ScheduleGPipe SplitPoint pipeline",
    "distributed.rpc": "RRef RpcBackendOptions TensorPipeRpcBackendOptions init_rpc remote rpc_async rpc_sync shutdown",
    "distributed.tensor": _PLACEMENTS,
    "distributed.tensor.experimental": "context_parallel implicit_replication",
    "distributed.tensor.parallel":
        "ColwiseParallel ParallelStyle PrepareModuleInput PrepareModuleOutput RowwiseParallel SequenceParallel loss_parallel "
        "parallelize_module",
    "distributed.tensor.placement_types": "Partial Placement Replicate Shard",
}.items()}  # fmt: skip
REASONS = {
    "_ops": "what is recorded are Ingot's own operations; control flow is ingot.control",
    "distributed": "training in several processes is not available; run the script as one process",
}


def modules_below(package: str) -> set[str]:
    """The modules directly below a package, of which the table knows paths."""
    start = f"{package}."
    return {p[len(start) :].partition(".")[0] for p in ANSWERING if p.startswith(start)}


@functools.cache
def answering(path: str, name: str) -> Any:
    """The name at a path, which answers: a class where it begins with a capital letter. AttributeError where the path has no such name."""
    if name not in ANSWERING.get(path, ()):
        raise AttributeError(f"module 'ingot.{path}' has no attribute {name!r}")
    make = refused_class if name[0].isupper() else refused
    return make(f"{path}.{name}", REASONS[path.partition(".")[0]])
