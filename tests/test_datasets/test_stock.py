"""Stock data sets and transforms of a user's config read as ours do."""

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmpretrain.datasets import custom
from mmpretrain.registry import DATASETS
from PIL import Image

from mmjoint.datasets import ImageFolder
from mmjoint.datasets.stock import use_own_readers


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    """Let other tests find mmpretrain's own functions."""
    for name in ('find_folders', 'get_samples'):
        function = getattr(custom, name)
        monkeypatch.setattr(custom, name, getattr(function, '__wrapped__', function))
    init_default_scope('mmpretrain')


@pytest.fixture
def folder(tmp_path):
    """Two classes, and what Jupyter, macOS and Synology leave beside and within them."""
    for name in (
        'cat/1.png', 'dog/2.png', 'dog/deep/3.png', '.ipynb_checkpoints/1.png', '@eaDir/4.png',
        '__MACOSX/5.png', 'dog/.ipynb_checkpoints/2.png', 'dog/@eaDir/6.png', 'cat/._1.png',
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    return tmp_path


@pytest.mark.parametrize('kind', ['CustomDataset', 'ImageNet21k', 'mmpretrain.CustomDataset'])
@pytest.mark.parametrize('with_label', [True, False])
def test_stock_data_sets_leave_out_hidden_files(folder, kind, with_label, monkeypatch):
    cfg = dict(type=kind, data_root=str(folder), with_label=with_label, pipeline=[])
    stock = {info['img_path'] for info in DATASETS.build(cfg)}
    assert f'{folder}/.ipynb_checkpoints/1.png' in stock  # otherwise this file can go
    use_own_readers(cfg)
    ours = ImageFolder(data_root=str(folder), with_label=with_label, pipeline=[])
    told = []
    monkeypatch.setattr(MMLogger.get_current_instance(), 'handle', told.append)
    dataset = DATASETS.build(cfg)
    assert [dict(info) for info in dataset] == [dict(info) for info in ours]
    assert len(dataset) == 3
    if with_label:
        assert dataset.CLASSES == ('cat', 'dog')
        lines = [record.getMessage() for record in told]
        assert f'{folder}: .ipynb_checkpoints, @eaDir, __MACOSX: hidden, not taken for a class' in (
            lines
        )


def test_load_image_takes_the_place_of_the_stock_transform():
    cfg = dict(
        dataset=dict(
            pipeline=[
                dict(type='mmcv.LoadImageFromFile', _scope_='mmpretrain', color_type='grayscale'),
                dict(type=LoadImageFromFile, ignore_empty=True),
                dict(type='LoadImageFromFile', file_client_args=dict(backend='disk')),
                dict(type='LoadImage'),
                dict(type='PackInputs'),
            ]
        )
    )
    assert use_own_readers(cfg, 'raise') == 3
    assert cfg['dataset']['pipeline'] == [
        dict(type='LoadImage', on_error='raise', color_type='grayscale'),
        dict(type='LoadImage', on_error='skip'),
        dict(type='LoadImage', on_error='raise', backend_args=dict(backend='local')),
        dict(type='LoadImage'),
        dict(type='PackInputs'),
    ]
    assert use_own_readers(cfg) == 0
