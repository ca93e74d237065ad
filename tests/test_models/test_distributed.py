import subprocess
import sys
from pathlib import Path

import pytest
import torch

WORKER = Path(__file__).with_name('gradient_worker.py')


@pytest.fixture(scope='module')
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list[dict]]:
    """What one process with the whole batch has, and what each of two with half of it has.

    Of each model at each step.
    """
    folder = tmp_path_factory.mktemp('gradients')
    subprocess.run([sys.executable, WORKER, folder], check=True, timeout=300)
    return torch.load(folder / '1.0'), [torch.load(folder / f'2.{rank}') for rank in range(2)]


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


KINDS = (
    'DistributedSimCLR',
    'MoCo',
    'LeOCLR',
    'InfoMin',
    'MoCoV3',
    'DINO',
    'SwAV DistributedSwAVLoss',
)


# Two steps: the second one sees what the first did to the weights, and has a queue, a center and a
# teacher of its own.
@pytest.mark.parametrize('step', [0, 1])
@pytest.mark.parametrize('kind', KINDS)
def test_two_processes_against_one(kind: str, step: int, measured: tuple[dict, list[dict]]) -> None:
    whole = measured[0][kind][step]
    halves = [half[kind][step] for half in measured[1]]
    losses = torch.stack([half['loss'] for half in halves])
    if kind == 'DistributedSimCLR':  # its loss is that of the whole batch in each process
        assert losses[0] == losses[1]
    assert losses.mean().item() == pytest.approx(whole['loss'].item(), rel=1e-10)
    for half in halves:
        assert_gradient(half['gradient'], whole['gradient'], 1)


# The stock ones are here to tell when mmpretrain mends them: ours must then go.
def test_stock_simclr_has_half_the_gradient(measured: tuple[dict, list[dict]]) -> None:
    whole = measured[0]['SimCLR'][0]
    for half in measured[1]:
        assert_gradient(half['SimCLR'][0]['gradient'], whole['gradient'], 0.5)


def test_stock_swav_balances_each_process_alone(measured: tuple[dict, list[dict]]) -> None:
    whole, ours = (
        measured[0][f'SwAV {loss}'][0]['loss'] for loss in ('SwAVLoss', 'DistributedSwAVLoss')
    )
    assert whole.item() == pytest.approx(ours.item(), rel=1e-12)
    halves = torch.stack([half['SwAV SwAVLoss'][0]['loss'] for half in measured[1]])
    assert halves.mean().item() != pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize('kind', ['MoCo', 'LeOCLR', 'InfoMin'])
def test_queue_holds_the_keys_of_all_processes(
    kind: str, measured: tuple[dict, list[dict]]
) -> None:
    whole = measured[0][kind][1]['buffers']['queue']
    # Two processes queue images 0, 2, 4, 6 and then 1, 3, 5, 7 of each batch.
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    order = [*order, *(8 + i for i in order), *range(16, 32)]
    for half in measured[1]:
        queue = half[kind][1]['buffers']['queue']
        torch.testing.assert_close(queue, whole[:, order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('step', [0, 1])
def test_dino_center_is_that_of_all_processes(step: int, measured: tuple[dict, list[dict]]) -> None:
    whole = measured[0]['DINO'][step]['buffers']['head.center']
    assert whole.abs().max() > 1e-3
    for half in measured[1]:
        center = half['DINO'][step]['buffers']['head.center']
        torch.testing.assert_close(center, whole, rtol=1e-9, atol=1e-12)
