"""SDF against a direct computation."""

import json
import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from PIL import Image

from mmjoint.checkpoints import CheckpointError
from mmjoint.pairs.sdf import Setting, measure_sdf, settings_of
from mmjoint.pairs.sdf_series import is_monotonic, plot_sdf
from mmjoint.transforms import JointCrop
from mmjoint.transforms.draws import seed_draws

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
AS_IS = [Setting('as configured')]


def make_config(folder, num_views=2, depth=18, **crop) -> Config:
    crop = dict(type='JointCrop', scale=32, crop_ratio_range=(0.2, 1.0)) | crop
    groups = [[crop]] * (len(num_views) if isinstance(num_views, list) else 1)
    views = dict(type='JointView', num_views=num_views, transforms=groups)
    pipeline = [dict(type='LoadImage'), views, dict(type='PackInputs')]
    return Config(
        dict(
            default_scope='mmpretrain',
            model=dict(
                type='SimCLR',
                data_preprocessor=dict(
                    type='SelfSupDataPreprocessor', mean=MEAN, std=STD, to_rgb=True
                ),
                backbone=dict(type='ResNet', depth=depth, base_channels=8, stem_channels=8),
                neck=dict(type='MoCoV2Neck', in_channels=64, hid_channels=16, out_channels=8),
                head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
            ),
            train_dataloader=dict(
                dataset=dict(type='ImageFolder', data_root=str(folder), pipeline=pipeline)
            ),
        )
    )


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Photos of a color gradient with a bright disc."""
    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:48, :48]
    for i in range(12):
        cx, cy, r = rng.integers(10, 38), rng.integers(10, 38), rng.integers(5, 12)
        image = np.stack([4 * x, 4 * y, 96 + 0 * x], -1) + rng.integers(0, 40, (48, 48, 3))
        image[(x - cx) ** 2 + (y - cy) ** 2 < r**2] = rng.integers(100, 255, 3)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f'{i:02}.png')
    return folder


@pytest.fixture(scope='module')
def trained(folder, tmp_path_factory):
    """A model of random weights and its checkpoint; the norms have statistics of their own."""
    torch.manual_seed(0)
    model = MODELS.build(make_config(folder).model)
    for name, buffer in model.named_buffers():
        if name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
        elif name.endswith('running_mean'):
            buffer.normal_(0, 0.1)
    path = tmp_path_factory.mktemp('run') / 'epoch_1.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return model.eval(), path


def one_by_one(folder, model, layer, crop, seed) -> tuple[list, list]:
    """Cut, normalize and compare every pair: cosine similarities and log area ratios."""
    similarities, ratios = [], []
    for number, file in enumerate(sorted(folder.iterdir())):
        photo = np.asarray(Image.open(file))[..., ::-1].copy()  # BGR, as mmcv loads
        seed_draws(seed, number)
        features = []
        boxes = crop.sample(dict(img=photo))
        for box in boxes:
            view = crop.apply(dict(img=photo), box)['img'][..., ::-1]
            view = (torch.tensor(view.astype(np.float32)) - torch.tensor(MEAN)) / torch.tensor(STD)
            with torch.no_grad():
                (feature,) = model.backbone(view.permute(2, 0, 1)[None])
                features.append(layer(feature.mean((2, 3)))[0].double())
        a, b = features
        similarities.append(float(a @ b / a.norm() / b.norm()))
        ratios.append(math.log(boxes[0].width * boxes[0].height / boxes[1].width / boxes[1].height))
    return similarities, ratios


@pytest.mark.parametrize('layer', ['backbone', 'projector'])
def test_sdf_is_the_mean_cosine_similarity(folder, trained, layer):
    model, path = trained
    crop = JointCrop(scale=32, crop_ratio_range=(0.2, 1.0), beta=-1)
    settings = [Setting('beta -1', betas={'JointCrop': -1})]
    (row,) = measure_sdf(make_config(folder), path, settings, layer, batch_size=5, seed=3)
    # MoCoV2Neck pools, which leaves pooled features as they are.
    project = model.neck.mlp if layer == 'projector' else torch.nn.Identity()
    similarities, ratios = one_by_one(folder, model, project, crop, seed=3)
    assert row['sdf'] == pytest.approx(np.mean(similarities), abs=1e-5)
    error = np.std(similarities, ddof=1) / math.sqrt(12)
    assert row['standard_error'] == pytest.approx(error, abs=1e-5)
    assert row['area_ratio'] == pytest.approx(math.exp(np.mean(np.abs(ratios))))
    assert row['num_images'] == row['num_pairs'] == 12 and row['views'] == [1, 2]


def test_neither_batches_nor_workers_change_it(folder, trained):
    cfg, path = make_config(folder), trained[1]
    settings = settings_of([{'': None}, {'': 0}], [('JointCrop.area', 2)])
    first = measure_sdf(cfg, path, settings, num_images=7, batch_size=3)
    again = measure_sdf(cfg, path, settings, num_images=7, batch_size=7, num_workers=1)
    other = measure_sdf(cfg, path, settings, num_images=7, seed=1)
    for a, b, c in zip(first, again, other, strict=True):
        assert a['sdf'] == pytest.approx(b['sdf'], abs=1e-6)
        assert a['area_ratio'] == b['area_ratio'] and a['num_images'] == 7
        assert a['sdf'] != pytest.approx(c['sdf'], abs=1e-6)
    assert first == measure_sdf(cfg, path, settings, num_images=7, batch_size=3)


def test_settings_and_changes(folder, trained):
    cfg, betas = make_config(folder, beta=0), [{'JointCrop': beta} for beta in (0, None, 2)]
    rows = measure_sdf(
        cfg, trained[1], settings_of(betas, [('JointCrop.area', ratio) for ratio in (1, 3)])
    )
    assert [row['kind'] for row in rows] == ['configured'] + ['fixed_ratio'] * 2 + ['beta'] * 3
    assert [row['fixed_ratio'] for row in rows] == [None, 1, 3, None, None, None]
    assert [row['beta'] for row in rows[3:]] == [0, None, 2]
    assert rows[3]['sdf'] == rows[0]['sdf']  # the config's own beta
    assert rows[0]['change'] is rows[1]['change'] is rows[3]['change'] is None
    assert rows[2]['change'] == pytest.approx(rows[2]['sdf'] - rows[1]['sdf'])
    # On 48 px a side is off by half a pixel at most; an area near 1 may become the whole photo.
    assert rows[1]['area_ratio'] == pytest.approx(1, abs=0.08)
    assert rows[2]['area_ratio'] == pytest.approx(3, abs=0.3)
    assert is_monotonic(rows, 'fixed_ratio') is (rows[1]['sdf'] > rows[2]['sdf'])
    figure = plot_sdf(rows, 'title')
    left, right = figure.axes
    (bars,) = left.containers[0].lines[2]
    np.testing.assert_allclose(
        left.containers[0][0].get_xydata(), [[1, rows[1]['sdf']], [3, rows[2]['sdf']]]
    )
    half = np.ptp(bars.get_segments()[0][:, 1]) / 2
    assert half == pytest.approx(2 * rows[1]['standard_error'])
    np.testing.assert_allclose(
        right.containers[0][0].get_xydata(), [[0, rows[3]['sdf']], [2, rows[5]['sdf']]]
    )
    json.dumps(rows)


def test_groups_are_measured_apart(folder, trained):
    cfg = make_config(folder, num_views=[2, 4])
    cfg.train_dataloader.dataset.pipeline[1].transforms[1][0].crop_ratio_range = (0.05, 0.2)
    first, second = measure_sdf(cfg, trained[1], AS_IS)
    assert (first['views'], second['views']) == ([1, 2], [3, 4])
    assert (first['num_pairs'], second['num_pairs']) == (12, 24)
    assert first['sdf'] != second['sdf']


def test_is_monotonic():
    def rows(kind, pairs):
        names = ('beta', 'fixed_ratio')
        return [
            dict.fromkeys(names) | {kind: x, 'sdf': y, 'kind': kind, 'of': [''], 'views': [1, 2]}
            for x, y in pairs
        ]

    assert is_monotonic(rows('beta', [(2, 0.9), (-2, 0.7), (0, 0.8), (None, 0.1)]), 'beta') is True
    assert is_monotonic(rows('beta', [(2, 0.9), (-2, 0.85), (0, 0.8)]), 'beta') is False
    assert is_monotonic(rows('fixed_ratio', [(3, 0.8), (1, 0.9)]), 'fixed_ratio') is True
    assert is_monotonic(rows('fixed_ratio', [(3, 0.8), (1, 0.8)]), 'fixed_ratio') is False
    assert is_monotonic(rows('beta', [(2, 0.9), (None, 0.8)]), 'beta') is None


def test_checkpoint_of_another_depth(folder, trained):
    with pytest.raises(CheckpointError, match='do not fit ResNet: .*missing'):
        measure_sdf(make_config(folder, depth=34), trained[1], AS_IS)


def test_projector_that_the_checkpoint_lacks(folder, trained, tmp_path):
    weights = {k: v for k, v in trained[0].state_dict().items() if k.startswith('backbone.')}
    torch.save(weights, tmp_path / 'backbone.pth')
    measure_sdf(make_config(folder), tmp_path / 'backbone.pth', AS_IS, num_images=2)
    with pytest.raises(CheckpointError, match="no weight starts with 'neck.'"):
        measure_sdf(make_config(folder), tmp_path / 'backbone.pth', AS_IS, 'projector')


@pytest.mark.parametrize(
    'change,kwargs,message',
    [
        ({}, dict(layer='head'), "layer must be one of .*'head'"),
        ({}, dict(num_images=1), 'num_images must be at least 2'),
        ({}, dict(batch_size=0), 'batch_size must be at least 1'),
        ({}, dict(seed=-1), 'seed must be at least 0'),
        ({'model': None}, {}, 'no model.backbone'),
        ({'model.neck': None}, dict(layer='projector'), 'no neck'),
        ({'train_dataloader.dataset.pipeline.1.num_views': 1}, {}, 'even number of views'),
    ],
)
def test_bad_input(folder, trained, change, kwargs, message):
    cfg = make_config(folder)
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match=message):
        measure_sdf(cfg, trained[1], AS_IS, **kwargs)


def test_pipeline_that_does_not_pack(folder, trained):
    cfg = make_config(folder)
    del cfg.train_dataloader.dataset.pipeline[2]
    with pytest.raises(ValueError, match='no PackInputs'):
        measure_sdf(cfg, trained[1], AS_IS)


def test_features_that_are_zero(folder, trained, tmp_path):
    weights = {name: torch.zeros_like(value) for name, value in trained[0].state_dict().items()}
    torch.save(weights, tmp_path / 'dead.pth')
    with pytest.raises(ValueError, match='dead.pth: its backbone gives features that are all zero'):
        measure_sdf(make_config(folder), tmp_path / 'dead.pth', AS_IS)


@pytest.mark.parametrize(
    'value, message',
    [
        (math.nan, r'nan.pth: .* 1 not finite: NaN or infinity \(conv1.weight\)'),
        (3e38, 'nan.pth: its backbone gives features that are not finite'),
    ],
)
def test_weights_and_features_that_are_not_finite(folder, trained, tmp_path, value, message):
    weights = dict(trained[0].state_dict())
    weights['backbone.conv1.weight'] = torch.full_like(weights['backbone.conv1.weight'], value)
    torch.save(weights, tmp_path / 'nan.pth')
    with pytest.raises(ValueError, match=message):
        measure_sdf(make_config(folder), tmp_path / 'nan.pth', AS_IS)


def project_dino(neck, pooled):
    return neck.last_layer(torch.nn.functional.normalize(neck.mlp(pooled), dim=1))


def project_swav(neck, pooled):
    return neck.projection_neck(pooled)


@pytest.mark.parametrize(
    'model,neck,project',
    [
        (
            dict(type='DINO', head=dict(type='DINOHead', out_channels=12)),
            dict(type='DINONeck', in_channels=64, out_channels=12, hid_channels=16),
            project_dino,
        ),
        (
            dict(type='SwAV', head=dict(type='SwAVHead', loss=dict(type='CrossEntropyLoss'))),
            dict(type='SwAVNeck', in_channels=64, hid_channels=16, out_channels=8),
            project_swav,
        ),
    ],
)
def test_projectors_that_take_something_else(folder, tmp_path, model, neck, project):
    """SwAV's takes several views, DINO's pooled features."""
    cfg = make_config(folder)
    cfg.model = {**cfg.model, **model, 'neck': neck}
    torch.manual_seed(0)
    built = MODELS.build(cfg.model).eval()
    torch.save(dict(state_dict=built.state_dict()), tmp_path / 'epoch_1.pth')
    (row,) = measure_sdf(cfg, tmp_path / 'epoch_1.pth', AS_IS, 'projector')
    crop = JointCrop(scale=32, crop_ratio_range=(0.2, 1.0))
    similarities, _ = one_by_one(
        folder, built, lambda pooled: project(built.neck, pooled), crop, seed=0
    )
    # Random projectors leave all pairs close to similarity 1: what lies between counts.
    assert 1 - row['sdf'] == pytest.approx(1 - np.mean(similarities), rel=0.02)


def test_an_argument_is_varied_as_if_the_config_had_it(folder, trained):
    path = trained[1]
    settings = settings_of([], arguments=[('JointCrop.overlap', value) for value in (1, 0.5)])
    rows = measure_sdf(make_config(folder), path, settings[1:])
    assert [row['setting'] for row in rows] == ['JointCrop.overlap=1', 'JointCrop.overlap=0.5']
    for row in rows:
        (own,) = measure_sdf(make_config(folder, overlap=row['argument']), path, AS_IS)
        assert row['sdf'] == own['sdf'] and row['overlap'] == own['overlap']
    assert rows[0]['overlap'] == pytest.approx(1)
    assert rows[1]['change'] == pytest.approx(rows[1]['sdf'] - rows[0]['sdf'])
    (axes,) = plot_sdf(rows).axes
    (line,) = axes.get_lines()[:1]
    assert sorted(line.get_xdata()) == [0.5, 1]


@pytest.mark.parametrize(
    'name,message',
    [
        ('JointBlur.prob', 'the views hold no JointBlur; they hold JointCrop, JointView'),
        ('JointCrop.overlaps', "JointCrop has no argument 'overlaps', .*did you mean overlap?"),
        ('JointView', "JointView has no argument ''"),
    ],
)
def test_arguments_that_there_are_not(folder, trained, name, message):
    with pytest.raises(ValueError, match=message):
        measure_sdf(make_config(folder), trained[1], [Setting('', argument=(name, 1))])
