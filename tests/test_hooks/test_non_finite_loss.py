import json
import math
from pathlib import Path
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.models import SelfSupDataPreprocessor
from mmpretrain.models.heads import LatentPredictHead
from mmpretrain.models.losses import CrossEntropyLoss
from mmpretrain.registry import MODELS
from torch import nn

from mmjoint.hooks import NonFiniteLossHook


class Failing(BaseModel):
    """A model whose loss is `value` from iteration 5 on."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.value = value
        self.iteration = 0

    def forward(self, inputs: torch.Tensor, mode: str = 'loss') -> dict:
        self.iteration += 1
        factor = self.value if self.iteration >= 5 else 1.0
        return dict(loss_a=self.weight.sum(), loss_b=self.weight.sum() * factor)


def train(work_dir: Path, value: float, interval: int = 1) -> None:
    Runner(
        model=Failing(value),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1,
            dataset=torch.zeros(8, 1),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=lambda batch: dict(inputs=torch.stack(batch)),
        ),
        train_cfg=dict(by_epoch=False, max_iters=8),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, by_epoch=False)),
        custom_hooks=[dict(type='NonFiniteLossHook', interval=interval)],
        experiment_name=str(work_dir),
    ).train()


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_stops_before_the_checkpoint(value: float, tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match=f'iteration 5 .*: loss {value}, loss_b {value};'):
        train(tmp_path, value)
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == [
        f'iter_{i}.pth' for i in (1, 2, 3, 4)
    ]


def test_interval(tmp_path: Path) -> None:
    with pytest.raises(FloatingPointError, match='iteration 6 '):
        train(tmp_path, float('nan'), interval=3)


def test_finite_losses_pass(tmp_path: Path) -> None:
    train(tmp_path, 1e3)
    assert (tmp_path / 'iter_8.pth').is_file()


@pytest.mark.parametrize('interval', [0, -1, 1.5])
def test_bad_interval(interval: float) -> None:
    with pytest.raises(ValueError, match='interval'):
        NonFiniteLossHook(interval)


POISONED = 'class_2/7.png'


@MODELS.register_module()
class PoisonedPreprocessor(SelfSupDataPreprocessor):
    """Finds the rows of a batch that hold the poisoned image."""

    rows: ClassVar[list[int]] = []

    def forward(self, data: dict, training: bool = False) -> dict:
        names = [sample.img_path for sample in data['data_samples']]
        self.rows[:] = [i for i, name in enumerate(names) if name.endswith(POISONED)]
        return super().forward(data, training)


@MODELS.register_module()
class PoisonedHead(LatentPredictHead):
    """The mean of one loss an image, of which one is NaN; no module takes part in it."""

    def loss(self, input: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        losses = -F.cosine_similarity(self.predictor([input])[0], target.detach())
        factors = torch.ones(len(losses))
        factors[PoisonedPreprocessor.rows] = math.nan
        return (losses * factors).mean()


@MODELS.register_module()
class PoisonedLoss(CrossEntropyLoss):
    """A loss module one row of whose logits is NaN for the poisoned image."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        views = len(logits) // 16  # SimCLR has a row for each view, one after the other
        logits[[row * views for row in PoisonedPreprocessor.rows]] = math.nan
        return super().forward(logits, labels)


@pytest.mark.parametrize(
    'method, head',
    [
        ('SimSiam', dict(type='PoisonedHead', loss=dict(type='CosineSimilarityLoss'))),
        ('SimCLR', dict(loss=dict(type='PoisonedLoss'))),
        ('MoCo', dict(loss=dict(type='PoisonedLoss'))),
        ('MoCoV3', dict(loss=dict(type='PoisonedLoss'))),
    ],
)
def test_names_the_image_it_started_with(tiny_run, method, head):
    runner = tiny_run(
        method,
        [dict(type='NonFiniteLossHook')],
        head=head,
        preprocessor=dict(type='PoisonedPreprocessor'),
    )
    with pytest.raises(FloatingPointError, match=f'it started with .*/{POISONED};') as raised:
        runner.train()
    saved = json.loads(Path(runner.work_dir, 'non_finite_loss.json').read_text())
    assert f'non-finite loss in iteration {saved["iteration"]} ' in str(raised.value)
    assert 1 <= saved['iteration'] <= 6 and saved['epoch'] == 1
    assert saved['losses'] == {'loss': 'nan'}
    assert [name[-len(POISONED) :] for name in saved['images']] == [POISONED]
    assert len(set(saved['batch'])) == 16 and saved['images'][0] in saved['batch']
    # 24 images of each of 4 classes, in the order of their names: 7.png is the last but two
    assert saved['draws'] == ['0:69'] and saved['seed'] == 0
    assert '--replay 0:69 --seed 0' in str(raised.value)


def test_a_fault_of_the_whole_batch(tiny_run):
    runner = tiny_run('SimSiam', [dict(type='NonFiniteLossHook')])
    runner.model.neck.fc0.weight.data[0, 0] = math.nan
    with pytest.raises(FloatingPointError, match='in all 16 images of the batch at once'):
        runner.train()
    saved = json.loads(Path(runner.work_dir, 'non_finite_loss.json').read_text())
    assert saved['images'] == [] and len(saved['batch']) == 16 and saved['iteration'] == 1
