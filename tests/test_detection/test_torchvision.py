"""The torchvision engine: data, metric, pictures and its scripts."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from detections import detection, truth
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.models import resnet18

from mmjoint.detection.coco import read_coco
from mmjoint.detection.torchvision.data import BatchSchedule, DetectionImages, EverySample, resized
from mmjoint.detection.torchvision.engine import Machine
from mmjoint.detection.torchvision.pictures import draw_predictions
from mmjoint.detection.torchvision.run import (
    _draw,
    choose_recipe,
    fine_tune,
    parse_args,
    read_init,
)
from mmjoint.detection.voc import read_voc
from mmjoint.utils.errors import describe

ENGINE = Path(__file__).resolve().parents[2] / 'transfer/torchvision'
CPU = Machine(torch.device('cpu'))


# --- data


def test_voc_boxes_lose_their_1_based_pixels(voc):
    coco = read_voc(voc, ['VOC2007/trainval'])
    dog, person = coco['annotations'][:2]
    assert dog['bbox'] == [47, 239, 148, 132] and person['bbox'] == [7, 11, 345, 487]
    assert (dog['category_id'], person['category_id']) == (12, 15)  # alphabetical, from 1
    assert (dog['iscrowd'], person['iscrowd']) == (0, 1)
    assert len(coco['images']) == 6 and len(coco['categories']) == 20
    # The bright pixels of the photo are those inside the dog's box.
    pixels = np.asarray(Image.open(coco['images'][0]['file_name']))
    ys, xs = np.nonzero(pixels[..., 0] > 115)
    assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == (47, 239, 47 + 148, 239 + 132)


def test_difficult_objects_are_trained_on(voc):
    coco = read_voc(voc, ['VOC2007/trainval'])
    _, target = DetectionImages(coco, (500,), 900, True)[0, (0,)]
    assert target['labels'].tolist() == [12, 15]


@pytest.mark.parametrize('wrong', ['<name>dragon</name>', '<nam', '<name>dog</name>'])
def test_bad_xml_is_named(voc, wrong):
    path = voc / 'VOC2007/Annotations/000002.xml'
    path.write_text(f'<annotation><object>{wrong}</object></annotation>')
    with pytest.raises(ValueError, match='000002.xml'):
        read_voc(voc, ['VOC2007/trainval'])


def test_boxes_and_masks_follow_resizing_and_flips(coco_of, tmp_path):
    coco = coco_of(tmp_path)
    # Every second mask as uncompressed RLE, as COCO has it for crowds.
    for item in coco['annotations'][::2]:
        full = np.zeros((48, 60), dtype=np.uint8)
        x, y, w, h = item['bbox']
        full[y : y + h, x : x + w] = 1
        runs = np.flatnonzero(np.diff(full.flatten('F'), prepend=0, append=0))
        counts = np.diff([0, *runs, full.size]).tolist()
        item['segmentation'] = dict(size=[48, 60], counts=counts)
    data = DetectionImages(coco, (96,), 1000, True, masks=True)
    flips = 0
    for index, (seed, item) in enumerate(zip(range(5), coco['annotations'], strict=True)):
        image, target = data[index, (seed,)]
        assert image.shape == (3, 96, 120)
        x, y, w, h = (2 * value for value in item['bbox'])
        flipped = target['boxes'][0, 0] != x
        flips += bool(flipped)
        expected = [120 - x - w, y, 120 - x, y + h] if flipped else [x, y, x + w, y + h]
        assert target['boxes'].tolist() == [expected]
        assert target['labels'].item() == {7: 1, 9: 2}[item['category_id']]
        left, top, right, bottom = expected
        mask = torch.zeros(96, 120, dtype=torch.uint8)
        mask[top:bottom, left:right] = 1
        assert torch.equal(target['masks'][0], mask)
        assert image[:, top + 2 : bottom - 2, left + 2 : right - 2].min() > 0.8
        assert image[:, mask == 0].max() < 0.6
    assert 0 < flips < 5


@pytest.mark.parametrize(
    ('size', 'short', 'longest', 'expected'),
    [
        ((500, 375), 800, 1333, (1067, 800)),
        ((375, 500), 800, 1333, (800, 1067)),
        ((1000, 400), 800, 1333, (1333, 533)),
        ((64, 64), 64, 64, (64, 64)),
    ],
)
def test_resized(size, short, longest, expected):
    assert resized(*size, short, longest) == expected


def test_crowds_are_not_trained_on(coco_of, tmp_path):
    coco = coco_of(tmp_path)
    coco['annotations'][0]['iscrowd'] = 1
    coco['annotations'][1]['bbox'][2] = 0
    training, test = (DetectionImages(coco, (48,), 99, flag) for flag in (True, False))
    assert [image['id'] for image in training.images] == [3, 4, 5] and len(test) == 5
    coco['annotations'] = []
    with pytest.raises(ValueError, match='no image with an object'):
        DetectionImages(coco, (48,), 99, True)


def test_an_image_of_another_size_is_named(coco_of, tmp_path):
    coco = coco_of(tmp_path)
    coco['images'][2]['width'] = 61
    with pytest.raises(ValueError, match=r'3.png: 60 x 48 pixels, .* 61 x 48'):
        DetectionImages(coco, (48,), 99, False)[2, (0,)]


@pytest.mark.parametrize('damage', [lambda data: data[: len(data) // 2], lambda data: b''])
def test_a_truncated_photo_is_named(coco_of, tmp_path, damage):
    """By the process that reads it, and by the one that it reads for."""
    coco = coco_of(tmp_path)
    path = Path(coco['images'][2]['file_name'])
    path.write_bytes(damage(path.read_bytes()))
    data = DetectionImages(coco, (48,), 99, True)
    with pytest.raises(OSError, match=f'{path}: '):
        data[2, (0,)]
    with pytest.raises(OSError, match=path.name) as error:
        list(DataLoader(data, sampler=[(2, (0,))], num_workers=1, multiprocessing_context='fork'))
    assert describe(error.value).startswith(f'broken image {path}: ')


def test_batches_of_a_run():
    wide = [i % 3 == 0 for i in range(30)]
    batches = list(BatchSchedule(wide, 5, seed=3, stop=12))
    assert len(batches) == 12 and all(len(batch) == 5 for batch in batches)
    assert all(len({wide[i] for i, _ in batch}) == 1 for batch in batches)
    seen = sorted(i for batch in batches[:6] for i, _ in batch)
    assert seen == list(range(30))  # 10 wide and 20 high ones fill six batches
    assert len({seed for batch in batches for _, seed in batch}) == 60
    assert list(BatchSchedule(wide, 5, seed=3, stop=12, start=7)) == batches[7:]
    assert list(BatchSchedule(wide, 5, seed=4, stop=12)) != batches
    whole = list(BatchSchedule(wide, 6, seed=3, stop=12))
    shares = [list(BatchSchedule(wide, 6, 3, 12, rank=r, world_size=2)) for r in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert sorted(parts[0] + parts[1]) == sorted(batch) and len(parts[0]) == 3
    with pytest.raises(ValueError, match='batch size 5 does not divide by 2'):
        BatchSchedule(wide, 5, 0, 1, world_size=2)
    tested = [EverySample(11, 2, rank, 2) for rank in (0, 1)]
    indices = [i for part in tested for batch in part for i, _ in batch]
    assert sorted(indices) == list(range(11)) and len(tested[0]) == 3


# --- pictures


def test_the_picture_shows_what_was_found(coco_of, tmp_path):
    coco = coco_of(tmp_path, count=3)
    first = coco['annotations'][0]
    found = [
        detection(1, first['bbox'], 0.9, 7),
        detection(1, [50, 0, 10, 10], 0.29, 9),  # too unsure
        detection(2, [0, 0, 10, 48], 0.1, 9),
        detection(2, [20, 0, 20, 48], 0.2, 9),  # the surest of an image is drawn in any case
    ]
    draw_predictions(coco, found, tmp_path / 'picture.png', 3)
    picture = np.asarray(Image.open(tmp_path / 'picture.png')).astype(int)
    blue, orange = (
        (picture == color).all(-1) for color in ([0x00, 0x72, 0xB2], [0xE6, 0x9F, 0x00])
    )  # of the first and the second class
    assert not blue[:, 328:].any() and not orange[:, :328].any() and not orange[:, 656:].any()
    columns = np.flatnonzero(orange[100:-20].any(0)) - (8 + 328)
    assert abs(columns.min() - 320 / 3) <= 2 and abs(columns.max() - 2 * 320 / 3) <= 2
    x, _, w, _ = (320 / 60 * value for value in first['bbox'])
    columns = np.flatnonzero(blue.any(0)) - 8
    assert abs(columns.min() - x) <= 2 and columns.max() >= x + w - 2


def test_a_picture_that_fails_costs_no_result(tmp_path, capsys):
    coco = truth([1, 2, 30, 40])
    coco['images'][0]['file_name'] = str(tmp_path / 'gone.jpg')
    _draw(argparse.Namespace(work_dir=tmp_path, pictures=2), coco, [])
    told = capsys.readouterr().out
    assert told.startswith(f'no picture {tmp_path}/predictions.png: ') and 'gone.jpg' in told


# --- scripts


@pytest.mark.slow
def test_the_voc_script_from_a_checkpoint_to_results(voc, tmp_path, capsys):
    checkpoint, out = tmp_path / 'epoch_3.pth', tmp_path / 'out'
    torch.manual_seed(0)
    weights = {f'backbone.{k}': v for k, v in resnet18().state_dict().items() if k[:2] != 'fc'}
    torch.save(dict(state_dict=weights, meta=dict(epoch=3)), checkpoint)
    options = [
        *('--small', '--voc-root', voc),
        *('--train-split', 'VOC2007/trainval', '--iterations', '2', '--batch-size', '2'),
        *('--device', 'cpu', '--workers', '0', '--work-dir', out, '--seed', '3'),
    ]
    run = subprocess.run(
        ['bash', ENGINE / 'run_voc.sh', checkpoint, '1', *options],
        capture_output=True,
        text=True,
        env=os.environ | dict(PYTHON=sys.executable),
    )
    assert run.returncode == 0, run.stderr
    assert f'all 120 tensors of the backbone come from {checkpoint}' in run.stdout
    header = next(line for line in run.stdout.splitlines() if line.startswith('| config'))
    assert header.split() == '| config | init | trials | AP | AP50 | AP75 |'.split()
    results = json.loads((out / 'results.json').read_text())
    assert (results['engine'], results['task']) == ('torchvision', 'voc')
    assert results['config'] == 'faster_rcnn_r18_fpn_voc-small'
    assert results['weights']['sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert results['data']['test'] == dict(images=6, objects=6)
    assert results['data']['classes']['dog'] == dict(train=6, test=6)
    (trial,) = results['trials']
    assert len(trial['per_class']) == 20 and trial['per_class']['cat'] == dict(bbox=None)
    assert json.loads((out / 'seed_3/predictions.json').read_text()) is not None
    assert trial['seed'] == 3 and trial['settings']['recipe']['iterations'] == 2
    assert 0 <= results['mean']['bbox']['AP'] <= 100 and results['std'] is None
    assert (out / 'predictions.png').stat().st_size > 1000
    assert len((out / 'seed_3/log.jsonl').read_text().splitlines()) == 2
    # A finished trial is not run again; another number of iterations is another run.
    arguments = ['voc', '--init', checkpoint, *options]
    fine_tune(parse_args('', [*map(str, arguments)]))
    assert 'training [' not in capsys.readouterr().err
    assert json.loads((out / 'results.json').read_text()) == results
    with pytest.raises(ValueError, match='other settings'):
        fine_tune(parse_args('', [*map(str, arguments), '--iterations', '4']))


def test_a_run_that_fails_before_training_leaves_nothing(voc, tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.zeros(3))), tmp_path / 'other.pth')
    out = tmp_path / 'out'
    arguments = ['voc', '--small', '--voc-root', voc, '--train-split', 'VOC2007/trainval']
    arguments += ['--device', 'cpu', '--work-dir', out, '--init']
    with pytest.raises(ValueError, match='other.pth'):
        fine_tune(parse_args('', [*map(str, arguments), str(tmp_path / 'other.pth')]))
    assert not out.exists()


def test_where_the_weights_come_from(tmp_path, monkeypatch):
    def start(*arguments: object) -> tuple:
        args = ['voc', '--work-dir', tmp_path / 'out', *arguments]
        return read_init(parse_args('', [*map(str, args)]), CPU)

    assert start('--init', 'random') == (None, dict(depth=50, stem='7x7'))
    # torchvision's oldest files have no batch counters.
    weights = {k: v for k, v in resnet18().state_dict().items() if 'num_batches' not in k}
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    downloaded = tmp_path / 'hub/checkpoints/resnet18-f37072fd.pth'
    downloaded.parent.mkdir(parents=True)
    torch.save(weights, downloaded)
    found, provenance = start('--init', 'torchvision', '--depth', '18')
    assert provenance['source'] == downloaded.name and provenance['depth'] == 18
    assert len(found) == 120 and torch.equal(found['conv1.weight'], weights['conv1.weight'])
    with pytest.raises(ValueError, match='ResNet-18; expected 50'):
        start('--init', downloaded, '--depth', '50')


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['voc', '--voc-root', 'nowhere', '--init', 'random'], 'VOC2007/ImageSets/Main/trainval'),
        (['coco', '--coco-root', 'nowhere', '--init', 'random'], 'instances_train2017.json'),
        (['scenes', '--scenes-root', 'nowhere', '--init', 'random'], 'instances_train.json'),
    ],
)
def test_missing_data_are_named(arguments, words):
    with pytest.raises(FileNotFoundError, match=words):
        fine_tune(parse_args('', arguments))


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['voc', '--init', 'random', '--trials', '0'], '--trials must be at least 1, got 0'),
        (['scenes', '--init', 'random', '--small'], 'the scenes are small'),
        (['voc'], 'required: --init'),
    ],
)
def test_bad_arguments(capsys, arguments, words):
    with pytest.raises(SystemExit):
        parse_args('', arguments)
    assert words in capsys.readouterr().err


def test_the_learning_rate_goes_with_the_batch_size():
    arguments = ['voc', '--init', 'random', '--batch-size', '8', '--iterations', '240']
    name, recipe = choose_recipe(parse_args('', arguments))
    assert (name, recipe.batch_size, recipe.lr) == ('voc', 8, 0.01)
    assert (recipe.iterations, recipe.steps, recipe.warmup) == (240, (180, 220), 24)


def test_real_annotations(shared_data):
    coco = read_coco(shared_data / 'coco_mini', 'train2017')
    data = DetectionImages(coco, (160,), 320, True, masks=True)
    voc_coco = read_voc(shared_data / 'voc_mini', ['VOC2007/trainval'])
    assert len(voc_coco['images']) == 180 and len(voc_coco['annotations']) == 940
    checked = 0
    for index in range(0, len(data), 20):
        image, target = data[index, (index,)]
        assert image.shape[1:] == target['masks'].shape[1:]
        objects = data.objects[data.images[index]['id']]
        scale = image.shape[2] / data.images[index]['width']
        for (_, _, item), box, mask in zip(objects, target['boxes'], target['masks'], strict=True):
            ys, xs = np.nonzero(mask.numpy())
            if len(xs) > 200:  # COCO's own area, of the outline in the image's pixels
                assert len(xs) == pytest.approx(scale**2 * item['area'], rel=0.1)
                assert box[0] - 1 <= xs.min() and xs.max() <= box[2] + 1
                assert box[1] - 1 <= ys.min() and ys.max() <= box[3] + 1
                checked += 1
    assert checked > 10
