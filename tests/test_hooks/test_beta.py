"""BetaHook: its betas arrive at the views of their epoch, and it holds a model's cosine."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from scipy.integrate import quad

from mmjoint.checkpoints import CheckpointError
from mmjoint.distributions import JointDistribution
from mmjoint.hooks import BetaHook

STEPS = dict(kind='steps', betas=(40, 0, -40), epochs=(1, 2))
STATS = dict(type='PairStatsHook', interval=24)


def record(runner: Runner) -> dict:
    return json.loads(Path(runner.work_dir, 'betas.json').read_text())


def mean_size(beta: float) -> float:
    """The mean |log ratio| of areas in [0.2, 1]."""
    law = JointDistribution(0.2, 1.0, beta)
    return 2 * quad(lambda t: t * law.density(t), 0, law.limit, points=[0.1, law.limit - 0.1])[0]


@pytest.mark.parametrize('workers', [0, pytest.param(2, marks=pytest.mark.slow)])
def test_betas_arrive_in_their_epoch(tiny_run, read_log, workers):
    """384 pairs per epoch; by their mean size the epochs are 0.02, 0.5 and 0.98 of its range."""
    hooks = [dict(type='BetaHook', schedule=STEPS, names='JointCrop'), STATS]
    runner = tiny_run('SimSiam', hooks, epochs=3, repeat=4)
    runner._train_dataloader.update(num_workers=workers, persistent_workers=workers > 0)
    runner.train()
    rows = [row for row in read_log(runner) if 'pairs/area' in row]
    steered = [row['beta/beta'] for row in read_log(runner) if 'beta/beta' in row]
    assert steered == [40] * 24 + [0] * 24 + [-40] * 24
    for row, beta in zip(rows, STEPS['betas'], strict=True):
        error = np.log(5) / 12**0.5 / 384**0.5
        assert row['pairs/area'] == pytest.approx(mean_size(beta), abs=4 * error)
    assert rows[0]['pairs/hue'] == pytest.approx(rows[2]['pairs/hue'], abs=0.02)
    assert record(runner) == dict(names=['JointCrop'], betas=[40, 0, -40])
    told = Path(runner.log_dir, f'{runner.timestamp}.log').read_text()
    assert told.count('BetaHook: beta') == 2 and 'beta -40 in epoch 3 after 0' in told


@pytest.mark.slow
def test_workers_draw_alike(tiny_run):
    drawn = []
    for workers in (0, 1, 2):
        hooks = [dict(type='BetaHook', schedule=dict(kind='linear', betas=(3, -3)))]
        runner = tiny_run('SimSiam', hooks, epochs=3)
        runner._train_dataloader.update(num_workers=workers, persistent_workers=workers == 1)
        views: list = []
        runner.register_hook(Views(views))
        runner.train()
        drawn.append(torch.stack(views))
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])


class Views(BetaHook.__base__):
    """Keeps the batches."""

    def __init__(self, views: list) -> None:
        self.views = views

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.views.append(torch.stack(data_batch['inputs']).clone())


def test_follows_the_model(tiny_run, read_log):
    """Of pairs that are too hard it makes easier ones and the other way round, up to its bounds."""
    for target, last in ((0.99, 2.0), (-0.99, -2.0)):
        follow = dict(target=target, bounds=(-2, 2))
        hooks = [dict(type='BetaHook', follow=follow), dict(type='CollapseHook', interval=1)]
        runner = tiny_run('SimSiam', [hooks[0] | dict(interval=1), hooks[1]], epochs=4)
        runner.train()
        assert record(runner)['betas'] == [0, last / 2, last, last]
        rows = [row for row in read_log(runner) if 'loss' in row]
        # What it measured in an epoch is the mean of what CollapseHook measures there.
        mean = np.mean([row['collapse/positive'] for row in rows[6:12]])
        assert rows[12]['beta/cosine'] == pytest.approx(mean, abs=2e-4)
        told = Path(runner.log_dir, f'{runner.timestamp}.log').read_text()
        assert told.count('BetaHook: beta stays at its bound') == 1


def test_follows_the_accuracy(tiny_run, read_log):
    """That of the loss whose scores an outsider reads from the head's arguments."""
    follow = dict(target=0.99, bounds=(-2, 2), start=-2, measure='accuracy')
    runner = tiny_run('MoCo', [dict(type='BetaHook', follow=follow, interval=2)], epochs=2)
    head, right = runner.model.head, []
    loss = head.loss
    head.loss = lambda pos, neg: (
        right.append((pos > neg.max(1).values[:, None]).float().mean()),
        loss(pos, neg),
    )[1]
    runner.train()
    rows = [row for row in read_log(runner) if 'loss' in row]
    measured = np.mean(right[1:6:2])  # every second iteration
    assert rows[-1]['beta/accuracy'] == pytest.approx(measured, abs=1e-4)
    assert 0 < measured < 1 and record(runner)['betas'] == [-2, -1]


def test_nothing_to_follow(tiny_run):
    follow = dict(target=0.5, bounds=(-2, 2), measure='accuracy')
    with pytest.raises(ValueError, match='BetaHook: SimSiam shows no accuracy of positive pairs'):
        tiny_run('SimSiam', [dict(type='BetaHook', follow=follow)]).train()


def test_impossible_runs(tiny_run):
    schedule = dict(kind='linear', betas=(2, -1))
    for changes, message in (
        (dict(names='JointBlur'), 'hold no JointBlur whose beta could be set; they hold JointCrop'),
        (dict(names='JointCrop.sigma'), 'hold no JointCrop.sigma'),
    ):
        runner = tiny_run('SimSiam', [dict(type='BetaHook', schedule=schedule) | changes])
        with pytest.raises(ValueError, match=f'BetaHook: .*{message}'):
            runner.train()
    hook = dict(type='BetaHook', schedule=schedule)
    with pytest.raises(ValueError, match='the config has two'):
        tiny_run('SimSiam', [hook, hook]).train()
    by_iteration = dict(by_epoch=False, max_iters=3)
    with pytest.raises(ValueError, match='BetaHook needs train_cfg=dict.by_epoch=True'):
        tiny_run('SimSiam', [hook], train_cfg=by_iteration).train()


def test_no_law_for_a_beta(tiny_run):
    """A saturation that reaches 0 has no ratio; mirrored views correlate up to 1."""
    for step, names, message in (
        (dict(type='JointColor', saturation=1.0, beta=None), 'JointColor', 'low > 0'),
        (dict(type='JointFlip', prob=0.5), 'JointFlip', r'rho must be in \[-1, 1\]'),
    ):
        schedule = dict(kind='linear', betas=(0, 2))
        runner = tiny_run('SimSiam', [dict(type='BetaHook', schedule=schedule, names=names)])
        dataset = runner._train_dataloader['dataset']['dataset']
        dataset['pipeline'][1]['transforms'][0].append(step)
        with pytest.raises(ValueError, match=f'BetaHook: .*{message}'):
            runner.train()


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(), 'give one of schedule'),
        (dict(schedule=STEPS, follow=dict(target=0, bounds=(0, 1))), 'give one of schedule'),
        (dict(schedule=STEPS, interval=0), 'interval must be a positive integer'),
        (dict(schedule=STEPS, names=[]), 'names must be words'),
        (dict(schedule=dict(STEPS, epochs=(2, 1))), 'schedule: epochs must be ascending'),
        (dict(follow=dict(target=2, bounds=(0, 1))), 'follow: target must be in'),
        (dict(follow=dict(aim=2)), "follow: .*unexpected keyword argument 'aim'"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises((ValueError, TypeError), match=f'BetaHook: {message}'):
        BetaHook(**arguments)


def test_checkpoints_of_others(tiny_run):
    hook = BetaHook(schedule=STEPS)
    runner = tiny_run('SimSiam', [])
    runner._resume = True
    with pytest.raises(CheckpointError, match='was started without this hook'):
        hook.after_load_checkpoint(runner, dict(state_dict={}))
    state = dict(betas=[1.0, None], moving=False, sum=0.0, count=0)
    with pytest.raises(CheckpointError, match='are not betas'):
        hook.after_load_checkpoint(runner, dict(beta_hook=state))
