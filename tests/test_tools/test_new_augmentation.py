"""An augmentation that this file defines shows up everywhere: nobody else knows of it."""

import json
import math
import re
from dataclasses import dataclass

import mmcv
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from scipy import stats

from mmjoint.distributions import JointDistribution
from mmjoint.pairs.source import PairSource
from mmjoint.pairs.statistics import pair_statistics
from mmjoint.transforms import JointParams, JointQuantity, JointTransform


@dataclass(frozen=True)
class TurnParams(JointParams):
    """One view's rotation; `angle` in degrees, counter-clockwise."""

    angle: float


@TRANSFORMS.register_module()
class JointTurn(JointTransform):
    """Rotate both views of a pair, the difference of their angles drawn from JC(beta)."""

    def __init__(self, limit: float = 30.0, beta: float | None = 0.0) -> None:
        law = JointDistribution(-limit, limit, beta, space='difference')
        self.angle = JointQuantity('angle', law, 'rotation', unit='°')
        self.joint = (self.angle,)

    def sample(self, results: dict) -> tuple[TurnParams, TurnParams]:
        first, second = self.angle.sample()
        return TurnParams(first), TurnParams(second)

    def apply(self, results: dict, params: TurnParams) -> dict:
        results['img'] = mmcv.imrotate(results['img'], -params.angle)
        return results


@pytest.fixture
def config(pretrain_config):
    """The tiny config with JointTurn behind its crop, which is independent."""
    crop = "dict(type='JointCrop', scale=32"
    text = pretrain_config.read_text().replace(f'{crop})', f'{crop}, beta=None), ROTATION')
    text = text.replace('ROTATION', "dict(type='JointTurn', limit=20, beta=0)")
    pretrain_config.write_text(text + "custom_hooks = [dict(type='PairStatsHook', interval=12)]\n")
    return pretrain_config


@pytest.mark.parametrize(
    'beta',
    [None, 0, pytest.param(2, marks=pytest.mark.slow), pytest.param(-2, marks=pytest.mark.slow)],
)
def test_statistics(config, beta):
    views = PairSource(Config.fromfile(config)).build_views({'': beta})
    photo = dict(img=np.zeros((64, 64, 3), np.uint8))
    (drawn,) = pair_statistics(views, [photo], num_pairs=5000)
    draws = drawn.draws['angle']
    law = JointDistribution(-20, 20, beta, space='difference')
    assert len(draws.values) == 5000 and stats.kstest(draws.values, law.cdf).pvalue > 1e-3
    assert draws.kolmogorov_smirnov() == pytest.approx(stats.kstest(draws.values, law.cdf)[0])


@pytest.mark.slow
def test_training_sdf_and_page(config, run_tool, tmp_path):
    """train.py --beta, the hook's numbers, SDF by beta and the browse page."""
    status, out, err = run_tool('train.py', config, '--work-dir', 'run', '--beta', 'None')
    assert status == 0, err
    assert '--beta: JointTurn.angle=None' in out
    (saved,) = (tmp_path / 'run').glob('*/vis_data/config.py')
    crop, rotation = Config.fromfile(saved).train_dataloader.dataset.pipeline[1].transforms[0]
    assert (crop.beta, rotation.beta) == (None, None)
    (scalars,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    (row,) = [row for row in rows if 'pairs/angle' in row]
    # 96 pairs: |difference| of two U(-20, 20) has mean 40 / 3 and standard deviation 40 / sqrt(18).
    assert row['pairs/angle'] == pytest.approx(40 / 3, abs=4 * 40 / math.sqrt(18 * 96))
    assert 'pairs/angle_beyond_2' not in row
    (histograms,) = (tmp_path / 'run').glob('*/vis_data/pair_histograms.json')
    histogram = json.loads(histograms.read_text())['angle']
    assert (histogram['low'], histogram['high'], sum(histogram['counts'])) == (-40, 40, 96)

    arguments = ['--num-images', 24, '--beta', 'JointTurn=2', 'JointTurn=-2']
    checkpoint = 'run/epoch_2.pth'
    status, out, err = run_tool(
        'measure_sdf.py', config, checkpoint, *arguments, '--json', 'sdf.json'
    )
    assert status == 0, err
    rows = json.loads((tmp_path / 'sdf.json').read_text())['rows']
    settings = ['JointTurn=2', 'JointTurn=-2']
    assert [row['setting'] for row in rows] == settings
    near, far = (row['angle_difference'] for row in rows)
    assert (
        5 < near < 20 < far < 35 and 'angle difference' in out
    )  # JC(2): 14.5 degrees, JC(-2): 25.5
    assert rows[0]['area_ratio'] == rows[1]['area_ratio']

    status, _, err = run_tool('browse_views.py', config, '--out', 'a.html', '--num-photos', 1)
    assert status == 0, err
    page = (tmp_path / 'a.html').read_text()
    assert '<dd>JointTurn.angle; everything else as the config has it</dd>' in page
    assert '<h3>Rotation, second − first view</h3>' in page and 'class="expected"' in page
    assert len(re.findall(r'TurnParams: angle -?[\d.]+', page)) == 2 * 5
    assert len(re.findall(r'Views 1 and 2: .*, rotation [\d.]+° apart', page)) == 5


def test_fixed_ratio_of_a_difference(config, run_tool):
    arguments = ['--fixed-ratio', 'JointTurn=2']
    status, _, err = run_tool('measure_sdf.py', config, 'none.pth', *arguments)
    assert status == 1 and 'rotation has no ratio that could be fixed' in err
