import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name('gradient_worker.py')


def run(world_size: int, folder: Path) -> list[dict]:
    """Run the worker in `world_size` processes; of each one loss, gradient and queue by model."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    out = folder / f'of_{world_size}'
    processes = [
        subprocess.Popen(
            [sys.executable, WORKER, out],
            env={
                **os.environ,
                'RANK': str(rank),
                'WORLD_SIZE': str(world_size),
                'MASTER_ADDR': '127.0.0.1',
                'MASTER_PORT': str(port),
                'OMP_NUM_THREADS': '1',
            },
        )
        for rank in range(world_size)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0] * world_size
    return [torch.load(f'{out}.{rank}') for rank in range(world_size)]


@pytest.fixture(scope='module')
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict]]:
    """What one process with the whole batch has, and what each of two with half of it has."""
    folder = tmp_path_factory.mktemp('gradients')
    return run(1, folder)[0], run(2, folder)


def assert_gradient(measured: dict, expected: dict, factor: float) -> None:
    """Compare relative to the largest component of each weight's gradient."""
    for name, gradient in expected.items():
        if gradient is None:  # the momentum encoder
            assert measured[name] is None
            continue
        scale = gradient.abs().max()
        assert scale > 0, name
        difference = (measured[name] - factor * gradient).abs().max() / scale
        assert difference < 1e-9, f'{name}: {difference}'


# Stock SimCLR is here to tell when mmpretrain mends it: DistributedSimCLR must then go.
@pytest.mark.parametrize('kind, factor', [('DistributedSimCLR', 1), ('SimCLR', 0.5), ('MoCo', 1)])
def test_two_processes_against_one(
    kind: str, factor: float, measured: tuple[dict, list[dict]]
) -> None:
    whole = measured[0][kind]
    halves = [half[kind] for half in measured[1]]
    losses = torch.stack([half['loss'] for half in halves])
    if 'SimCLR' in kind:  # its loss is that of the whole batch in each process
        assert losses[0] == losses[1]
    assert losses.mean().item() == pytest.approx(whole['loss'].item(), rel=1e-12)
    for half in halves:
        assert_gradient(half['gradient'], whole['gradient'], factor)


def test_moco_queue_holds_the_keys_of_all_processes(measured: tuple[dict, list[dict]]) -> None:
    whole = measured[0]['MoCo']['queue']
    # Two processes queue images 0, 2, 4, 6 and then 1, 3, 5, 7.
    order = [0, 2, 4, 6, 1, 3, 5, 7, *range(8, 32)]
    for half in measured[1]:
        torch.testing.assert_close(half['MoCo']['queue'], whole[:, order], rtol=1e-10, atol=1e-12)
