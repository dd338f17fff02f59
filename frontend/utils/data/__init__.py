"""`ingot.utils.data`: datasets, samplers and the DataLoader."""

# ruff: noqa: I001  (tables of names, packed)

from ingot._paths import below
from ingot.utils.data.chunk import DataChunk
from ingot.utils.data.collate import default_collate, default_convert
from ingot.utils.data.dataset import (
    ChainDataset, ConcatDataset, Dataset, IterableDataset, StackDataset, Subset, TensorDataset, random_split,
)  # fmt: skip
from ingot.utils.data.distributed import DistributedSampler
from ingot.utils.data.loader import DataLoader
from ingot.utils.data.sampler import (
    BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler, WeightedRandomSampler,
)  # fmt: skip
from ingot.utils.data.worker import WorkerInfo, get_worker_info

__all__ = [
    "BatchSampler", "ChainDataset", "ConcatDataset", "DataChunk", "DataLoader", "Dataset", "DistributedSampler", "IterableDataset",
    "RandomSampler", "Sampler", "SequentialSampler", "StackDataset", "Subset", "SubsetRandomSampler", "TensorDataset",
    "WeightedRandomSampler", "WorkerInfo", "default_collate", "default_convert", "get_worker_info", "random_split",
]  # fmt: skip

__getattr__ = below(__name__)
