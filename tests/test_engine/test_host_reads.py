"""A training step reads what mmengine logs, and nothing else, back from the device."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope

from mmjoint import engine
from mmjoint.paper.reduced import Reduction, reduce_config

from .host_reads import HostReads, count_host_reads

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = (
    'simclr_resnet50_8xb64-coslr-100e_in1k',
    'byol_resnet50_16xb256-coslr-200e_in1k',
    'mocov1_resnet50_8xb32-steplr-200e_in1k',
    'mocov2_resnet50_8xb32-coslr-200e_in1k',
    'mocov3_resnet50_16xb256-coslr-100e_in1k',
    'simsiam_resnet50_8xb32-coslr-100e_in1k',
    'dino_resnet50_8xb64-coslr-100e_in1k',
    'dino_vit-small_8xb64-coslr-100e_in1k',
    'leoclr_resnet50_8xb32-coslr-200e_in1k',
    'swav_resnet50_8xb32-coslr-200e_in1k',
    'infomin_resnet50_8xb32-coslr-100e_in1k',
)
# Those whose views or networks take a CPU long.
SLOW = ('infomin', 'leoclr', 'dino', 'mocov1', 'simsiam')
# Exceptions, by name. torch's AdamW counts the steps of each weight in a tensor that lies on the
# host, beside a GPU too: to read it waits for nothing.
ON_THE_HOST = ('dino_vit-small',)
# In the iterations that CollapseHook measures (every 20th, and the last of an epoch): which passes
# had which views, and what came out.
COLLAPSE_HOOK = {'Tensor.tolist': 2}
# Once, at the start or after a checkpoint was loaded, the step is read that was counted until then,
# and the place in the queue.
AT_THE_START = 2


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 training and 24 test images of two classes: noise, 48 x 40 pixels."""
    root = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for label in ('a', 'b'):
            (root / split / label).mkdir(parents=True)
            for i in range(12):
                image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                cv2.imwrite(str(root / split / label / f'{i}.png'), image)
    return root


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=pytest.mark.slow) if name.startswith(SLOW) else name
        for name in METHODS
    ],
)
def test_reads_of_a_step(name: str, photos: Path, tmp_path: Path) -> None:
    (path,) = CONFIGS.glob(f'*/{name}.py')
    reduction = Reduction(str(photos), epochs=1, batch_size=8, size=32, width=8, queue=64)
    cfg = reduce_config(Config(Config.fromfile(path).to_dict()), reduction, seed=0)
    hooks = [dict(type='CollapseHook'), dict(type='PairStatsHook')]
    hooks.append(dict(type='KNNHook', folder=str(photos), k=3))
    cfg.custom_hooks = [*cfg.custom_hooks, *map(ConfigDict, hooks)]
    cfg.work_dir = cfg.experiment_name = str(tmp_path)
    cfg.launcher, cfg.log_level = 'none', 'ERROR'
    engine.guard_run(cfg)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        runner = engine.build_runner(cfg, strict=False)
        weights = sum(weight.requires_grad for weight in runner.model.parameters())
        reads, logged = count_host_reads(runner)
    assert len(reads) == 3
    for iteration, (found, losses) in enumerate(zip(reads, logged, strict=True)):
        expected = dict(COLLAPSE_HOOK) if iteration == 2 else {}
        scalars = found.pop('aten::_local_scalar_dense')
        if name.startswith(ON_THE_HOST):
            assert len(losses) < scalars <= len(losses) + weights + AT_THE_START
        elif iteration == 0:
            assert len(losses) <= scalars <= len(losses) + AT_THE_START
        else:
            assert scalars == len(losses)
        assert found == expected


def read_all(value: torch.Tensor) -> None:
    value.item()
    bool(value.sum() > 0)
    torch.equal(value, value)
    value.nonzero()
    value[value > 0]
    value.tolist()
    value.cpu()
    value[value > 0] = 1
    torch.masked_select(value, value > 0)


def test_what_is_counted() -> None:
    value = torch.tensor([2.0])
    with HostReads() as counts:
        read_all(value)
    assert dict(counts) == {
        'aten::_local_scalar_dense': 2,
        'aten::equal': 1,
        'aten::nonzero': 1,
        'aten::index.Tensor with a mask': 1,
        'Tensor.tolist': 1,
        'Tensor.cpu': 1,
        'aten::index_put_ with a mask': 1,
        'aten::masked_select': 1,
    }
