"""Choosing a device: on the CPU, by index in several processes, and on an accelerator of ours."""

import types

import pytest
import torch

from mmjoint.utils.device import choose_device, loader_workers

CURRENT = [0]


@pytest.fixture(scope='module', autouse=True)
def accelerator() -> None:
    """A kind of device that torch knows by name, with two of them."""

    def set_device(index: int) -> None:
        assert type(index) is int  # as CUDA, which refuses torch.device('cuda')
        CURRENT[0] = index

    torch.utils.rename_privateuse1_backend('ours')
    module = types.ModuleType('torch.ours')
    module.is_available = lambda: True
    module.device_count = lambda: 2
    module.current_device = lambda: CURRENT[0]
    module.set_device = set_device
    torch._register_device_module('ours', module)
    yield
    module.is_available = lambda: False  # torch has no way back


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.delenv(name, raising=False)
    CURRENT[0] = 0


@pytest.mark.parametrize(
    ('name', 'device'),
    [
        ('cpu', 'cpu'),
        ('meta', 'meta'),
        ('ours', 'ours:0'),
        ('ours:1', 'ours:1'),
    ],
)
def test_a_device_by_name(name, device):
    assert str(choose_device(name)) == device
    assert CURRENT[0] == (torch.device(device).index or 0)
    assert choose_device(torch.device(device)) == torch.device(device)


def test_no_index_means_the_current_one():
    CURRENT[0] = 1
    assert str(choose_device('ours')) == 'ours:1'


def test_one_of_several_processes_takes_its_own(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank in (0, 1):
        monkeypatch.setenv('LOCAL_RANK', str(rank))
        assert choose_device('ours') == torch.device('ours', rank) and CURRENT[0] == rank
        assert str(choose_device('cpu')) == 'cpu'
    monkeypatch.setenv('LOCAL_RANK', '2')
    with pytest.raises(ValueError, match=r'device ours:2: there are 2'):
        choose_device('ours')


@pytest.mark.parametrize('found', ['cuda', 'ours', 'mps', None])
def test_default_is_the_accelerator(monkeypatch, found):
    device = found and torch.device(found)
    monkeypatch.setattr(torch.accelerator, 'is_available', lambda: device is not None)
    monkeypatch.setattr(torch.accelerator, 'current_accelerator', lambda check_available: device)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 0)
    monkeypatch.setattr(torch.cuda, 'set_device', lambda index: CURRENT.__setitem__(0, index))
    expected = {'cuda': 'cuda:0', 'ours': 'ours:0'}.get(found, 'cpu')
    assert str(choose_device()) == expected


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('gpu', "device 'gpu': expected cpu, cuda or cuda:NUMBER"),
        ('cuda:x', "device 'cuda:x': expected"),
        ('ours:2', 'device ours:2: there are 2, numbered from 0'),
        ('xpu', 'device xpu: torch finds no xpu device here'),
    ],
)
def test_devices_that_are_not_there(monkeypatch, name, message):
    monkeypatch.setattr(torch.xpu, 'is_available', lambda: False)
    with pytest.raises(ValueError, match=message):
        choose_device(name)


def test_workers_are_the_cores(monkeypatch):
    monkeypatch.setattr('os.sched_getaffinity', lambda _: set(range(6)), raising=False)
    assert loader_workers() == 6 and loader_workers(4) == 4
