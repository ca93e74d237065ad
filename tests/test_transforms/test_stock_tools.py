"""The transforms under mmpretrain's own tools/train.py, with its model, preprocessor and hooks."""

import subprocess
import sys
from pathlib import Path

import mmpretrain
import numpy as np
import pytest
from PIL import Image

TOOL = Path(mmpretrain.__file__).parent / '.mim/tools/train.py'
CONFIG = """
_base_ = ['mmpretrain::_base_/default_runtime.py']
custom_imports = dict(imports=['mmjoint'])
model = dict(
    type='{model}',
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor', mean=[127.5] * 3, std=[64.0] * 3, to_rgb=True),
    backbone=dict(type='ResNet', depth=18, base_channels=8, norm_cfg=dict(type='BN')),
    neck=dict(type='{neck}', in_channels=64, hid_channels=32, out_channels=16, with_avg_pool=True),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss')),
    {more}
)
views = [
    dict(type='JointCrop', scale=32, beta=0),
    dict(type='JointColor', brightness=0.4, hue=0.1, prob=0.8, beta=dict(brightness=0)),
    dict(type='RandomGrayscale', prob=0.2, keep_channels=True),
    dict(type='JointBlur', prob=(1.0, 0.1), beta=0),
    dict(type='PerView', transforms=[[], [dict(type='Solarize', thr=128, prob=0.2)]]),
    dict(type='RandomFlip', prob=0.5),
]
train_dataloader = dict(
    batch_size=4, num_workers=1, drop_last=True, persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CustomDataset', data_root='images', with_label=False, pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='JointView', num_views=2, transforms=[views]),
        dict(type='PackInputs'),
    ]),
)
train_cfg = dict(by_epoch=True, max_epochs=1)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.mark.parametrize(
    'model,neck,more',
    [
        # In a process of its own, where custom_imports alone imports mmjoint.
        pytest.param('SimCLR', 'NonLinearNeck', '', marks=pytest.mark.slow),
        ('MoCo', 'MoCoV2Neck', 'queue_len=8, feat_dim=16'),
    ],
)
def test_stock_training_runs_on_joint_views(tmp_path, run_tool, model, neck, more):
    (tmp_path / 'images').mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        pixels = rng.integers(0, 256, (40 + i, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f'images/{i}.png')
    (tmp_path / 'config.py').write_text(CONFIG.format(model=model, neck=neck, more=more))
    if model == 'SimCLR':
        command = [sys.executable, TOOL, 'config.py', '--no-pin-memory']
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        status, out, err = run.returncode, run.stdout, run.stderr
    else:
        alone = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
        status, out, err = run_tool(TOOL, 'config.py', '--no-pin-memory', '--cfg-options', *alone)
    assert status == 0, err[-2000:]
    assert 'Epoch(train) [1][2/2]' in out + err
    assert (tmp_path / 'work_dirs/config/epoch_1.pth').exists()
