"""The combinations of arXiv 2412.16522 (tables 7, 10, 11, appendix F): what they draw."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from scipy import stats

from mmjoint.transforms import JointCrop, JointView, LoadSemanticBox

VIEWS = Path(__file__).parents[2] / 'configs/_base_/views'
NUM = 4000
IMAGE = np.zeros((60, 60, 3), np.uint8)


def draw(view: JointView, num: int = NUM, **results) -> list[list[dict]]:
    """Draw images' views: for each image and view the parameters by transform name."""
    np.random.seed(0)
    drawn = (view(dict(img=IMAGE, **results))['view_params'] for _ in range(num))
    return [[dict(params) for params in views] for views in drawn]


def log_ratios(drawn: list, name: str, field: str, pair: tuple[int, int] = (0, 1)) -> np.ndarray:
    values = np.array([[getattr(views[i][name], field) for i in pair] for views in drawn])
    return np.log(values[:, 1] / values[:, 0])


def independent_cdf(low: float, high: float):
    """CDF of log(a2 / a1) of two independent numbers, by integrating the density of appendix H."""

    def density(t: np.ndarray) -> np.ndarray:
        r = np.exp(t)
        top = np.where(t >= 0, high**2 / r**2 - low**2, high**2 - low**2 / r**2)
        return top / (2 * (high - low) ** 2) * r

    grid = np.linspace(-math.log(high / low), math.log(high / low), 4001)
    values = density(grid)
    cdf = np.concatenate([[0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(grid))])
    assert cdf[-1] == pytest.approx(1, abs=1e-6)
    return lambda t: np.interp(t, grid, cdf)


def is_joint(t: np.ndarray, low: float, high: float) -> None:
    limit = math.log(high / low)
    assert stats.kstest(t, stats.uniform(-limit, 2 * limit).cdf).pvalue > 1e-3
    assert stats.kstest(t, independent_cdf(low, high)).pvalue < 1e-6


def is_independent(t: np.ndarray, low: float, high: float) -> None:
    assert stats.kstest(t, independent_cdf(low, high)).pvalue > 1e-3


def crop(beta: float | None, **kwargs) -> dict:
    # Square boxes always fit: no area is drawn anew.
    square = dict(type='JointCrop', scale=6, crop_ratio_range=(0.2, 1.0), beta=beta)
    return square | dict(aspect_ratio_range=(1.0, 1.0)) | kwargs


def test_joint_crop_or_joint_blur():
    """Appendix F: one of the two a pair, with probability 0.5 each, never both."""
    blur = dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=0.5, beta=0)
    choice = dict(type='JointChoice', prob=[0.5, 0.5], transforms=[[crop(0)], [crop(None), blur]])
    drawn = draw(JointView([[choice]], 2))
    cropped = [views for views in drawn if 'JointBlur' not in views[0]]
    blurred = [views for views in drawn if 'JointBlur' in views[0]]
    assert all('JointBlur' in views[1] for views in blurred)
    assert len(cropped) / NUM == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(NUM))
    is_joint(log_ratios(cropped, 'JointCrop', 'area'), 0.2, 1.0)
    is_independent(log_ratios(blurred, 'JointCrop', 'area'), 0.2, 1.0)
    is_joint(log_ratios(blurred, 'JointBlur', 'sigma'), 0.1, 2.0)


@pytest.mark.parametrize('position', ['center_suppressed', 'semantic'])
def test_joint_areas_and_suppressed_centers(position):
    """Table 11: areas of a pair by JC(0), places by Beta(0.6, 0.6), in the box if there is one."""
    box = (0.4, 0.4, 0.6, 0.9) if position == 'semantic' else (0.0, 0.0, 1.0, 1.0)
    transform = JointCrop(6, (0.2, 1.0), (1.0, 1.0), beta=0, position=position, alpha=0.6)
    np.random.seed(0)
    results = dict(img=np.empty((6000, 6000, 3), np.uint8), semantic_box=box)
    pairs = [transform.sample(results) for _ in range(NUM)]
    is_joint(np.log([second.area / first.area for first, second in pairs]), 0.2, 1.0)
    for axis, (low, high) in dict(x=(box[0], box[2]), y=(box[1], box[3])).items():
        places = []
        for params in (params for pair in pairs for params in pair):
            limits = np.clip(
                np.array([low, high]) * 6000 - params.width / 2, 0, 6000 - params.width
            )
            if limits[1] - limits[0] > 600:
                places.append((getattr(params, axis) - limits[0]) / (limits[1] - limits[0]))
        assert len(places) > NUM / 2
        edges = np.linspace(0.1, 0.9, 9)
        got = [np.mean(np.array(places) < edge) for edge in edges]
        np.testing.assert_allclose(got, stats.beta(0.6, 0.6).cdf(edges), atol=0.025)


def test_contrastive_crop_in_a_pipeline():
    """Table 11: areas as in the baseline; every center in the box or held back by the border."""
    load = LoadSemanticBox()
    load.connect(torch.tensor([[0.1, 0.5, 0.3, 0.7]]))
    view = JointView([[crop(None, position='semantic', crop_ratio_range=(0.05, 1.0))]], 2)
    np.random.seed(0)
    drawn = []
    for _ in range(NUM):
        results = view(load(dict(img=IMAGE, sample_idx=0)))
        drawn.append([dict(params) for params in results['view_params']])
    is_independent(log_ratios(drawn, 'JointCrop', 'area'), 0.05, 1.0)
    for params in (views[i]['JointCrop'] for views in drawn for i in (0, 1)):
        x, y = params.x + params.width // 2, params.y + params.height // 2
        assert 6 <= x <= 18 or params.x in (0, 60 - params.width)
        assert 30 <= y <= 42 or params.y in (0, 60 - params.height)


@pytest.mark.parametrize('name', ['brightness', 'contrast'])
def test_joint_color_on_one_factor(name):
    """Table 7, in MoCo v1's views: one factor joint, the others independent."""
    pipeline = Config.fromfile(VIEWS / 'mocov1.py').train_pipeline[1].transforms[0]
    color = next(transform for transform in pipeline if transform.type == 'JointColor')
    color.beta = {name: 0}
    drawn = draw(JointView([[color]], 2))
    is_joint(log_ratios(drawn, 'JointColor', name), 0.6, 1.4)
    for other in {'brightness', 'contrast', 'saturation'} - {name}:
        is_independent(log_ratios(drawn, 'JointColor', other), 0.6, 1.4)


@pytest.mark.parametrize('which', [0, 1], ids=['global', 'local'])
def test_joint_crop_on_global_or_local_pairs(which):
    """Table 10, 2 x 160 + 4 x 96: pairs 1-2, or 3-4 and 5-6, are joint, and no others."""
    groups = Config.fromfile(VIEWS / 'dino_multicrop.py').train_pipeline[1]
    sizes, ranges = [], []
    for place, group in enumerate(groups.transforms):
        assert group[0].type == 'JointCrop'
        sizes += [group[0].scale] * groups.num_views[place]
        ranges.append(group[0].crop_ratio_range)
        group[0].update(aspect_ratio_range=(1.0, 1.0), interpolation='bilinear')
        group[0].beta = 0 if place == which else None
    assert sizes == [160] * 2 + [96] * 4 and ranges == [(0.4, 1.0), (0.05, 0.4)]
    view = JointView([[group[0] | dict(scale=6)] for group in groups.transforms], groups.num_views)
    drawn = draw(view)
    for place, pairs in enumerate([[(0, 1)], [(2, 3), (4, 5)]]):
        for pair in pairs:
            check = is_joint if place == which else is_independent
            check(log_ratios(drawn, 'JointCrop', 'area', pair), *ranges[place])
    areas = np.array([[views[i]['JointCrop'].area for i in range(6)] for views in drawn])
    correlation = np.corrcoef(np.log(areas).T)
    for i, j in ((0, 2), (1, 3), (2, 4), (3, 5), (2, 5), (3, 4)):
        assert abs(correlation[i, j]) < 5 / math.sqrt(NUM)
