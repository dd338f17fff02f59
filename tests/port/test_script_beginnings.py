"""The first lines of training scripts run with only `torch` replaced by `ingot`: imports, seeds, devices, switches, set-up."""

from __future__ import annotations

import re
import warnings

import pytest

import ingot

BEGINNINGS = {
    "seed everything": """
        import os, random
        import numpy as np
        import torch
        def seed_everything(seed=42):
            random.seed(seed); np.random.seed(seed); os.environ["PYTHONHASHSEED"] = str(seed)
            torch.manual_seed(seed)
            torch.cuda.manual_seed(seed)
            torch.cuda.manual_seed_all(seed)
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False
        seed_everything()
        assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark
    """,
    "imagenet": """
        import torch
        import torch.backends.cudnn as cudnn
        import torch.distributed as dist
        import torch.multiprocessing as mp
        import torch.nn as nn
        import torch.nn.parallel
        import torch.optim
        import torch.utils.data
        import torch.utils.data.distributed
        from torch.optim.lr_scheduler import StepLR
        from torch.utils.data import Subset
        cudnn.benchmark = True
        if torch.accelerator.is_available():
            device = torch.accelerator.current_accelerator()
        else:
            device = torch.device("cpu")
        model = torch.nn.DataParallel(nn.Linear(2, 2)).to(device)
        assert list(model.state_dict()) == ["module.weight", "module.bias"]
    """,
    "mnist": """
        import torch, torch.nn as nn, torch.nn.functional as F, torch.optim as optim
        from torch.optim.lr_scheduler import StepLR
        use_cuda = torch.cuda.is_available(); use_mps = torch.backends.mps.is_available()
        torch.manual_seed(1)
        device = torch.device("cuda") if use_cuda else torch.device("mps") if use_mps else torch.device("cpu")
        kwargs = {"num_workers": 1, "pin_memory": True} if use_cuda else {}
        optimizer = optim.Adadelta(nn.Linear(1, 1).to(device).parameters(), lr=1.0)
        scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    """,
    "nanogpt": """
        from contextlib import nullcontext
        import torch
        from torch.nn.parallel import DistributedDataParallel as DDP
        from torch.distributed import init_process_group, destroy_process_group
        torch.manual_seed(1337)
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
        device_type = "cpu"
        ctx = nullcontext() if device_type == "cpu" else torch.amp.autocast(device_type=device_type, dtype=torch.bfloat16)
        scaler = torch.cuda.amp.GradScaler(enabled=("float32" == "float16"))
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
        with ctx:
            loss = model(torch.ones(1, 2)).sum()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer); scaler.update()
        optimizer.zero_grad(set_to_none=True)
        assert not isinstance(model, DDP)
    """,
    "precision": """
        import torch
        torch.set_float32_matmul_precision("high")
        assert torch.get_float32_matmul_precision() == "high"
        torch.set_float32_matmul_precision("highest")
    """,
    "lightning style amp": """
        import torch
        from torch.cuda.amp import autocast, GradScaler
        use_amp = torch.cuda.is_available()
        scaler = GradScaler(enabled=use_amp)
        with autocast(enabled=use_amp):
            y = torch.ones(2) * 2
        assert y.dtype is torch.float32 and scaler.state_dict() == {}
    """,
    "amp by default": """
        import torch
        scaler = torch.cuda.amp.GradScaler()
        with torch.cuda.amp.autocast():
            y = torch.nn.Linear(2, 2)(torch.ones(1, 2))
        with torch.autocast(device_type="cuda", dtype=torch.float16):
            z = y + 1
        assert z.dtype is torch.float32 and scaler.get_scale() == 1.0
    """,
    "amp of now": """
        import torch
        from torch.amp import GradScaler, autocast
        scaler = GradScaler("cuda", enabled=False)
        @autocast("cpu", enabled=False)
        def step(x):
            return x * 2
        assert step(torch.ones(1)).item() == 2 and not torch.is_autocast_enabled()
    """,
    "distributed or not": """
        import torch
        import torch.distributed as dist
        def is_dist():
            return dist.is_available() and dist.is_initialized()
        rank = dist.get_rank() if is_dist() else 0
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.barrier()
        assert rank == 0
    """,
    "a distributed sampler": """
        import torch
        from torch.utils.data import DataLoader, TensorDataset, RandomSampler, SequentialSampler
        from torch.utils.data.distributed import DistributedSampler
        data = TensorDataset(torch.arange(10))
        sampler = RandomSampler(data) if not torch.distributed.is_initialized() else DistributedSampler(data)
        mine = DistributedSampler(data, num_replicas=3, rank=1, shuffle=True, seed=1)
        mine.set_epoch(2)
        assert len(DataLoader(data, sampler=mine, batch_size=2)) == 2 and len(list(mine)) == 4
    """,
    "cuda housekeeping": """
        import gc, torch
        gc.collect(); torch.cuda.empty_cache(); torch.cuda.synchronize(); torch.cuda.ipc_collect()
        torch.cuda.reset_peak_memory_stats()
        print(torch.cuda.max_memory_allocated() / 2**20, torch.cuda.memory_allocated(), torch.cuda.memory_reserved())
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        assert gpus == [] and not torch.cuda.is_bf16_supported()
    """,
    "which device": """
        import torch
        def get_device():
            if torch.cuda.is_available():
                return torch.device(f"cuda:{torch.cuda.current_device()}")
            if getattr(torch.backends, "mps", None) is not None and torch.backends.mps.is_available():
                return torch.device("mps")
            return torch.device("cpu")
        Tensor = torch.cuda.FloatTensor if torch.cuda.is_available() else torch.FloatTensor
        x = Tensor(2, 3).to(get_device())
        dtype = torch.bfloat16 if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else torch.float32
        assert x.dtype is dtype
    """,
    "GAN": """
        import torch, torch.nn as nn
        from torch.autograd import Variable
        import torch.autograd as autograd
        cuda = True if torch.cuda.is_available() else False
        Tensor = torch.cuda.FloatTensor if cuda else torch.FloatTensor
        valid = Variable(Tensor(4, 1).fill_(1.0), requires_grad=False)
        z = Variable(torch.randn(4, 3), requires_grad=True)
        g = autograd.grad(outputs=(z * 2).sum(), inputs=z, create_graph=True)[0]
        assert isinstance(z, Variable) and g.shape == z.shape and not valid.requires_grad
    """,
    "weights of layers": """
        import torch.nn as nn
        from torch.nn import init
        from torch.nn.modules.batchnorm import _BatchNorm
        from torch.nn.modules.conv import _ConvNd
        from torch.nn.modules.dropout import _DropoutNd
        def weights_init(m):
            if isinstance(m, _ConvNd):
                init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, (_BatchNorm, nn.GroupNorm)):
                nn.init.constant_(m.weight, 1)
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.1)).apply(weights_init)
    """,
    "custom convolutions": """
        import math
        import torch
        from torch import Tensor, nn
        from torch.nn.parameter import Parameter
        from torch.nn.common_types import _size_2_t
        from torch.nn.modules.utils import _pair, _triple, _ntuple, _reverse_repeat_tuple
        from torch.nn.modules.module import Module
        from torch.nn.modules.activation import ReLU
        from torch.nn.modules.pooling import MaxPool2d
        from torch.nn.modules.linear import Linear
        from torch.nn.modules.padding import ZeroPad2d
        from torch.nn.modules.rnn import LSTM, RNNBase
        from torch.nn.modules.sparse import Embedding
        from torch.nn.modules.transformer import TransformerEncoderLayer
        from torch.nn.modules.upsampling import Upsample
        from torch.nn.modules.instancenorm import InstanceNorm2d
        from torch.nn.modules.normalization import LayerNorm
        from torch.nn.modules.loss import _Loss, _WeightedLoss
        from torch.nn.modules.container import ModuleList
        from torch.nn.modules.flatten import Flatten
        assert _pair(3) == (3, 3) and _triple((1, 2, 3)) == (1, 2, 3) and _reverse_repeat_tuple((1, 2), 2) == (2, 2, 1, 1)
    """,
    "schedulers": """
        import torch
        from torch.optim import Optimizer, lr_scheduler
        from torch.optim.optimizer import Optimizer as Base
        from torch.optim.lr_scheduler import LambdaLR, CosineAnnealingLR, SequentialLR, LinearLR, ReduceLROnPlateau, _LRScheduler
        from torch.optim.adamw import AdamW
        from torch.optim.adam import Adam
        from torch.optim.sgd import SGD
        class Warmup(_LRScheduler):
            def get_lr(self):
                return [base * min(1, self.last_epoch / 5) for base in self.base_lrs]
        scheduler = Warmup(SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1))
        assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler) and Base is Optimizer
    """,
    "data": """
        import torch
        from torch.utils import data
        from torch.utils.data import Dataset, DataLoader, IterableDataset, Sampler, default_collate, get_worker_info
        from torch.utils.data.dataset import ConcatDataset, random_split
        from torch.utils.data.dataloader import default_collate as collate, DataLoader as Loader
        from torch.utils.data.sampler import SubsetRandomSampler, WeightedRandomSampler, BatchSampler
        from torch.utils.data._utils.collate import default_convert
        class Numbers(Dataset):
            def __len__(self): return 5
            def __getitem__(self, i): return torch.tensor([i]), i
        loader = DataLoader(Numbers(), batch_size=2, shuffle=True, pin_memory=True, drop_last=True, num_workers=0)
        assert len(list(loader)) == 2 and Loader is DataLoader and collate is default_collate
    """,
    "threads": """
        import os, torch
        n = torch.get_num_threads()
        torch.set_num_threads(n)
        torch.set_num_interop_threads(1)
        torch.set_flush_denormal(True)
        assert torch.get_num_interop_threads() == 1
    """,
    "reproducible": """
        import os, torch
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.enabled = True
        torch.backends.cudnn.deterministic = True
        g = torch.Generator(); g.manual_seed(0)
        with torch.backends.cudnn.flags(enabled=False):
            assert not torch.backends.cudnn.enabled
        assert torch.backends.cudnn.enabled and torch.are_deterministic_algorithms_enabled()
    """,
    "attention kernels": """
        import torch
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        torch.backends.cuda.enable_math_sdp(True)
        assert not torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.math_sdp_enabled()
        with torch.backends.cuda.sdp_kernel(enable_flash=True, enable_math=False, enable_mem_efficient=False):
            y = torch.nn.functional.scaled_dot_product_attention(*[torch.ones(1, 2, 3, 4)] * 3)
        torch.backends.cuda.enable_flash_sdp(True)
        torch.backends.cuda.enable_mem_efficient_sdp(True)
        assert not torch.backends.cuda.is_built()
    """,
    "libraries": """
        import torch
        print(torch.__version__, torch.version.cuda, torch.version.hip, torch.backends.cudnn.version(), torch.__config__.show())
        assert torch.version.cuda is None and torch.backends.cudnn.is_available() is False
        assert not torch.backends.mkl.is_available() and not torch.backends.openmp.is_available()
        with torch.backends.mkldnn.flags(enabled=False):
            pass
        torch.backends.mkldnn.enabled = False
        torch.backends.mkldnn.enabled = True
    """,
    "debugging": """
        import torch
        torch.autograd.set_detect_anomaly(False)
        with torch.autograd.detect_anomaly(check_nan=True):
            torch.ones(1, requires_grad=True).sum().backward()
        torch.set_printoptions(precision=4, sci_mode=False, linewidth=120)
        torch.set_printoptions(profile="default")
        torch.set_anomaly_enabled(False) if hasattr(torch, "set_anomaly_enabled") else None
    """,
    "autograd": """
        import torch
        from torch.autograd import Function, grad, gradcheck
        from torch.autograd.function import once_differentiable
        from torch.autograd.functional import jacobian, hessian
        from torch.autograd.grad_mode import no_grad
        from torch.autograd.variable import Variable
        class Square(Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x); return x * x
            @staticmethod
            @once_differentiable
            def backward(ctx, g):
                return 2 * ctx.saved_tensors[0] * g
        with no_grad():
            assert Square.apply(torch.tensor(3.0)).item() == 9
    """,
    "a function for amp": """
        import torch
        from torch.cuda.amp import custom_fwd, custom_bwd
        class Scale(torch.autograd.Function):
            @staticmethod
            @custom_fwd
            def forward(ctx, x):
                return x * 2
            @staticmethod
            @custom_bwd
            def backward(ctx, g):
                return g * 2
        class Other(torch.autograd.Function):
            @staticmethod
            @torch.amp.custom_fwd(device_type="cuda")
            def forward(ctx, x):
                return x
        x = torch.ones(1, requires_grad=True)
        Scale.apply(x).backward()
        assert x.grad.item() == 2
    """,
    "resuming": """
        import os, tempfile, torch
        model = torch.nn.Linear(2, 2)
        optimizer = torch.optim.Adam(model.parameters())
        path = os.path.join(tempfile.mkdtemp(), "ckpt.pt")
        torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "rng": torch.get_rng_state(),
                    "cuda_rng": torch.cuda.get_rng_state_all()}, path)
        checkpoint = torch.load(path, map_location=lambda storage, loc: storage, weights_only=False)
        model.load_state_dict(checkpoint["model"]); optimizer.load_state_dict(checkpoint["optimizer"])
        torch.set_rng_state(checkpoint["rng"]); torch.cuda.set_rng_state_all(checkpoint["cuda_rng"])
        assert checkpoint["epoch"] == 3
    """,
    "unwrapping": """
        import torch
        from torch import nn
        from torch.nn.parallel import DataParallel, DistributedDataParallel
        from torch.nn.parallel.distributed import DistributedDataParallel as Same
        def unwrap(model):
            return model.module if isinstance(model, (DataParallel, DistributedDataParallel)) else model
        inner = nn.Linear(1, 1)
        assert unwrap(DataParallel(inner)) is inner and unwrap(inner) is inner and Same is DistributedDataParallel
        model = nn.DataParallel(inner, device_ids=[0])
        model.train(); model(torch.ones(2, 1)).sum().backward()
    """,
    "hogwild": """
        import torch
        import torch.multiprocessing as mp
        mp.set_sharing_strategy("file_system")
        try:
            mp.set_start_method("fork", force=True)
        except RuntimeError:
            pass
        model = torch.nn.Linear(2, 2)
        model.share_memory()
        x = torch.zeros(3).share_memory_()
        assert x.is_shared() and all(p.is_shared() for p in model.parameters()) and mp.cpu_count() >= 1 and mp.Queue and mp.Process
    """,
    "hub": """
        import torch
        torch.hub.set_dir("/nowhere/at/all")
        assert torch.hub.get_dir() == "/nowhere/at/all"
        from torch.hub import load_state_dict_from_url
        from torch.utils.model_zoo import load_url
        import torch.utils.model_zoo as model_zoo
        try:
            load_url("https://example.org/resnet50-19c8e357.pth")
        except RuntimeError as e:
            assert "nothing is downloaded" in str(e)
        try:
            torch.hub.load("pytorch/vision", "resnet18")
        except RuntimeError as e:
            assert "source='local'" in str(e)
    """,
    "annotations": """
        from __future__ import annotations
        import torch
        from torch import Tensor, Size, device, dtype
        from torch.types import Device, Number, _size
        def f(x: torch.Tensor, size: _size, d: torch.device, t: torch.dtype = torch.float32) -> torch.LongTensor:
            return x
        assert isinstance(torch.long, dtype) and isinstance(torch.device("cpu"), device)
    """,
    "compiling": """
        import torch
        torch.compiler.is_compiling()
        @torch.compiler.disable
        def log(x):
            return float(x)
        model = torch.compile(torch.nn.Linear(2, 2), mode="reduce-overhead")
        assert log(model(torch.zeros(1, 2)).sum()) < 10
    """,
    "profiling by hand": """
        import time, torch
        def now():
            torch.cuda.synchronize()
            return time.perf_counter()
        t = now()
        if torch.cuda.is_available():
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        assert now() >= t
    """,
    "reinforcement": """
        import numpy as np, torch, torch.nn as nn, torch.nn.functional as F, torch.optim as optim
        device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(device)
        state = torch.from_numpy(np.zeros(4, np.float32)).unsqueeze(0).to(device)
        policy = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)).to(device)
        probabilities = F.softmax(policy(state), dim=1)
        action = torch.multinomial(probabilities, 1).item()
        assert torch.get_default_device() == device and action in (0, 1)
    """,
    "speech": """
        import argparse, itertools, json, os, time, warnings
        warnings.simplefilter(action="ignore", category=FutureWarning)
        import torch
        import torch.nn.functional as F
        from torch.nn import Conv1d, ConvTranspose1d, AvgPool1d, Conv2d
        from torch.nn.utils import weight_norm, remove_weight_norm
        from torch.utils.data import DistributedSampler, DataLoader
        import torch.multiprocessing as mp
        from torch.distributed import init_process_group
        from torch.nn.parallel import DistributedDataParallel
        torch.backends.cudnn.benchmark = True
        layer = remove_weight_norm(weight_norm(Conv1d(2, 2, 3)))
    """,
    "segmentation": """
        import torch
        import torch.nn as nn
        import torch.nn.functional as F
        from torch.cuda import amp
        from torch.nn.functional import interpolate
        from torch.utils.checkpoint import checkpoint
        from torch.nn.utils.rnn import pad_sequence, pack_padded_sequence, pad_packed_sequence
        from torch.nn.utils.clip_grad import clip_grad_norm_
        from torch.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
        from torch.nn.init import xavier_uniform_, trunc_normal_, _calculate_fan_in_and_fan_out
        scaler = amp.GradScaler(enabled=False)
    """,
    "hooks": """
        import torch
        from torch.utils.hooks import RemovableHandle
        from collections import OrderedDict
        from functools import partial
        layer = torch.nn.Linear(1, 1)
        handle = layer.register_forward_hook(lambda m, i, o: None)
        assert isinstance(handle, RemovableHandle)
        handle.remove()
    """,
    "functional": """
        import torch
        from torch.functional import einsum, norm
        from torch.nn.functional import relu, pad
        import torch.linalg, torch.special, torch.func, torch.random
        from torch.random import fork_rng
        from torch.serialization import load
        with fork_rng():
            assert einsum("i,i->", torch.ones(2), torch.ones(2)).item() == 2
    """,
    "device contexts": """
        import torch
        with torch.cuda.device(-1):
            pass
        with torch.cuda.stream(None):
            pass
        torch.cuda.is_initialized()
        assert torch.cuda.get_arch_list() == [] and not torch.cuda.is_current_stream_capturing()
    """,
    "world size": """
        import os, torch
        world_size = int(os.environ.get("NO_SUCH_WORLD_SIZE", 1))
        distributed = world_size > 1
        if distributed:
            torch.cuda.set_device(0)
            torch.distributed.init_process_group(backend="nccl", init_method="env://")
        ngpus = torch.cuda.device_count()
        assert ngpus == 0 and not torch.distributed.is_nccl_available()
    """,
    "default tensor type": """
        import torch
        torch.set_default_tensor_type(torch.DoubleTensor)
        assert torch.ones(1).dtype is torch.float64
        torch.set_default_tensor_type("torch.FloatTensor")
        assert torch.ones(1).dtype is torch.float32 and torch.typename(torch.ones(1)) == "torch.FloatTensor"
    """,
    "accelerate": """
        import torch
        device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
        torch.accelerator.synchronize()
        assert torch.accelerator.device_count() == 0 and device == "cpu"
        class Net(torch.nn.Module):
            pass
        assert torch.nn.Module in Net.__mro__
    """,
}  # fmt: skip


@pytest.mark.parametrize("name", BEGINNINGS)
def test_it_runs(name):
    lines = [line[8:] for line in BEGINNINGS[name].splitlines()]
    text = re.sub(r"\btorch\b", "ingot", "\n".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*[Dd]isabling", UserWarning)  # as torch warns without a GPU
        try:
            exec(compile(text, f"<{name}>", "exec"), {"__name__": "__main__"})
        finally:
            ingot.set_default_device(None)


REFUSED = {
    "cuda.current_device()": "no CUDA device is available",
    "cuda.set_device(0)": "no CUDA device is available",
    "cuda.get_device_properties(0)": "no CUDA device is available",
    "cuda.Stream()": "no CUDA device is available",
    "cuda.FloatTensor(2)": "no CUDA device is available",
    "cuda.set_rng_state_all([1])": "no CUDA device is available",
    "cuda.device(0).__enter__()": "no CUDA device is available",
    "ones(1).pin_memory()": "no CUDA device is available",
    "set_default_device('cuda')": "no CUDA device is available",
    "accelerator.current_device_index()": "no CUDA device is available",
    "distributed.init_process_group('nccl')": "several processes is not available",
    "distributed.get_rank()": "several processes is not available",
    "nn.parallel.DistributedDataParallel(nn.Linear(1, 1))": "several processes is not available",
    "nn.DataParallel(nn.Linear(1, 1), device_ids=[0, 1])": "there is one, the CPU",
    "utils.data.DistributedSampler(range(3))": "several processes is not available",
    "hub.download_url_to_file('https://example.org/x', 'x')": "nothing is downloaded",
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_there_says_so_in_one_sentence(what):
    import ingot

    with pytest.raises(RuntimeError, match=REFUSED[what]) as e:
        eval(f"ingot.{what}", {"ingot": ingot, "nn": ingot.nn})
    assert "\n" not in str(e.value)


def test_a_module_is_emptied_where_it_is():
    import ingot

    layer = ingot.nn.Linear(2, 1)
    assert layer.to_empty(device="cpu") is layer
    with pytest.raises(RuntimeError, match="no CUDA device is available"):
        layer.to_empty(device="cuda")
