import json
import math
from pathlib import Path

import pytest
import torch
from bare_simclr import BareLARS, nt_xent
from mmengine.config import Config
from mmpretrain.engine.optimizers import LARS
from mmpretrain.models import SimCLR
from mmpretrain.registry import MODELS
from step_benchmark import VARIANTS, benchmark_config, benchmark_loading, benchmark_step


@pytest.fixture
def cfg() -> Config:
    """ResNet-18 with 8 images per step, of 16 pixels."""
    return small_config('resnet18', 'sgd')


def small_config(arch: str, optimizer: str, size: int = 16) -> Config:
    cfg = benchmark_config(arch, optimizer, size, batch_size=8)
    cfg.randomness.seed = 0
    return cfg


# In batches as small as these batch norm turns rounding into more, step by step.
@pytest.mark.slow
@pytest.mark.parametrize(
    'arch, optimizer, variant, tolerance',
    [
        ('resnet18', 'lars', 'float32', 1e-5),
        ('resnet18', 'sgd', 'float32', 1e-5),
        ('resnet18', 'sgd', 'float32, channels last', 1e-4),
        ('resnet18', 'lars', 'bfloat16', 1e-2),
        ('resnet50', 'lars', 'float32', 1e-4),
        ('resnet50', 'sgd', 'float32', 1e-4),
    ],
)
def test_both_loops_train_the_same(
    arch: str, optimizer: str, variant: str, tolerance: float
) -> None:
    """What makes the comparison fair: losses of the same weights on the same data agree."""
    cfg = small_config(arch, optimizer)
    if optimizer == 'lars':
        cfg.optim_wrapper.optimizer.lr *= 8  # a tiny batch has a tiny one
    result = benchmark_step(cfg, VARIANTS[variant], rounds=2, steps=2)
    runner, bare = result['losses']
    assert len(runner) == 6
    assert len(set(runner)) == 6  # they are trained
    assert bare[:3] == pytest.approx(runner[:3], rel=tolerance)
    assert 0 <= result['waiting'] < 0.5 and 'memory' not in result


def test_lars_is_that_of_mmpretrain() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = (4, 3, 2, 2), (4,), (5, 4), (5,)
    start = [torch.randn(shape, generator=generator) for shape in shapes]
    ours, theirs = ([weight.clone().requires_grad_() for weight in start] for _ in range(2))
    settings = dict(lr=0.3, momentum=0.9, weight_decay=0.01)
    groups = [
        dict(params=weight)
        if weight.ndim > 1
        else dict(params=weight, weight_decay=0, lars_exclude=True)
        for weight in theirs
    ]
    optimizers = BareLARS(ours, **settings), LARS(groups, **settings)
    for _ in range(5):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        ours[2].grad.zero_()  # nothing to scale by
        theirs[2].grad.zero_()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    assert not any(torch.equal(one, other) for one, other in zip(ours, start, strict=True))


def test_loss_is_that_of_mmpretrain() -> None:
    first, second = torch.randn(2, 6, 5, dtype=torch.float64)
    head = MODELS.build(
        dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.3)
    )
    z = torch.nn.functional.normalize(torch.stack((first, second), 1).flatten(0, 1), dim=1)
    s = z @ z.T
    mask, pos_idx, neg_mask = SimCLR._create_buffer(6, s.device)
    s = torch.masked_select(s, mask == 1).reshape(12, -1)
    negative = torch.masked_select(s, neg_mask == 1).reshape(12, -1)
    expected = head.loss(s[pos_idx].unsqueeze(1), negative)
    torch.testing.assert_close(nt_xent(torch.cat((first, second)), 0.3), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    'loader, workers, batch_size', [('mmjoint', 0, 8), ('mmpretrain', 1, 8), ('mmjoint', 0, 2)]
)
def test_loading(
    cfg: Config, image_folder: Path, loader: str, workers: int, batch_size: int
) -> None:
    """48 photos are taken as often as needed, and no more of them than are needed."""
    cfg.train_dataloader.batch_size = batch_size
    options = VARIANTS['float32']
    result = benchmark_loading(
        cfg, options, str(image_folder), loader, 'resnet18', workers, rounds=4, steps=2
    )
    assert result['workers'] == workers and result['rounds'] == 4
    assert 0 < result['waiting'] < 1
    assert math.isfinite(result['runner']['median']) and result['runner']['median'] > 0


def test_float16_needs_a_gpu(cfg: Config) -> None:
    with pytest.raises(ValueError, match='float16 is for GPUs'):
        benchmark_step(cfg, VARIANTS['float16'])


@pytest.mark.parametrize('rounds, steps', [(1, 2), (2, 1)])
def test_refuses_too_few_rounds(cfg: Config, rounds: int, steps: int) -> None:
    with pytest.raises(ValueError, match='at least 2'):
        benchmark_step(cfg, rounds=rounds, steps=steps)


@pytest.mark.parametrize('size, batch_size', [(16, 1), (0, 8)])
def test_refuses_too_small_batches(size: int, batch_size: int) -> None:
    with pytest.raises(ValueError, match=f'got {batch_size} of {size}'):
        benchmark_config('resnet18', 'sgd', size, batch_size)


def test_config_has_the_size_and_the_optimizer() -> None:
    cfg = benchmark_config('resnet50', 'sgd', None, 256)
    (views,) = cfg.train_dataloader.dataset.pipeline[1].transforms
    assert views[0].scale == 224 and cfg.model.backbone.depth == 50
    assert dict(cfg.optim_wrapper.optimizer) == dict(
        type='SGD', lr=0.25, momentum=0.9, weight_decay=1e-4
    )


@pytest.mark.slow
def test_tool(run_tool, image_folder: Path, tmp_path: Path) -> None:
    arguments = ['--rounds', 2, '--batch-size', 2, '--variants', 'float32', '--json', 'out.json']
    arguments += ['--size', 16, '--optimizer', 'sgd', 'lars', '--device', 'cpu']
    arguments += ['--data-root', image_folder, '--loaders', 'mmjoint', '--workers', 0]
    status, out, err = run_tool('benchmarks/step.py', *arguments)
    assert status == 0, err
    result = json.loads((tmp_path / 'out.json').read_text())
    assert (result['device'], result['size']) == ('cpu', 16)
    rows = result['rows']
    assert [(row['optimizer'], row['data']) for row in rows] == [
        (name, data) for name in ('sgd', 'lars') for data in ('memory', 'mmjoint')
    ]
    measured, loaded = rows[:2]
    assert measured['ratio']['quartiles'][0] <= measured['ratio']['median']
    assert f'{measured["ratio"]["median"]:.3f}' in out
    assert loaded['ratio'] == pytest.approx(loaded['runner']['median'] / measured['bare']['median'])


@pytest.mark.parametrize(
    'arguments, words',
    [
        pytest.param(
            ['--data-root', 'nothing', '--size', 16, '--batch-size', 2],
            'nothing',
            marks=pytest.mark.slow,
        ),
        (['--device', 'cuda'], 'cuda'),
        (['--workers', -1], '--workers'),
    ],
)
def test_tool_with_bad_arguments(run_tool, arguments: list, words: str) -> None:
    if '--data-root' in arguments:
        arguments = [*arguments, '--variants', 'float32', '--rounds', 2]
    status, _, err = run_tool('benchmarks/step.py', *arguments)
    assert status != 0
    assert 'error: ' in err.splitlines()[-1] and words in err.splitlines()[-1]
