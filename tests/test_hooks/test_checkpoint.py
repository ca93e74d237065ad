import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmjoint.hooks.checkpoint import AtomicLocalBackend


def train_until_killed(work_dir: Path, hook: str) -> None:
    worker = Path(__file__).with_name('killed_worker.py')
    done = subprocess.run(
        [sys.executable, worker, work_dir, hook],
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == -signal.SIGXFSZ, done.stderr


def test_kill_during_a_save_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    train_until_killed(tmp_path, 'AtomicCheckpointHook')
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_1.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_1.pth')
    weights = torch.load(tmp_path / 'iter_1.pth', weights_only=False)['state_dict']
    assert torch.equal(weights['weight'], torch.full((500_000,), -0.1))


@pytest.mark.slow
def test_stock_hook_loses_it(tmp_path: Path) -> None:
    """Tells when mmengine mends its hook; AtomicCheckpointHook must then go."""
    train_until_killed(tmp_path, 'CheckpointHook')
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_2.pth']  # cut off at 1 MB
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_1.pth')


class Linear(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, inputs: torch.Tensor, mode: str = 'loss') -> dict:
        return dict(loss=self.weight.sum())


def make_runner(work_dir: Path, epochs: int, keep: int = -1, resume: bool = True) -> Runner:
    return Runner(
        model=Linear(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1,
            dataset=torch.zeros(2, 1),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.5)),
        default_hooks=dict(
            checkpoint=dict(type='AtomicCheckpointHook', interval=1, max_keep_ckpts=keep)
        ),
        resume=resume,
        experiment_name=f'{work_dir}_{epochs}',
    )


@pytest.mark.parametrize(
    'keep, expected', [(-1, [1, 2, 3, 4, 5]), (1, [5]), (2, [4, 5]), (9, [1, 2, 3, 4, 5])]
)
def test_keeps_what_is_asked_for_across_a_resume(
    keep: int, expected: list[int], tmp_path: Path
) -> None:
    for epochs in (3, 5):
        make_runner(tmp_path, epochs, keep).train()
    names = {path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix != '.py'}
    assert names == {'last_checkpoint', *(f'epoch_{i}.pth' for i in expected)}
    # 5 epochs of 2 steps, each of -0.5, whether or not the run was resumed in between.
    weights = torch.load(tmp_path / 'epoch_5.pth', weights_only=False)['state_dict']
    assert torch.equal(weights['weight'], torch.full((3,), -4.0))


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='needs a device that is always full')
def test_pointer_that_a_full_disk_cannot_take_is_named(tmp_path: Path) -> None:
    (tmp_path / 'last_checkpoint').symlink_to('/dev/full')
    with pytest.raises(OSError, match=f'cannot write {tmp_path}/last_checkpoint: No space left'):
        make_runner(tmp_path, 1, resume=False).train()
    assert (tmp_path / 'epoch_1.pth').is_file()


def test_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    backend, path = AtomicLocalBackend(), tmp_path / 'new' / 'file'
    backend.put(b'whole', path)
    with pytest.raises(TypeError):
        backend.put('no bytes', path)
    assert path.read_bytes() == b'whole'
    assert list(path.parent.iterdir()) == [path]
