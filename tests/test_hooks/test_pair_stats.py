"""PairStatsHook: the numbers of the distributions, from the log of a run."""

import json
import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmjoint.hooks import PairStatsHook


def test_a_run_shows_the_distribution(tiny_run, read_log):
    """768 pairs of JC(0): 0.5693 beyond 1:2, mean |log ratio| log(5) / 2."""
    backends = [dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    runner = tiny_run(
        'SimSiam',
        [dict(type='PairStatsHook', interval=48)],
        repeat=8,
        visualizer=dict(type='Visualizer', vis_backends=backends),
    )
    runner.train()
    (row,) = [row for row in read_log(runner) if 'pairs/area' in row]
    assert row['step'] == 48
    error = math.sqrt(0.5693 * 0.4307 / 768)
    assert row['pairs/area_beyond_2'] == pytest.approx(0.5693, abs=4 * error)
    error = math.log(5) / math.sqrt(12 * 768)
    assert row['pairs/area'] == pytest.approx(math.log(5) / 2, abs=4 * error)
    assert 0 < row['pairs/hue'] < 0.2 and 'pairs/sigma' not in row
    assert 'pairs/hue_beyond_2' not in row and 0.1 < row['pairs/distance'] < 0.5

    vis_data = Path(runner.log_dir, 'vis_data')
    histograms = json.loads((vis_data / 'pair_histograms.json').read_text())
    area = histograms['area']
    assert sum(area['counts']) == 768 and area['high'] == -area['low'] == pytest.approx(1.7)
    middle = len(area['counts']) // 2
    beyond = 1 - sum(area['counts'][middle - 7 : middle + 7]) / 768
    assert beyond == pytest.approx(1 - 0.7 / math.log(5), abs=0.08)

    events = EventAccumulator(str(vis_data), size_guidance=dict(histograms=0))
    events.Reload()
    (event,) = events.Histograms('pairs/area')
    assert event.histogram_value.num == 768 and event.step == 48
    assert events.Scalars('pairs/area')[0].value == pytest.approx(row['pairs/area'])


def test_three_views(tiny_run, read_log):
    """LeOCLR's first view has no partner: the pairs are views 2 and 3."""
    runner = tiny_run('LeOCLR', [dict(type='PairStatsHook')])
    runner.train()
    (row,) = [row for row in read_log(runner) if 'pairs/area' in row]
    assert row['step'] == 6 and 0.5 < row['pairs/area'] < 1.1


def test_nothing_recorded(tiny_run):
    runner = tiny_run('SimSiam', [dict(type='PairStatsHook')])
    pipeline = runner._train_dataloader['dataset']['dataset']['pipeline']
    pipeline[1] = dict(
        type='MultiView', num_views=2, transforms=[[dict(type='RandomFlip', prob=0.5)]]
    )
    with pytest.raises(ValueError, match='PairStatsHook: the training pipeline has no JointView'):
        runner.train()
    with pytest.raises(ValueError, match='interval'):
        PairStatsHook(0)
