"""A run that was killed and goes on is the run that was not: losses, to the last bit, and views."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

RunTool = Callable[..., tuple[int, str, str]]
ITERATIONS = 12  # of two epochs

COMMON = """
_base_ = './tiny.py'
custom_imports = dict(imports=['mmjoint', 'foreign_noise'])
neck = dict(type='NonLinearNeck', in_channels=64, hid_channels=16, out_channels=8, num_layers=2,
    with_avg_pool=True, norm_cfg=dict(type='BN1d'))
predictor = dict(type='NonLinearNeck', in_channels=8, hid_channels=8, out_channels=8, num_layers=2,
    with_avg_pool=False, with_last_bn=False, with_last_bias=True, norm_cfg=dict(type='BN1d'))


pipeline = [
    dict(type='LoadImage'),
    dict(type='JointView', num_views=2, transforms=[[
        dict(type='JointCrop', scale=32),
        dict(type='mmpretrain.ColorJitter', brightness=0.4, hue=0.1),
        dict(type='JointBlur', prob=0.5),
        dict(type='ForeignNoise'),
    ]]),
    dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
default_hooks = dict(checkpoint=dict(interval=1, by_epoch=False))
"""
FOREIGN = """
import random
import numpy
import torch
from mmpretrain.registry import TRANSFORMS


@TRANSFORMS.register_module(force=True)
class ForeignNoise:
    def __call__(self, results):
        factor = (random.random() + numpy.random.rand() + torch.rand(1).item()) / 3
        return dict(results, img=(results['img'] * factor).astype('uint8'))
"""
MODELS = {
    'SimCLR': '',
    'MoCo': """
model = dict(type='MoCo', queue_len=48, feat_dim=8, momentum=0.01)
""",
    'BYOL': """
model = dict(type='BYOL', base_momentum=0.01, neck=dict(_delete_=True, **neck), head=dict(
    _delete_=True, type='LatentPredictHead', loss=dict(type='CosineSimilarityLoss'),
    predictor=predictor))
""",
    'DINO': """
model = dict(type='DINO', neck=dict(_delete_=True, type='DINONeck', in_channels=64, out_channels=32,
    hid_channels=16, bottleneck_channels=8, with_bn=True, norm_cfg=dict(type='BN1d')),
    head=dict(_delete_=True, type='DINOHead', out_channels=32))
custom_hooks = [dict(type='DINOHook')]
""",
    'SwAV': """
model = dict(type='SwAV', neck=dict(_delete_=True, type='SwAVNeck', in_channels=64, hid_channels=16,
    out_channels=8, with_avg_pool=True, norm_cfg=dict(type='BN1d')),
    head=dict(_delete_=True, type='SwAVHead', loss=dict(type='SwAVLoss', feat_dim=8, num_crops=[2],
        num_prototypes=12, epsilon=0.05, temperature=0.1)))
custom_hooks = [dict(type='SwAVHook', priority='VERY_HIGH', batch_size=8, epoch_queue_starts=1,
    crops_for_assign=[0, 1], feat_dim=8, queue_length=16, frozen_layers_cfg=dict(prototypes=3))]
find_unused_parameters = True
""",
    'steered': """
custom_hooks = [dict(type='BetaHook', follow=dict(target=0.9, bounds=(-3, 3)), interval=2)]
""",
}


def logged(work_dir: Path, key: str = 'loss') -> list:
    """What a run logged in each iteration."""
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line)[key] for line in path.read_text().splitlines()]


@pytest.fixture
def config(
    pretrain_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool_environment: dict
) -> Callable[[str], Path]:
    """Write the config of a method, with a transform that draws from all generators."""
    (tmp_path / 'foreign_noise.py').write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    tool_environment['PYTHONPATH'] = str(tmp_path)

    def write(method: str) -> Path:
        path = tmp_path / 'method.py'
        path.write_text(COMMON + MODELS[method])
        return path

    return write


@pytest.mark.slow
@pytest.mark.parametrize('method', MODELS)
def test_resumed_run_is_the_uninterrupted_one(
    method: str, config: Callable[[str], Path], run_tool: RunTool, tmp_path: Path
) -> None:
    path = config(method)
    status, _, err = run_tool('train.py', path, '--work-dir', 'whole')
    assert status == 0, err
    whole = logged(tmp_path / 'whole')
    assert len(whole) == ITERATIONS == len(set(whole))
    for iteration, workers in [(4, 2), (6, 1), (9, 0)]:
        options = [f'train_dataloader.num_workers={workers}']
        resume = ['--resume', f'whole/iter_{iteration}.pth', '--work-dir', f'rest_{iteration}']
        status, _, err = run_tool('train.py', path, *resume, '--cfg-options', *options)
        assert status == 0, err
        assert logged(tmp_path / f'rest_{iteration}') == whole[iteration:]


@pytest.mark.slow
@pytest.mark.parametrize('method', MODELS)
def test_two_processes_resumed(
    method: str,
    config: Callable[[str], Path],
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    if torch.cuda.is_available():
        pytest.skip('bit-equality is for the CPU')
    for folder, extra in (('whole', []), ('rest', ['--resume', tmp_path / 'whole/iter_2.pth'])):
        options = [f'train_dataloader.num_workers={len(extra)}']
        command = tool_command(
            'dist_train.sh', config(method), 2, '--work-dir', tmp_path / folder, *extra
        )
        done = subprocess.run(
            [*command, '--cfg-options', *options],
            env=tool_environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
    whole = logged(tmp_path / 'whole')
    assert len(whole) == ITERATIONS // 2
    assert logged(tmp_path / 'rest') == whole[2:]
