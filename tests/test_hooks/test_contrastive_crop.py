"""ContrastiveCropHook: boxes of made heat maps, and runs in which they reach the crops."""

import multiprocessing
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmjoint.hooks import ContrastiveCropHook
from mmjoint.hooks.contrastive_crop import bounding_boxes, heat_maps

SCRIPT = Path(__file__).with_name('contrastive_crop_run.py')
NUM = 7  # images
OFTEN = dict(warm_up=1, interval=1)


@pytest.fixture(scope='module')
def script() -> dict:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """Images of several sizes, each with a textured rectangle on a flat ground."""
    path = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for i in range(NUM):
        height, width = rng.integers(60, 120, 2)
        img = np.full((height, width, 3), rng.integers(60, 200), np.uint8)
        y, x = rng.integers(0, height // 2), rng.integers(0, width // 2)
        patch = img[y : y + height // 3, x : x + width // 3]
        patch[:] = rng.integers(0, 256, patch.shape)
        assert cv2.imwrite(str(path / f'{i}.png'), img)
    return path


@pytest.fixture(autouse=True)
def _restore_start_method():
    before = multiprocessing.get_start_method(allow_none=True)
    yield
    multiprocessing.set_start_method(before, force=True)


def test_boxes_of_made_maps():
    maps = torch.zeros(4, 10, 20)
    maps[0, 2:5, 8:15] = 1
    maps[1, 0, 0] = maps[1, 9, 19] = 0.2  # two corners
    maps[2, 7, 3] = 0.11
    maps[2, 1, 1] = 0.1  # not above the threshold
    maps[3] = 1
    want = [
        [8 / 20, 2 / 10, 15 / 20, 5 / 10],
        [0, 0, 1, 1],
        [3 / 20, 0.7, 4 / 20, 0.8],
        [0, 0, 1, 1],
    ]
    torch.testing.assert_close(bounding_boxes(maps, 0.1), torch.tensor(want))


def test_heat_maps_are_opencvs_enlargement_of_the_stretched_sum():
    torch.manual_seed(0)
    features = torch.rand(3, 5, 4, 6)
    features[2] = 0.5
    got = heat_maps(features, (32, 54)).numpy()
    for i in range(2):
        total = features[i].numpy().sum(0)
        stretched = (total - total.min()) / (total.max() - total.min())
        want = cv2.resize(stretched, (54, 32), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_allclose(got[i], want, atol=1e-5)
    np.testing.assert_allclose(got[2], 1, atol=1e-6)  # a constant map says nothing: the whole image


def direct_boxes(script: dict, runner, folder: Path, threshold: float) -> np.ndarray:
    """The boxes of a run's model for 64 px images, one by one with OpenCV and NumPy."""
    boxes = []
    for i in range(NUM):
        img = cv2.imread(str(folder / f'{i}.png'))
        rgb = torch.from_numpy(img[..., ::-1].copy()).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            maps = runner.model.backbone(rgb / 127.5 - 1)[0][0].sum(0).numpy()
        stretched = (maps - maps.min()) / (maps.max() - maps.min())
        above = cv2.resize(stretched, (64, 64), interpolation=cv2.INTER_LINEAR) > threshold
        ys, xs = np.nonzero(above)
        boxes.append([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    return np.array(boxes) / 64


def test_boxes_of_a_run_are_those_of_a_direct_computation(script, tmp_path):
    rng = np.random.default_rng(1)
    (tmp_path / 'square').mkdir()
    for i in range(NUM):
        img = np.full((64, 64, 3), 90, np.uint8)
        y, x = rng.integers(0, 32, 2)
        img[y : y + 24, x : x + 24] = rng.integers(0, 256, (24, 24, 3))
        assert cv2.imwrite(str(tmp_path / f'square/{i}.png'), img)
    runner, _ = script['make_runner'](
        tmp_path / 'square', tmp_path / 'run', epochs=2, hook=dict(OFTEN, threshold=0.4)
    )
    runner.model.backbone.conv.requires_grad_(False)
    runner.train()
    want = direct_boxes(script, runner, tmp_path / 'square', 0.4)
    got = script['boxes_of'](runner).numpy()
    np.testing.assert_allclose(got, want, atol=1e-6)
    area = (want[:, 2:] - want[:, :2]).prod(1)
    assert (area < 0.9).any()  # not whole images only
    assert runner.model.backbone.training


@pytest.mark.parametrize('start', ['fork', pytest.param('spawn', marks=pytest.mark.slow)])
def test_persistent_workers_see_each_refresh(script, folder, tmp_path, start):
    """Warm-up of one epoch, then new boxes after each: those of the checkpoint before it."""
    runner, record = script['make_runner'](
        folder,
        tmp_path / 'run',
        epochs=4,
        lr=1.0,
        workers=1,
        start=start,
        hook=dict(OFTEN, num_workers=0, threshold=0.4),
    )
    runner.train()
    assert sorted(record.seen) == [1, 2, 3, 4]
    assert set(record.seen[1].values()) == {None}
    saved = {}
    for epoch in (1, 2, 3):
        checkpoint = torch.load(tmp_path / f'run/epoch_{epoch}.pth', weights_only=False)
        saved[epoch] = checkpoint['semantic_boxes']
        assert len(record.seen[epoch + 1]) == NUM
        for image, box in record.seen[epoch + 1].items():
            assert torch.equal(torch.tensor(box), saved[epoch][image])
    assert not torch.equal(saved[1], saved[2])  # else this test could not tell an old box


def test_resumed_run_goes_on_with_its_boxes(script, folder, tmp_path):
    make_runner = script['make_runner']
    options = dict(lr=0.1, hook=dict(warm_up=2, interval=2, threshold=0.5))
    first, _ = make_runner(folder, tmp_path / 'first', epochs=4, **options)
    first.train()
    saved = torch.load(tmp_path / 'first/epoch_3.pth', weights_only=False)
    assert 'semantic_boxes' in saved
    again, record = make_runner(
        folder,
        tmp_path / 'again',
        epochs=6,
        resume=True,
        load_from=str(tmp_path / 'first/epoch_3.pth'),
        **options,
    )
    again.train()
    assert sorted(record.seen) == [4, 5, 6]
    for image, box in record.seen[4].items():
        assert torch.equal(torch.tensor(box), saved['semantic_boxes'][image])
    # The refresh after epoch 4, which the first run, at its end there, had no use for.
    new = torch.load(tmp_path / 'again/epoch_4.pth', weights_only=False)['semantic_boxes']
    assert not torch.equal(new, saved['semantic_boxes'])
    assert torch.equal(torch.tensor(record.seen[5][0]), new[0])


def test_weights_alone_start_without_boxes(script, folder, tmp_path):
    """load_from without resume is a new run: its warm-up comes first."""
    first, _ = script['make_runner'](folder, tmp_path / 'first', epochs=2, hook=OFTEN)
    first.train()
    again, record = script['make_runner'](
        folder,
        tmp_path / 'again',
        epochs=2,
        hook=OFTEN,
        load_from=str(tmp_path / 'first/epoch_2.pth'),
    )
    again.train()
    assert set(record.seen[1].values()) == {None} and None not in record.seen[2].values()


def test_resume_on_other_data_is_refused(script, folder, tmp_path):
    first, _ = script['make_runner'](folder, tmp_path / 'first', epochs=2, hook=OFTEN)
    first.train()
    (tmp_path / 'other').mkdir()
    for path in sorted(folder.iterdir())[:4]:
        (tmp_path / 'other' / path.name).symlink_to(path)
    again, _ = script['make_runner'](
        tmp_path / 'other',
        tmp_path / 'again',
        resume=True,
        load_from=str(tmp_path / 'first/epoch_1.pth'),
        hook=OFTEN,
    )
    with pytest.raises(ValueError, match='boxes of 7 images and the training set 4 images'):
        again.train()


def test_baseline_checkpoint_gets_boxes_at_once(script, folder, tmp_path):
    """Resumed past the warm-up from a run that had no boxes."""
    first, _ = script['make_runner'](folder, tmp_path / 'first', epochs=2)
    first.train()
    again, record = script['make_runner'](
        folder,
        tmp_path / 'again',
        epochs=3,
        resume=True,
        load_from=str(tmp_path / 'first/epoch_2.pth'),
        hook=OFTEN,
    )
    again.train()
    assert None not in record.seen[3].values()


def test_broken_file_has_no_box(script, folder, tmp_path):
    (tmp_path / 'images').mkdir()
    for path in folder.iterdir():
        (tmp_path / 'images' / path.name).symlink_to(path)
    (tmp_path / 'images/3.png').unlink()
    (tmp_path / 'images/3.png').write_bytes(b'no image')
    runner, _ = script['make_runner'](tmp_path / 'images', tmp_path / 'run', epochs=2, hook=OFTEN)
    runner.train()
    unknown = script['boxes_of'](runner).isnan().all(1)
    assert unknown.nonzero().tolist() == [[3]]


@pytest.mark.slow
def test_two_processes_make_the_boxes_of_one(script, folder, tmp_path):
    runner, _ = script['make_runner'](folder, tmp_path / 'alone', epochs=2, hook=OFTEN)
    runner.train()
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [sys.executable, SCRIPT, folder, tmp_path / 'two'],
        env={**os.environ, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(port)},
        check=True,
        timeout=300,
    )
    for rank in range(2):
        got = torch.load(tmp_path / f'two.{rank}')
        torch.testing.assert_close(got, script['boxes_of'](runner), rtol=0, atol=0)


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (dict(pipeline=[dict(type='LoadImage')]), "needs one dict.type='LoadSemanticBox'. before"),
        (dict(wrapped=True), 'of its own, not a RepeatDataset'),
        (dict(backbone='vector'), r'last output has shape \(1, 4\)'),
        (dict(by_epoch=False), 'by_epoch=True'),
    ],
)
def test_runs_that_cannot_work_end_before_the_first_epoch(script, folder, tmp_path, change, words):
    runner, record = script['make_runner'](folder, tmp_path / 'run')
    loader = runner._train_dataloader
    if 'pipeline' in change:
        loader.dataset.pipeline = change['pipeline'] + loader.dataset.pipeline[2:]
    if 'wrapped' in change:
        loader.dataset = dict(type='RepeatDataset', times=2, dataset=loader.dataset)
    if 'backbone' in change:
        runner.model.backbone.forward = lambda images: images.mean((2, 3)).repeat(1, 2)[:, :4]
    if 'by_epoch' in change:
        runner._train_loop = dict(by_epoch=False, max_iters=2)
    with pytest.raises(ValueError, match=words):
        runner.train()
    assert not record.seen


@pytest.mark.parametrize(
    ('kwargs', 'word'),
    [
        (dict(warm_up=-1), 'warm_up'),
        (dict(interval=0), 'interval'),
        (dict(interval=2.5), 'interval'),
        (dict(threshold=1.0), 'threshold'),
        (dict(threshold=float('nan')), 'threshold'),
        (dict(scale=0), 'scale'),
        (dict(scale=(224, 224, 3)), 'scale'),
        (dict(batch_size=0), 'batch_size'),
        (dict(num_workers=-1), 'num_workers'),
    ],
)
def test_bad_values(kwargs, word):
    with pytest.raises(ValueError, match=f'ContrastiveCropHook: {word}'):
        ContrastiveCropHook(**kwargs)


def test_schedule_is_the_repositorys():
    """After the epochs e with e >= warm_up and e divisible by interval."""
    for warm_up, interval in ((20, 20), (100, 100), (30, 20), (0, 5), (7, 3), (1, 1)):
        hook = ContrastiveCropHook(warm_up, interval)
        ours = [e for e in range(1, 500) if hook._refreshes(e) > hook._refreshes(e - 1)]
        assert ours == [e for e in range(1, 500) if e >= warm_up and e % interval == 0]
