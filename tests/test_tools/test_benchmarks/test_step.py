import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models import SimCLR
from mmpretrain.registry import MODELS
from step_benchmark import benchmark_step, nt_xent

from mmjoint import engine

CONFIG = (
    Path(__file__).resolve().parents[3]
    / 'configs/simclr/simclr_resnet18_4xb128-coslr-500e_tiny-imagenet.py'
)


@pytest.fixture
def cfg() -> Config:
    """The config of the benchmark with 8 images a step, of 16 pixels."""
    options = {'train_dataloader.batch_size': 8, 'train_dataloader.num_workers': 0}
    cfg = engine.load_config(
        Namespace(
            config=str(CONFIG),
            cfg_options=options,
            launcher='none',
            work_dir=None,
            no_pin_memory=False,
        )
    )
    cfg.train_dataloader.dataset.pipeline[1].transforms[0][0].scale = 16
    cfg.randomness.seed = 0
    return cfg


# In batches as small as these batch norm turns rounding into more, step by step.
@pytest.mark.parametrize(
    'options, tolerance', [((), 1e-5), (('channels_last',), 1e-4), (('amp',), 1e-2)]
)
def test_both_loops_train_the_same(cfg: Config, options: tuple, tolerance: float) -> None:
    """What makes the comparison fair: losses of the same weights on the same data agree."""
    result = benchmark_step(cfg, options, rounds=2, steps=2)
    runner, bare = result['losses']
    assert len(runner) == 6
    assert len(set(runner)) == 6  # they are trained
    assert bare[:3] == pytest.approx(runner[:3], rel=tolerance)


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


@pytest.mark.parametrize('rounds, steps', [(1, 2), (2, 1)])
def test_refuses_too_few_rounds(cfg: Config, rounds: int, steps: int) -> None:
    with pytest.raises(ValueError, match='at least 2'):
        benchmark_step(cfg, rounds=rounds, steps=steps)


def test_refuses_other_models(cfg: Config) -> None:
    cfg.model.backbone.depth = 50
    with pytest.raises(ValueError, match='ResNet_CIFAR of depth 18'):
        benchmark_step(cfg)


def test_tool(run_tool, tmp_path: Path) -> None:
    arguments = ['--rounds', 2, '--batch-size', 2, '--variants', 'float32', '--json', 'out.json']
    status, out, err = run_tool('benchmarks/step.py', *arguments)
    assert status == 0, err
    result = json.loads((tmp_path / 'out.json').read_text())
    assert result['data'] == 'memory'
    (measured,) = result['variants'].values()
    assert measured['ratio']['quartiles'][0] <= measured['ratio']['median']
    assert f'{measured["ratio"]["median"]:.3f}' in out


def test_tool_with_too_few_images(run_tool, tmp_path: Path) -> None:
    arguments = ['--variants', 'float32', '--data-root', tmp_path / 'nothing']
    status, _, err = run_tool('benchmarks/step.py', *arguments)
    assert status == 1
    assert err.splitlines()[-1].startswith('error: ') and 'nothing' in err
