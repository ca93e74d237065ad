"""Resumed runs of a tiny model, held against uninterrupted ones."""

import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner
from mmpretrain.models.utils import CosineEMA
from torch import Tensor, nn

from mmjoint.checkpoints import CheckpointError
from mmjoint.engine import build_runner, guard_run

IMAGES = 16
_runs = iter(range(10**6))


@DATASETS.register_module(force=True)
class Numbers(torch.utils.data.Dataset):
    metainfo: dict = {}

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, i: int) -> Tensor:
        return torch.tensor([float(i)])


@MODELS.register_module(force=True)
class Recorder(BaseModel):
    """One weight; notes which numbers it was trained on, and at which rate."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen: list[list[int]] = []
        self.rates: list[float] = []

    def train_step(self, data: Tensor, optim_wrapper: object) -> dict:
        self.seen.append(data[:, 0].int().tolist())
        self.rates.append(optim_wrapper.get_lr()['lr'][0])
        return super().train_step(dict(inputs=data), optim_wrapper)

    def forward(self, inputs: Tensor, mode: str = 'loss') -> dict:
        return dict(loss=(self.weight * inputs / IMAGES).square().mean())


@DATASETS.register_module(force=True)
class Drawn(Numbers):
    """Numbers with noise from all generators."""

    def __getitem__(self, i: int) -> Tensor:
        return super().__getitem__(i) + random.random() + np.random.rand() + torch.rand(1)


@MODELS.register_module(force=True)
class Drawing(Recorder):
    """Draws, too; notes its losses."""

    def train_step(self, data: Tensor, optim_wrapper: object) -> dict:
        outputs = super().train_step(data * torch.rand(1), optim_wrapper)
        self.losses = [*getattr(self, 'losses', []), outputs['loss'].item()]
        return outputs


@MODELS.register_module(force=True)
class Averaged(Recorder):
    """With a momentum network whose schedule counts its moves, as BYOL and MoCo v3 have."""

    def __init__(self) -> None:
        super().__init__()
        self.source = nn.Linear(1, 1)
        self.average = CosineEMA(self.source, momentum=0.1)

    def forward(self, inputs: Tensor, mode: str = 'loss') -> dict:
        self.average.update_parameters(self.source)
        return super().forward(self.source(inputs), mode)


COSINE = dict(
    type='CosineAnnealingLR', T_max=4, begin=0, end=4, by_epoch=True, convert_to_iter_based=True
)


def train(work_dir: Path, resume: Path | None = None, **settings: object) -> Runner:
    """Train 4 epochs, or what is left of them, in a folder."""
    cfg = dict(
        work_dir=str(work_dir),
        launcher='none',
        experiment_name=f'{work_dir}_{next(_runs)}',
        model=dict(type='Recorder'),
        train_dataloader=dict(
            batch_size=settings.pop('batch_size', 4),
            num_workers=settings.pop('num_workers', 0),
            persistent_workers=False,
            dataset=dict(type=settings.pop('dataset', 'Numbers')),
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        param_scheduler=[COSINE],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        randomness=dict(seed=0),
        log_level='WARNING',
    )
    cfg.update(settings)
    cfg = Config(cfg)
    if resume:
        cfg.resume, cfg.load_from = True, str(resume)
    guard_run(cfg)
    cfg.custom_hooks = []
    runner = build_runner(cfg, strict=bool(resume))
    runner.train()
    return runner


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Runner]:
    """Train in folders of the test."""

    def run(folder: str, resume: str | None = None, **settings: object) -> Runner:
        return train(tmp_path / folder, resume and tmp_path / resume, **settings)

    return run


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second epoch's checkpoint of a run that was not interrupted."""
    work_dir = tmp_path_factory.mktemp('trained')
    train(work_dir)
    return work_dir / 'epoch_2.pth'


def by_iterations(interval: int) -> dict:
    return dict(checkpoint=dict(type='CheckpointHook', interval=interval, by_epoch=False))


@pytest.mark.parametrize('iteration, workers', [(3, 0), (4, 0), (6, 1), (8, 0), (11, 0), (16, 0)])
def test_goes_on_within_an_epoch(
    iteration: int, workers: int, run: Callable[..., Runner], tmp_path: Path
) -> None:
    hooks = by_iterations(1)
    schedules = [COSINE, dict(type='StepLR', step_size=2, by_epoch=True)]
    whole = run('whole', default_hooks=hooks, param_scheduler=schedules)
    rest = run(
        'rest',
        f'whole/iter_{iteration}.pth',
        default_hooks=hooks,
        param_scheduler=schedules,
        num_workers=workers,
    )
    assert len(whole.model.seen) == 16
    assert rest.model.seen == whole.model.seen[iteration:]
    assert rest.model.rates == whole.model.rates[iteration:]
    assert torch.equal(rest.model.weight, whole.model.weight)
    assert (rest.epoch, rest.iter) == (4, 16)


@pytest.mark.parametrize('iteration, workers', [(3, 0), (8, 2)])
def test_draws_as_the_uninterrupted_run(
    iteration: int, workers: int, run: Callable[..., Runner]
) -> None:
    settings = dict(default_hooks=by_iterations(1), model=dict(type='Drawing'), dataset='Drawn')
    whole = run('whole', **settings)
    rest = run('rest', f'whole/iter_{iteration}.pth', num_workers=workers, **settings)
    assert len(set(whole.model.losses)) == 16
    assert rest.model.losses == whole.model.losses[iteration:]


@pytest.mark.parametrize('batch_size', [1, 2, 8])
def test_other_batches_follow_the_schedule(batch_size: int, trained: Path, tmp_path: Path) -> None:
    length = IMAGES // batch_size
    rest = train(tmp_path / 'rest', trained, batch_size=batch_size)
    expected = [
        0.1 * (1 + math.cos(math.pi * step / (4 * length))) / 2
        for step in range(2 * length, 4 * length)
    ]
    assert rest.model.rates == pytest.approx(expected, rel=1e-6)
    assert rest.iter == 4 * length
    meta = torch.load(tmp_path / 'rest/epoch_4.pth', weights_only=False)['meta']
    assert (meta['iter'], meta['epoch_length'], meta['batch_size']) == (
        4 * length,
        length,
        batch_size,
    )


@pytest.mark.parametrize('batch_size, counts', [(2, 1), (8, 1), (1, 4)])
def test_other_batches_follow_the_momentum(
    batch_size: int, counts: int, run: Callable[..., Runner], tmp_path: Path
) -> None:
    run('first', model=dict(type='Averaged'))
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=counts)
    settings = dict(batch_size=batch_size, model=dict(type='Averaged'), optim_wrapper=wrapper)
    whole = run('whole', **settings)
    rest = run('rest', 'first/epoch_2.pth', **settings)
    moves = [int(one.model.average.steps) for one in (whole, rest)]
    assert moves == [4 * IMAGES // batch_size // counts] * 2


def test_other_batches_with_warm_up(run: Callable[..., Runner]) -> None:
    schedules = [
        dict(type='LinearLR', start_factor=0.1, begin=0, end=3, convert_to_iter_based=True),
        dict(COSINE, T_max=1, begin=3),
    ]
    run('first', param_scheduler=schedules)
    whole = run('whole', batch_size=2, param_scheduler=schedules)
    rest = run('rest', 'first/epoch_1.pth', batch_size=2, param_scheduler=schedules)
    assert rest.model.rates == pytest.approx(whole.model.rates[8:], rel=1e-6)


def test_auto_scaled_rate_follows_the_batch(run: Callable[..., Runner]) -> None:
    scale = dict(auto_scale_lr=dict(enable=True, base_batch_size=8), param_scheduler=None)
    assert set(run('first', **scale).model.rates) == {0.05}
    assert set(run('same', 'first/epoch_2.pth', **scale).model.rates) == {0.05}
    assert set(run('other', 'first/epoch_2.pth', batch_size=2, **scale).model.rates) == {0.025}


def test_auto_scaling_counts_accumulation(run: Callable[..., Runner]) -> None:
    wrapper = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=4)
    scale = dict(auto_scale_lr=dict(enable=True, base_batch_size=16), param_scheduler=None)
    assert set(run('first', optim_wrapper=wrapper, **scale).model.rates) == {0.1}


def test_average_of_an_ema_hook_goes_on(run: Callable[..., Runner], tmp_path: Path) -> None:
    """Weights, and their average, which mmengine saves in their place, are the whole run's."""
    hooks = dict(by_iterations(4), average=dict(type='EMAHook', momentum=0.3))
    run('whole', default_hooks=hooks)
    run('rest', 'whole/iter_8.pth', default_hooks=hooks)
    whole, rest = (
        torch.load(tmp_path / name / 'iter_16.pth', weights_only=False)
        for name in ('whole', 'rest')
    )
    average, weight = whole['state_dict']['weight'], whole['ema_state_dict']['module.weight']
    assert average != weight
    assert rest['state_dict']['weight'] == average
    assert rest['ema_state_dict']['module.weight'] == weight


def test_schedule_in_iterations_cannot_follow(run: Callable[..., Runner]) -> None:
    schedules = [dict(type='CosineAnnealingLR', T_max=16, by_epoch=False)]
    run('first', param_scheduler=schedules)
    with pytest.raises(CheckpointError, match='CosineAnnealingLR is given in iterations'):
        run('rest', 'first/epoch_2.pth', batch_size=2, param_scheduler=schedules)


def test_middle_of_an_epoch_with_other_batches(run: Callable[..., Runner]) -> None:
    run('first', default_hooks=by_iterations(1))
    with pytest.raises(CheckpointError, match='saved after 2 of 4 iterations of an epoch.* 8 now'):
        run('rest', 'first/iter_6.pth', batch_size=2)


def without(*names: str) -> Callable[[dict], None]:
    return lambda checkpoint: [checkpoint.pop(name) for name in names]


def with_meta(**values: object) -> Callable[[dict], None]:
    return lambda checkpoint: checkpoint['meta'].update(values)


@pytest.mark.parametrize(
    'change, message',
    [
        (without('optimizer'), 'no optimizer in it'),
        (without('param_schedulers'), 'no param_schedulers in it'),
        (without('message_hub', 'optimizer'), 'no message_hub, optimizer in it'),
        (without('meta'), 'no meta'),
        (lambda c: c['param_schedulers'].pop(), '0 param_schedulers in it and 1 in the config'),
        (lambda c: c['param_schedulers'][0].pop('T_max'), 'is not CosineAnnealingLR .no T_max'),
        (lambda c: c['param_schedulers'].__setitem__(0, 3), 'is not CosineAnnealingLR'),
        (lambda c: c['optimizer'].pop('param_groups'), 'its optimizer has no param_groups'),
        (lambda c: c['optimizer']['param_groups'].clear(), '0 groups of parameters'),
        (lambda c: c['optimizer']['param_groups'][0].pop('momentum'), 'is not SGD .no momentum'),
        (with_meta(epoch=-3), 'epoch -3 in its meta'),
        (with_meta(epoch=10**9), 'epoch 1000000000, beyond the end of this run at 4'),
        (with_meta(epoch=math.nan), 'epoch nan in its meta'),
        (with_meta(epoch=True), 'epoch True in its meta'),
        (with_meta(epoch='2'), "epoch '2' in its meta"),
        (with_meta(iter=-1), 'iter -1 in its meta'),
        (with_meta(iter=10**9), 'iter 1000000000 is not in epoch 2 of 4 iterations'),
        (with_meta(iter=1), 'iter 1 is not in epoch 2 of 4 iterations'),
    ],
)
def test_refuses_what_it_cannot_go_on_from(
    change: Callable[[dict], None], message: str, trained: Path, tmp_path: Path
) -> None:
    path = tmp_path / 'epoch_2.pth'
    checkpoint = torch.load(trained, weights_only=False)
    change(checkpoint)
    torch.save(checkpoint, path)
    with pytest.raises(CheckpointError, match=message) as error:
        train(tmp_path / 'rest', path)
    assert str(path) in str(error.value)


def test_config_in_a_checkpoint_is_not_run(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / 'epoch_2.pth'
    checkpoint = torch.load(trained, weights_only=False)
    checkpoint['meta']['config'] = f'open({str(tmp_path / "run")!r}, "w")'
    torch.save(checkpoint, path)
    train(tmp_path / 'rest', path)
    assert not (tmp_path / 'run').exists()
