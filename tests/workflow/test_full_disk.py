"""A training on a disk that is full."""

import errno
import os

import pytest
import torch

from alnet_lib.core.files import DiskFull
from alnet_lib.training import checkpoints


def _training():
    network = torch.nn.Linear(1000, 1000)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 1000)).sum().backward()
    optimizer.step()
    return network, optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)


def _weights(network):
    return network.weight.detach().clone()


def _planted(monkeypatch, number, after=1_000_000):
    class Full:
        def __init__(self, file):
            self.file, self.room = file, after

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            self.room -= len(data)
            if self.room < 0:
                raise OSError(number, os.strerror(number))
            return self.file.write(data)

        def flush(self):
            self.file.flush()

    monkeypatch.setattr(checkpoints, "open", lambda *given: Full(open(*given)), raising=False)  # noqa: SIM115


def test_a_checkpoint_says_what_is_full_how_much_it_needs_and_from_where_the_run_goes_on(tmp_path, monkeypatch):
    network, optimizer, scheduler = _training()
    path = tmp_path / "module_1-aa.checkpoint"
    with monkeypatch.context() as patch:
        _planted(patch, errno.ENOSPC)
        with pytest.raises(DiskFull) as told:
            checkpoints.save(path, network, optimizer, scheduler, 1, [])
    message = str(told.value)
    assert str(tmp_path) in message and "module_1-aa.checkpoint takes 12.0 MB" in message and "MB are free" in message
    assert "goes on from its beginning" in message and "unexpected pos" not in message
    assert list(tmp_path.iterdir()) == []
    checkpoints.save(path, network, optimizer, scheduler, 2, [(1, 0.5, 0.1)])
    saved = _weights(network)
    with monkeypatch.context() as patch, torch.no_grad():
        network.weight.zero_()
        _planted(patch, errno.EDQUOT)
        with pytest.raises(DiskFull, match="goes on from its last checkpoint"):
            checkpoints.save(path, network, optimizer, scheduler, 3, [])
    assert checkpoints.resume(path, network, optimizer, scheduler) == (2, [(1, 0.5, 0.1)], 0.0)
    assert torch.equal(network.weight, saved) and list(tmp_path.iterdir()) == [path]


def test_another_failure_of_a_write_is_named_as_it_is(tmp_path, monkeypatch):
    _planted(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        checkpoints.save(tmp_path / "a.checkpoint", *_training(), 1, [])
