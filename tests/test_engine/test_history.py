import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub

from mmjoint.engine.history import append_in_place
from mmjoint.engine.loading import load_from_file_or_address

STOCK = HistoryBuffer.update


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HistoryBuffer, 'update', STOCK)
    append_in_place()


@pytest.mark.parametrize('start', [[], [1.0, 2.0], [3]])
@pytest.mark.parametrize('max_length', [7, 1000])
def test_histories_are_those_of_mmengine(start: list, max_length: int, in_place: None) -> None:
    ours, stock = (HistoryBuffer(start, [1] * len(start), max_length) for _ in range(2))
    copies = []
    for i in range(300):
        value = i if i % 3 else i + 0.5
        ours.update(value, i % 2 + 1)
        STOCK(stock, value, i % 2 + 1)
        for found, expected in zip(ours.data, stock.data, strict=True):
            assert found.dtype == expected.dtype and np.array_equal(found, expected)
        if i == 100:
            copies = [copy.deepcopy(ours), copy.copy(ours)]
    assert ours.mean(5) == stock.mean(5)
    for other in copies:  # what others hold is not written over
        assert len(other.data[0]) == min(101 + len(start), max_length)
        assert other.data[0][-1] == 100
        other.update(-1.0)
    assert np.array_equal(ours.data[0], stock.data[0])


def test_memory_grows_in_few_steps(in_place: None) -> None:
    history, places = HistoryBuffer(), set()
    for i in range(10000):
        history.update(float(i))
        places.add(history.data[0].ctypes.data)
    assert len(places) < 20


def test_wrong_values_are_refused(in_place: None) -> None:
    with pytest.raises(TypeError, match='int or float'):
        HistoryBuffer().update('1')


def test_a_resumed_run_has_its_histories(tmp_path: Path, in_place: None, capfd) -> None:
    hub = MessageHub.get_instance('before')
    for i in range(30):
        hub.update_scalar('train/loss', 1.0 / (i + 1))
        hub.update_scalar('train/lr', 0.1)
    path = tmp_path / 'epoch_1.pth'
    state = dict(state_dict={'a': torch.ones(1)}, message_hub=hub.state_dict(), meta={})
    torch.save(state, path)
    resumed = MessageHub.get_instance('after')
    resumed.load_state_dict(load_from_file_or_address(str(path))['message_hub'])
    assert 'HistoryBuffer' not in ''.join(capfd.readouterr())
    assert resumed.log_scalars.keys() == {'train/loss', 'train/lr'}
    for name, history in hub.log_scalars.items():
        for found, expected in zip(resumed.get_scalar(name).data, history.data, strict=True):
            assert np.array_equal(found, expected)
    resumed.update_scalar('train/loss', 2.0)
    assert resumed.get_scalar('train/loss').current() == 2.0
