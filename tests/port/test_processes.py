"""Memory that processes share, processes that are spawned, and the shares of a dataset."""

import os

import pytest

import ingot
from ingot import multiprocessing, nn
from ingot.utils.data import DistributedSampler


def test_what_a_child_writes_in_place_is_seen():
    model, x = nn.Linear(2, 1), ingot.zeros(3)
    model.share_memory()
    x.share_memory_()
    before = model.weight
    pid = os.fork()
    if not pid:
        with ingot.no_grad():
            model.weight.fill_(4.0)
            x.add_(1)
        os._exit(0)
    os.waitpid(pid, 0)
    assert x.tolist() == [1, 1, 1] and model.weight is before and model.weight.tolist() == [[4, 4]]
    model(ingot.ones(1, 2)).sum().backward()
    ingot.optim.SGD(model.parameters(), lr=1.0).step()
    assert model.weight.tolist() == [[3, 3]] and model.weight.is_shared()


def test_sharing_keeps_values_and_identity():
    for t in (ingot.zeros(()), ingot.zeros(0, 2), ingot.ones(2, 3, dtype=ingot.bfloat16), ingot.arange(6).view(2, 3).t()):
        values = t.tolist()
        assert not t.is_shared() and t.share_memory_() is t and t.is_shared() and t.tolist() == values
    with pytest.raises(RuntimeError, match="operation made"):
        (ingot.ones(1, requires_grad=True) * 2).share_memory_()


def _fails(i, where):
    if i == 1:
        raise ValueError(f"wrong in {where}")


def _writes(i, folder):
    with open(os.path.join(folder, str(i)), "w") as f:
        f.write("done")


def test_spawn(tmp_path):
    multiprocessing.spawn(_writes, (str(tmp_path),), nprocs=2, start_method="fork")
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]
    with pytest.raises(multiprocessing.ProcessRaisedException, match="(?s)process 1 failed.*wrong in here"):
        multiprocessing.spawn(_fails, ("here",), nprocs=2, start_method="fork")
    running = multiprocessing.spawn(_writes, (str(tmp_path),), nprocs=2, join=False, start_method="fork")
    while not running.join():
        pass
    assert [p.exitcode for p in running.processes] == [0, 0] and len(set(running.pids())) == 2


@pytest.mark.parametrize("n", [0, 1, 5, 6, 7])
@pytest.mark.parametrize("replicas", [1, 2, 3, 8])
@pytest.mark.parametrize("drop_last", [False, True])
def test_shares_of_a_dataset(n, replicas, drop_last):
    torch = pytest.importorskip("torch")
    for shuffle in (False, True):
        ours = [DistributedSampler(range(n), replicas, r, shuffle=shuffle, drop_last=drop_last) for r in range(replicas)]
        shares = [list(s) for s in ours]
        if not shuffle:
            theirs = torch.utils.data.distributed.DistributedSampler
            assert shares == [list(theirs(range(n), replicas, r, shuffle=False, drop_last=drop_last)) for r in range(replicas)]
        assert [len(s) for s in shares] == [len(s) for s in ours]
        everything = {i for s in shares for i in s}
        assert len(everything) == (n // replicas * replicas if drop_last else n)
    if n > 4 and not drop_last:
        first = [list(s) for s in ours]
        for s in ours:
            s.set_epoch(3)
        assert [list(s) for s in ours] != first


def test_hub_of_a_folder(tmp_path):
    (tmp_path / "hubconf.py").write_text(
        "dependencies = ['ingot']\nimport ingot\ndef net(n, pretrained=False):\n    'A net.'\n    return ingot.nn.Linear(n, 1)\n"
    )
    assert ingot.hub.load(str(tmp_path), "net", 3, source="local").weight.shape == (1, 3)
    assert ingot.hub.list(str(tmp_path), source="local") == ["net"] and ingot.hub.help(str(tmp_path), "net", source="local") == "A net."
    with pytest.raises(RuntimeError, match="Cannot find callable other"):
        ingot.hub.load(str(tmp_path), "other", source="local")
    ingot.save({"w": ingot.ones(2)}, tmp_path / "w-1.pth")
    assert ingot.hub.load_state_dict_from_url("https://example.org/w-1.pth?x=1", model_dir=str(tmp_path))["w"].tolist() == [1, 1]
