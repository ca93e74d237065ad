"""Momentum networks, centers and queues move once an optimizer step."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import Tensor

from mmjoint.engine import build_runner
from mmjoint.models import DINOHead

_runs = iter(range(10**6))
PREPROCESSOR = dict(type='mmengine.BaseDataPreprocessor')
BACKBONE = dict(type='ResNet', depth=18, base_channels=4, stem_channels=4)
NECK = dict(
    type='NonLinearNeck', in_channels=32, hid_channels=16, out_channels=8, num_layers=2,
    with_avg_pool=True,
)  # fmt: skip
PREDICTOR = dict(NECK, in_channels=8, with_avg_pool=False)
MOCO = dict(
    queue_len=32, feat_dim=8, momentum=0.1, backbone=BACKBONE,
    neck=dict(type='MoCoV2Neck', in_channels=32, hid_channels=8, out_channels=8,
              with_avg_pool=True),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
)  # fmt: skip
MODELS = {
    'MoCo': dict(type='MoCo', **MOCO),
    'LeOCLR': dict(type='LeOCLR', **MOCO),
    'BYOL': dict(
        type='BYOL', base_momentum=0.1, backbone=BACKBONE, neck=NECK,
        head=dict(type='LatentPredictHead', loss=dict(type='CosineSimilarityLoss'),
                  predictor=PREDICTOR)),
    'MoCoV3': dict(
        type='MoCoV3', base_momentum=0.1, backbone=BACKBONE, neck=NECK,
        head=dict(type='MoCoV3Head', loss=dict(type='CrossEntropyLoss'), temperature=1.0,
                  predictor=PREDICTOR)),
    'DINO': dict(
        type='DINO', base_momentum=0.1, backbone=BACKBONE,
        neck=dict(type='DINONeck', in_channels=32, hid_channels=16, bottleneck_channels=8,
                  out_channels=16),
        head=dict(type='DINOHead', out_channels=16)),
    'SwAV': dict(
        type='SwAV', backbone=BACKBONE,
        neck=dict(type='SwAVNeck', in_channels=32, hid_channels=16, out_channels=8,
                  with_avg_pool=True),
        head=dict(type='SwAVHead', loss=dict(
            type='DistributedSwAVLoss', feat_dim=8, num_prototypes=4, num_crops=[2]))),
}  # fmt: skip


@DATASETS.register_module(force=True)
class Views(torch.utils.data.Dataset):
    metainfo: dict = {}

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int) -> dict:
        generator = torch.Generator().manual_seed(i)
        views = torch.rand(3, 3, 32, 32, generator=generator).unbind()
        return dict(inputs=list(views), data_samples=torch.zeros(()))


class States(Hook):
    """Keep what is no parameter of the optimizer, as each iteration leaves it."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def before_train(self, runner: Runner) -> None:
        if hasattr(getattr(runner.model.head, 'loss_module', None), 'queue'):
            runner.model.head.loss_module.queue = torch.zeros(2, 8, 8)
        self.after_train_iter(runner)

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        state = dict(runner.model.state_dict())
        if hasattr(getattr(runner.model.head, 'loss_module', None), 'queue'):
            state['queue'] = runner.model.head.loss_module.queue
        average = next((h.ema_model for h in runner.hooks if hasattr(h, 'ema_model')), None)
        if average is not None:
            state.update((f'average.{k}', v) for k, v in average.state_dict().items())
        self.states.append(copy.deepcopy(state))

    def moves(self, name: str) -> list[int]:
        """The iterations after which a tensor is another than before."""
        pairs = zip(self.states, self.states[1:], strict=False)
        return [i for i, (a, b) in enumerate(pairs, 1) if not torch.equal(a[name], b[name])]


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., States]:
    def train(name: str, counts: int, hooks: tuple[dict, ...] = ()) -> States:
        torch.manual_seed(0)
        cfg = Config(
            dict(
                work_dir=str(tmp_path / f'{name}_{counts}'),
                launcher='none',
                default_scope='mmpretrain',
                experiment_name=f'{tmp_path.name}_{next(_runs)}',
                model=dict(
                    MODELS[name], data_preprocessor=dict(type='mmengine.BaseDataPreprocessor')
                ),
                train_dataloader=dict(
                    batch_size=2,
                    num_workers=0,
                    dataset=dict(type='mmengine.Views'),
                    sampler=dict(type='DefaultSampler', shuffle=False),
                    collate_fn=dict(type='default_collate'),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=2),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=counts),
                default_hooks=dict(checkpoint=None),
                custom_hooks=list(hooks),
                randomness=dict(seed=0),
                log_level='WARNING',
            )
        )
        runner = build_runner(cfg, strict=False)
        loss = runner.model.loss
        if name != 'LeOCLR':
            runner.model.loss = lambda inputs, *args, **kwargs: loss(inputs[:2], *args, **kwargs)
        states = States()
        runner.register_hook(states)
        runner.train()
        return states

    return train


# With 4 micro-batches a step momentum networks move in its first (the first move of all copies),
# queues and centers in its last.
MOMENTUM = [1, 5, 9, 13]
STEPS = [4, 8, 12, 16]


@pytest.mark.parametrize(
    'name, momentum, count, queue',
    [
        ('MoCo', 'encoder_k.module.0.conv1.weight', 'encoder_k.steps', 'queue'),
        ('LeOCLR', 'encoder_k.module.0.conv1.weight', 'encoder_k.steps', 'queue'),
        ('BYOL', 'target_net.module.0.conv1.weight', 'target_net.steps', None),
        ('MoCoV3', 'momentum_encoder.module.0.conv1.weight', 'momentum_encoder.steps', None),
        ('DINO', 'teacher.backbone.conv1.weight', 'teacher_steps', 'head.center'),
        ('SwAV', None, None, 'queue'),
    ],
)
def test_moves_once_a_step(
    name: str,
    momentum: str | None,
    count: str | None,
    queue: str | None,
    train: Callable[..., States],
) -> None:
    states = train(name, counts=4)
    assert states.moves('backbone.conv1.weight') == STEPS
    if momentum:
        assert states.moves(momentum) == MOMENTUM
        assert int(states.states[-1][count]) == 4
    if queue:
        assert states.moves(queue) == STEPS


@pytest.mark.parametrize('name', ['BYOL', 'DINO'])
def test_momentum_follows_the_steps(name: str, train: Callable[..., States]) -> None:
    """The cosine of the momentum goes over the 4 steps of the run, not over its 16 iterations."""
    states = train(name, counts=4).states
    student, averaged = 'backbone.conv1.weight', {
        'BYOL': 'target_net.module.0.conv1.weight',
        'DINO': 'teacher.backbone.conv1.weight',
    }[name]  # fmt: skip
    # BYOL's k-th move, from 0 for the copy, takes cos(k pi / 4), DINO's that of the step before.
    for move, iteration in enumerate(MOMENTUM[1:], 1):
        step = move if name == 'BYOL' else move - 1
        momentum = 0.1 * (1 + torch.tensor(step * torch.pi / 4).cos()) / 2
        before, after = states[iteration - 1], states[iteration]
        expected = before[averaged] + momentum * (before[student] - before[averaged])
        assert torch.allclose(after[averaged], expected, rtol=0, atol=1e-6)


def test_center_moves_by_the_mean_of_the_step(
    train: Callable[..., States], monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, loss = [], DINOHead.loss

    def noted(head: DINOHead, student: tuple, teacher: tuple) -> Tensor:
        logits.append(torch.cat(teacher))
        return loss(head, student, teacher)

    monkeypatch.setattr(DINOHead, 'loss', noted)
    states = train('DINO', counts=4).states
    center = torch.zeros(1, 16)
    for step in range(4):
        center = 0.9 * center + 0.1 * torch.cat(logits[4 * step : 4 * step + 4]).mean(0)
        assert torch.allclose(states[4 * step + 4]['head.center'], center, rtol=0, atol=1e-6)


def test_average_of_ema_hook(train: Callable[..., States]) -> None:
    states = train('BYOL', 4, (dict(type='EMAHook', momentum=0.1),))
    assert states.moves('average.module.backbone.conv1.weight') == STEPS


def test_without_accumulation_nothing_changes(train: Callable[..., States]) -> None:
    states = train('MoCo', counts=1)
    assert states.moves('queue') == list(range(1, 17))
    assert states.moves('encoder_k.module.0.conv1.weight') == list(range(1, 17))


def test_refuses_stock_swav(train: Callable[..., States], monkeypatch: pytest.MonkeyPatch) -> None:
    stock = copy.deepcopy(MODELS['SwAV'])
    stock['head']['loss']['type'] = 'SwAVLoss'
    monkeypatch.setitem(MODELS, 'SwAV', stock)
    with pytest.raises(ValueError, match='4: SwAVLoss .*DistributedSwAVLoss'):
        train('SwAV', counts=4)
