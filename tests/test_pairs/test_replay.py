"""Views of a run, drawn again."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmjoint.pairs.betas import steered_quantities
from mmjoint.pairs.replay import find_draw, replay
from mmjoint.pairs.source import PairSource
from mmjoint.transforms.draws import Draw, set_beta, steer, tie_draws

JOINT = [
    dict(type='RandomResizedCrop', scale=16),
    dict(type='JointColor', brightness=0.4, hue=0.1, prob=0.8),
    dict(type='RandomApply', transforms=[dict(type='ColorJitter', contrast=0.5)], prob=0.5),
    dict(type='JointBlur', prob=0.5),
    dict(type='RandomFlip', prob=0.5),
]
STOCK = [dict(type='RandomResizedCrop', scale=16), dict(type='RandomFlip', prob=0.5)]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine of noise, number 4 of which is broken."""
    rng = np.random.default_rng(0)
    for i in range(9):
        path = tmp_path / f'{"ab"[i % 2]}/{i}.png'
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (24, 30, 3), dtype=np.uint8))
    (tmp_path / 'a/4.png').write_bytes(b'broken')
    cv2.imwrite(str(tmp_path / 'b/8.png'), np.zeros((20, 20, 3), np.uint8))
    return tmp_path


def config(photos: Path, kind: str = 'JointView') -> Config:
    pipeline = [
        dict(type='LoadImage'),
        dict(type=kind, num_views=2, transforms=[JOINT if kind == 'JointView' else STOCK]),
        dict(type='PackInputs'),
    ]
    folder = dict(type='ImageFolder', data_root=str(photos), pipeline=pipeline)
    return Config(
        dict(
            default_scope='mmpretrain',
            train_dataloader=dict(
                batch_size=4,
                num_workers=1,
                sampler=dict(type='DefaultSampler', shuffle=True),
                collate_fn=dict(type='default_collate'),
                dataset=dict(type='RepeatDataset', times=2, dataset=folder),
            ),
        )
    )


@pytest.mark.parametrize('kind', ['JointView', 'MultiView'])
def test_views_of_a_run(kind: str, photos: Path) -> None:
    source = PairSource(config(photos, kind))
    loader = Runner.build_dataloader(config(photos, kind).train_dataloader, seed=2)
    tie_draws(loader, seed=2, epoch=3)
    trained = {
        sample.draw: (sample.img_path, [view[i] for view in batch['inputs']])
        for batch in loader
        for i, sample in enumerate(batch['data_samples'])
    }
    assert trained.keys() == {f'3:{i}' for i in range(20)}
    again = replay(source, list(trained), seed=2)
    for (photo, (images, records)), (name, (path, views)) in zip(
        again, trained.items(), strict=True
    ):
        assert (photo['draw'], photo['img_path']) == (name, path)
        assert np.array_equal(photo['img'], cv2.imread(path))
        for image, view in zip(images, views, strict=True):
            assert np.array_equal(image.transpose(2, 0, 1), view.numpy())
        assert len(records) == 2 and bool(records[0]) == (kind == 'JointView')


def test_views_of_a_steered_run(photos: Path) -> None:
    cfg = config(photos)
    cfg.custom_hooks = [dict(type='BetaHook', schedule=dict(kind='linear', betas=(-9, 9)))]
    cfg.work_dir = str(photos)
    source = PairSource(cfg)
    with pytest.raises(ValueError, match='its betas.json is not in'):
        replay(source, ['0:0'], seed=2)
    betas = dict(names=['JointColor.hue'], betas=[-9.0, 9.0])
    (photos / 'betas.json').write_text(json.dumps(betas))
    loader = Runner.build_dataloader(config(photos).train_dataloader, seed=2)
    tie_draws(loader, seed=2)
    views = loader.dataset.dataset.pipeline.transforms[1]
    steer(loader.dataset, steered_quantities([views], ['JointColor.hue'], ''))
    apart = []
    for epoch, beta in enumerate(betas['betas']):
        set_beta(loader, beta)
        trained = {
            sample.draw: [view[i] for view in batch['inputs']]
            for batch in loader
            for i, sample in enumerate(batch['data_samples'])
        }
        assert trained.keys() == {f'{epoch}:{i}' for i in range(20)}
        for (_, (images, records)), views in zip(
            replay(source, list(trained), seed=2), trained.values(), strict=True
        ):
            for image, view in zip(images, views, strict=True):
                assert np.array_equal(image.transpose(2, 0, 1), view.numpy())
            hues = [dict(record)['JointColor'].hue for record in records]
            apart += [(epoch, abs(hues[1] - hues[0]))] if None not in hues else []
    assert len(apart) > 20 and all((d > 0.1) == (epoch == 0) for epoch, d in apart)
    with pytest.raises(ValueError, match='--replay 2:0: betas.json has the betas of 2 epochs'):
        replay(source, ['2:0'], seed=2)
    (photos / 'betas.json').write_text('{"betas": [0]}')
    with pytest.raises(ValueError, match='betas.json: not the betas of a run'):
        replay(source, ['0:0'], seed=2)


def test_find_draw(photos: Path) -> None:
    dataset = PairSource(config(photos)).build_trained(0)
    draws = [find_draw(word, dataset) for word in ('3:17', '0:2:1')]
    assert [draw.name for draw in draws] == ['3:17', '0:2:1']
    dataset = dataset.dataset  # each photo once
    files = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    for word in ('a/8.png', str(photos / 'a/8.png')):
        draw = find_draw(f'5:{word}', dataset)
        assert files[draw].endswith('a/8.png') and (type(draw), draw.epoch) == (Draw, 5)


@pytest.mark.parametrize(
    'word, message',
    [
        ('17', 'expected EPOCH:INDEX'),
        ('-1:2', 'expected EPOCH:INDEX'),
        ('1:', 'expected EPOCH:INDEX'),
        ('0:20', 'has 20 images, from index 0 to 19'),
        ('0:c.png', 'no such image'),
        ('0:a/2.png', '2 images of this name: 0:1 .*a/2.png, 0:11 '),
        ('0:8.png', '4 images of this name'),
    ],
)
def test_no_draw(word: str, message: str, photos: Path) -> None:
    dataset = PairSource(config(photos)).build_trained(0)
    with pytest.raises(ValueError, match=f'--replay {word}: {message}|{message}'):
        find_draw(word, dataset)


def test_photos_of_another_folder(photos: Path) -> None:
    with pytest.raises(ValueError, match='--images: what a run trained on are the photos of its'):
        replay(PairSource(config(photos), photos / 'a'), ['0:0'], 0)
