"""The best checkpoint, across copies of the folder and kills."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.fileio import LocalBackend
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn

_runs = iter(range(10**6))


class Model(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, inputs: Tensor, mode: str = 'loss') -> dict | list:
        return dict(loss=self.weight.sum()) if mode == 'loss' else [self.weight]


class Score(BaseMetric):
    """Better in each epoch: the weight falls."""

    def process(self, data_batch: object, data_samples: list) -> None:
        self.results.append(-float(data_samples[0]))

    def compute_metrics(self, results: list) -> dict:
        return dict(accuracy=results[0])


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Runner]:
    def train(work_dir: Path, epochs: int, resume: str | None = None) -> Runner:
        loader = dict(
            batch_size=2,
            dataset=torch.zeros(2, 1),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        )
        runner = Runner(
            model=Model(),
            work_dir=str(work_dir),
            train_dataloader=loader,
            val_dataloader=loader,
            val_evaluator=Evaluator(Score()),
            val_cfg=dict(),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.5)),
            default_hooks=dict(
                checkpoint=dict(
                    type='AtomicCheckpointHook', interval=1, save_best='accuracy', max_keep_ckpts=1
                )
            ),
            resume=resume is not None,
            load_from=resume and str(work_dir / resume),
            experiment_name=f'{tmp_path.name}_{next(_runs)}',
        )
        runner.train()
        return runner

    return train


def names(work_dir: Path) -> list[str]:
    return sorted(path.name for path in work_dir.glob('*.pth'))


def test_a_copied_folder_leaves_the_best_of_the_original(
    train: Callable[..., Runner], tmp_path: Path
) -> None:
    train(tmp_path / 'here', 2)
    assert names(tmp_path / 'here') == ['best_accuracy_epoch_2.pth', 'epoch_2.pth']
    shutil.copytree(tmp_path / 'here', tmp_path / 'copy')
    train(tmp_path / 'copy', 3, 'epoch_2.pth')
    assert names(tmp_path / 'here') == ['best_accuracy_epoch_2.pth', 'epoch_2.pth']
    assert names(tmp_path / 'copy') == ['best_accuracy_epoch_3.pth', 'epoch_3.pth']


def test_a_kill_before_the_removal_leaves_both_and_the_next_start_one(
    train: Callable[..., Runner], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        remove = LocalBackend.remove

        def stop(backend: LocalBackend, path: str) -> None:
            if 'best' in str(path):
                raise KeyboardInterrupt
            remove(backend, path)

        patch.setattr(LocalBackend, 'remove', stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, 3)
    both = ['best_accuracy_epoch_1.pth', 'best_accuracy_epoch_2.pth', 'epoch_2.pth']
    assert names(tmp_path) == both
    runner = train(tmp_path, 2, 'epoch_2.pth')
    assert names(tmp_path) == ['best_accuracy_epoch_2.pth', 'epoch_2.pth']
    assert runner.message_hub.get_info('best_score') == 0.0  # 1 - 2 * 0.5, negated


def test_a_kill_between_the_best_and_the_last(train: Callable[..., Runner], tmp_path: Path) -> None:
    train(tmp_path, 1)
    first = (tmp_path / 'epoch_1.pth').read_bytes()
    train(tmp_path, 2, 'epoch_1.pth')
    # Killed when the best of epoch 2 was saved, and epoch_2.pth was not yet saved again with it.
    checkpoint = torch.load(tmp_path / 'epoch_2.pth', weights_only=False)
    checkpoint['message_hub']['runtime_info'].update(
        best_score=-0.5, best_ckpt=str(tmp_path / 'best_accuracy_epoch_1.pth')
    )
    torch.save(checkpoint, tmp_path / 'epoch_2.pth')
    (tmp_path / 'best_accuracy_epoch_1.pth').write_bytes(first)
    runner = train(tmp_path, 2, 'epoch_2.pth')
    assert names(tmp_path) == ['best_accuracy_epoch_2.pth', 'epoch_2.pth']
    assert runner.message_hub.get_info('best_score') == 0.0


def test_what_a_kill_left_goes_and_what_was_kept_stays(
    train: Callable[..., Runner], tmp_path: Path
) -> None:
    train(tmp_path, 3)
    for number in (1, 2):  # killed before their removal
        shutil.copy(tmp_path / 'epoch_3.pth', tmp_path / f'epoch_{number}.pth')
    (tmp_path / 'mine_epoch_1.pth').touch()
    train(tmp_path, 4, 'epoch_3.pth')
    assert names(tmp_path) == ['best_accuracy_epoch_4.pth', 'epoch_4.pth', 'mine_epoch_1.pth']
