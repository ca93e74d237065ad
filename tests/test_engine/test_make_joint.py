"""Stock configs made joint: all contrastive ones that mmpretrain ships, and what is refused."""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import mmpretrain
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import TRANSFORMS

from mmjoint.engine.make_joint import config_diff, make_joint

STOCK = Path(mmpretrain.__file__).parent / '.mim/configs'
METHODS = ('barlowtwins', 'byol', 'densecl', 'mocov2', 'mocov3', 'simclr', 'simsiam', 'swav')
PRETRAINING = [p for m in METHODS for p in sorted((STOCK / m).glob('*.py'))]
CONTRASTIVE = [p for p in PRETRAINING if p.name.startswith(METHODS)]
MOCOV3 = STOCK / 'mocov3/mocov3_resnet50_8xb512-amp-coslr-100e_in1k.py'


def view_of(cfg):
    (view,) = [t for t in cfg.train_dataloader.dataset.pipeline if 'View' in t['type']]
    return view


@pytest.mark.slow
def test_every_contrastive_config_of_mmpretrain():
    """The views build, and draw what they drew; everything else is the same."""
    assert len(CONTRASTIVE) == 17
    init_default_scope('mmpretrain')
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for path in CONTRASTIVE:
        stock, joint = make_joint(path)
        view = view_of(joint)
        numbers = view_of(stock).num_views
        total = sum(numbers) if isinstance(numbers, list) else numbers
        views = TRANSFORMS.build(view)(dict(img=image, img_shape=(60, 80)))
        crops = [c for own in views['view_params'] for kind, c in own if kind == 'JointCrop']
        assert len(views['img']) == len(crops) == total, path.name
        for group in view.transforms:
            assert group[0].type == 'JointCrop' and group[0].beta == 0
            assert not [t for t in group if t.type in ('RandomResizedCrop', 'GaussianBlur')]
        assert joint.custom_imports['imports'][-1] == 'mmjoint'
        for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg'):
            assert joint[key] == stock[key]


@pytest.mark.slow
@pytest.mark.parametrize('path', CONTRASTIVE, ids=lambda path: path.stem)
def test_every_joint_config_trains_a_step(
    path: Path, tmp_path: Path, run_tool: Callable[..., tuple[int, str, str]]
):
    """By tools/train.py, with the config's own views, model and optimizer, on two images."""
    rng = np.random.default_rng(0)
    for i in range(2):
        image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{i}.png'), image)
    _, joint = make_joint(path)
    loader = joint.train_dataloader
    dataset = dict(type='CustomDataset', data_root=str(tmp_path), with_label=False)
    loader.dataset = dict(dataset, pipeline=loader.dataset.pipeline)
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    joint.train_cfg.max_epochs = 1
    joint.optim_wrapper.pop('accumulative_counts', None)
    sizes = {'base': (768, 12), 'large': (1024, 16)}
    if joint.model.backbone.get('arch') in sizes:  # of their 12 and 24 layers one is enough
        width, heads = sizes[joint.model.backbone.arch]
        joint.model.backbone.arch = dict(
            embed_dims=width, num_layers=1, num_heads=heads, feedforward_channels=4 * width
        )
    joint.dump(tmp_path / 'joint.py')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        status, _, err = run_tool('train.py', 'joint.py', '--work-dir', 'work')
    assert status == 0, err
    (scalars,) = tmp_path.glob('work/*/vis_data/scalars.json')
    losses = [json.loads(line)['loss'] for line in scalars.read_text().splitlines()]
    assert len(losses) == 1 and math.isfinite(losses[0])


def test_two_pipelines_become_one_of_pairs():
    """MoCo v3: what differs between the views is a pair of numbers or in PerView."""
    stock, joint = make_joint(MOCOV3, beta=-1.0)
    view = view_of(joint)
    assert view.num_views == 2
    (group,) = view.transforms
    assert group[0] == dict(type='JointCrop', scale=224, crop_ratio_range=(0.2, 1.0), beta=-1.0)
    assert group[3] == dict(type='JointBlur', sigma_range=(0.1, 2.0), prob=(1.0, 0.1), beta=None)
    assert group[4] == dict(
        type='PerView', transforms=[[], [dict(type='Solarize', thr=128, prob=0.2)]]
    )
    diff = config_diff(stock, joint)
    added, removed = (
        [line for line in diff.splitlines() if line.startswith(sign)] for sign in '+-'
    )
    assert any("type='JointCrop'" in line for line in added)
    assert any("type='MultiView'" in line for line in removed)


@pytest.mark.parametrize(
    'change, message',
    [
        (lambda view: view.update(num_views=3), 'num_views=3 leaves a view without its pair'),
        (
            lambda view: view.transforms[0][0].update(clip_object_border=True),
            'RandomResizedCrop has clip_object_border, which has no equal',
        ),
        (
            lambda view: view.transforms[0][0].update(interpolation='area'),
            "interpolation='area'",
        ),
        (
            lambda view: view.update(num_views=[1, 1], transforms=[view.transforms[0], []]),
            r'other transforms \(RandomResizedCrop, .*write the group by hand',
        ),
        (lambda view: view.update(type='JointView'), 'joint already'),
        (lambda view: view.update(type='Resize'), 'has 0 MultiView'),
    ],
)
def test_refusals(tmp_path, change, message):
    cfg = Config.fromfile(STOCK / 'simclr/simclr_resnet50_8xb32-coslr-200e_in1k.py')
    cfg = Config(dict(train_dataloader=cfg.train_dataloader))
    change(view_of(cfg))
    cfg.dump(tmp_path / 'config.py')
    with pytest.raises(ValueError, match=message):
        make_joint(tmp_path / 'config.py')
