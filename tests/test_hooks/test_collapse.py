"""CollapseHook on runs that collapse and runs that do not, and its numbers against closed forms."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmjoint.hooks import CollapseHook, NonFiniteLossHook
from mmjoint.hooks.collapse import feature_spread

HEALTHY = ['SimCLR', 'SimSiam', 'BYOL', 'MoCo', 'MoCoV3', 'DINO', 'LeOCLR']
WATCH = dict(type='CollapseHook', interval=3, patience=6)
FAST = dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.3, momentum=0.9)))


def hook_of(runner) -> CollapseHook:
    return next(hook for hook in runner.hooks if isinstance(hook, CollapseHook))


def test_a_run_without_stop_gradient_is_flagged_within_an_epoch(tiny_run):
    runner = tiny_run('collapsing', [WATCH], repeat=12, **FAST)
    runner.train()
    assert hook_of(runner).collapsed
    (log,) = Path(runner.log_dir).glob('*.log')
    told = [line for line in log.read_text().splitlines() if 'features have collapsed' in line]
    assert len(told) == 1 and 'WARNING' in told[0] and '(epoch 1)' in told[0]


def test_the_same_run_with_it_is_not(tiny_run):
    runner = tiny_run('SimSiam', [WATCH], repeat=12, **FAST)
    runner.train()
    assert not hook_of(runner).collapsed


@pytest.mark.parametrize('method', HEALTHY)
def test_every_method_is_understood_and_healthy(tiny_run, read_log, method):
    runner = tiny_run(method, [dict(type='CollapseHook', interval=4, patience=12)], repeat=2)
    runner.train()
    assert not hook_of(runner).collapsed
    rows = [row for row in read_log(runner) if 'collapse/std' in row]
    assert [row['step'] for row in rows if row['step'] % 4 == 0] == [4, 8, 12]
    for row in rows:
        assert 0 < row['collapse/std'] <= 1
        # Positive and negative cosines both exist: every view has found its features.
        assert -1 <= row['collapse/negative'] < row['collapse/positive'] + 0.5 <= 1.5
        assert 1 <= row['collapse/directions'] <= 64


class Identity(nn.Module):
    """A model whose features are its inputs."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.backbone, self.neck, self.order = nn.Identity(), nn.Identity(), order

    def forward(self, inputs: list[torch.Tensor], mode: str = 'loss') -> None:
        self.neck(self.backbone(torch.cat(inputs)[self.order]).flatten(1))


@pytest.mark.parametrize('interleaved', [False, True])
def test_rows_are_told_by_their_pixels(interleaved):
    from mmjoint.hooks.collapse import Recorder

    views = torch.randn(2, 10, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    order = [i + 10 * v for i in range(10) for v in range(2)] if interleaved else list(range(20))
    order = order[3:] + order[:3]
    model = Identity(order)
    recorder = Recorder(model)
    model(list(views), mode='loss')
    recorder.remove()
    first, second = recorder.pairs()
    assert torch.equal(first, views[0].flatten(1)) and torch.equal(second, views[1].flatten(1))


def test_spread_agrees_with_a_direct_computation():
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(12, 7, generator=generator)
    second = first + torch.randn(12, 7, generator=generator)
    second[4] = math.nan
    values = feature_spread((first, second))
    a, b = F.normalize(first.double(), dim=1), F.normalize(second.double(), dim=1)
    stds = [math.sqrt(sum((x - c.mean()) ** 2 for x in c) / 12) for c in a.T]
    assert values['std'] == pytest.approx(sum(stds) / 7 * math.sqrt(7))
    positive = [float(a[i] @ b[i]) for i in range(12) if i != 4]
    assert values['positive'] == pytest.approx(sum(positive) / 11)
    negative = [float(a[i] @ a[j]) for i in range(12) for j in range(12) if i != j]
    assert values['negative'] == pytest.approx(sum(negative) / 132)
    assert values['directions'] == pytest.approx(132 / sum(c * c for c in negative))


def test_spread_of_known_features():
    # Even on the sphere: std 1, no common direction, as many directions as channels.
    even = torch.randn(4000, 16, generator=torch.Generator().manual_seed(0))
    values = feature_spread((even, even))
    assert values['std'] == pytest.approx(1, abs=0.01)
    assert values['positive'] == pytest.approx(1) and abs(values['negative']) < 0.01
    assert values['directions'] == pytest.approx(16, rel=0.02)
    # Equal ones, and ones on a line through 0, which std alone does not see.
    equal = torch.ones(8, 16)
    values = feature_spread((equal, equal))
    assert values['std'] == pytest.approx(0, abs=1e-6) and values['directions'] == pytest.approx(1)
    line = equal * torch.tensor([1.0, -1] * 4)[:, None]
    values = feature_spread((line, line))
    assert values['std'] == pytest.approx(1) and values['directions'] == pytest.approx(1)
    assert feature_spread(None) == {} == feature_spread((equal[:1], equal[:1]))


def test_watching_changes_nothing(tiny_run, read_log):
    losses = []
    for hooks in ([], [dict(type='CollapseHook', interval=1), dict(type='PairStatsHook')]):
        runner = tiny_run('BYOL', hooks, experiment_name=f'hooks {len(hooks)}')
        runner.train()
        losses.append([row['loss'] for row in read_log(runner) if 'loss' in row])
    assert len(losses[0]) == 6 and losses[0] == losses[1]


def test_it_brings_the_stop_at_a_non_finite_loss(tiny_run):
    for hooks in (
        [dict(type='CollapseHook')],
        [dict(type=t) for t in ('NonFiniteLossHook', 'CollapseHook')],
    ):
        runner = tiny_run('SimSiam', hooks)
        runner.train()
        assert sum(isinstance(hook, NonFiniteLossHook) for hook in runner.hooks) == 1


def test_what_is_a_collapse():
    def flagged(directions: list[float], **settings) -> list[int]:
        hook = CollapseHook(interval=10, **settings)
        told = []
        for i, value in enumerate(directions):
            log = SimpleNamespace(warning=lambda _, i=i: told.append(i), info=lambda _: None)
            runner = SimpleNamespace(iter=10 * i, epoch=0, logger=log)
            hook._judge(runner, dict(directions=value))
        return told

    # A fall that lasts 50 iterations, told once; spread again and fallen again, told again.
    assert flagged([9, 5, *[1.2] * 10]) == [7]
    assert flagged([9, *[1.2] * 8, 2.0, *[1.2] * 8, 8, *[1.2] * 8]) == [6, 24]
    # A dip at the start, a low level that is left steadily, and one never left: after `grace`.
    assert flagged([4, 1.4, 1.3, 1.5, 1.8, 4]) == []
    assert flagged([5, *[1 + 0.01 * 1.4**i for i in range(12)]]) == []
    assert flagged([1.04] * 30) == []
    assert flagged([1.04] * 30, grace=200) == [20]


@pytest.mark.parametrize(
    'change', [dict(interval=0), dict(patience=1.5), dict(grace=-1), dict(min_directions=1.0)]
)
def test_bad_arguments(change):
    with pytest.raises(ValueError, match=f'CollapseHook: {next(iter(change))} must be'):
        CollapseHook(**change)
