"""The torchvision engine: data, metric, weights, training and its scripts."""

import copy
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle
from torchvision.models import resnet18

ENGINE = Path(__file__).resolve().parents[2] / 'transfer/torchvision'
sys.path.insert(0, str(ENGINE))

from rcnn_data import (  # noqa: E402
    BatchSchedule,
    DetectionImages,
    EverySample,
    collate,
    read_coco,
    read_voc,
    resized,
)
from rcnn_engine import (  # noqa: E402
    Machine,
    average_precision,
    detect,
    make_optimizer,
    precise_batch_norm,
    train,
)
from rcnn_models import (  # noqa: E402
    ModelSettings,
    build_detector,
    load_backbone_weights,
    to_own_size,
)
from rcnn_pictures import draw_predictions  # noqa: E402
from rcnn_recipes import RECIPES, Recipe  # noqa: E402

CPU = Machine(torch.device('cpu'))
TINY_MODEL = ModelSettings(
    anchor_sizes=(8, 16, 24, 32, 64),
    fpn_channels=16,
    head_channels=32,
    rpn_batch=16,
    roi_batch=16,
    proposals=(50, 30),
    test_proposals=(50, 30),
)
TINY = Recipe(
    iterations=4,
    steps=(3,),
    warmup=2,
    short_sides=(40, 48),
    test_short_side=48,
    max_side=64,
    batch_size=2,
    precise_bn=3,
    model=TINY_MODEL,
)


def coco_of(folder: Path, count: int = 5, size: tuple[int, int] = (60, 48)) -> dict:
    """Noise images of the given width and height, each with a bright rectangle of class 7 or 9."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    for id_ in range(1, count + 1):
        pixels = rng.integers(0, 60, (height, width, 3), dtype=np.uint8)
        x, y, w, h = rng.integers(0, 20), rng.integers(0, 16), rng.integers(16, 40), 24
        x, y, w, h = map(int, (x, y, w, h))
        pixels[y : y + h, x : x + w] = 220
        path = folder / f'{id_}.png'
        Image.fromarray(pixels).save(path)
        images.append(dict(id=id_, file_name=str(path), width=width, height=height))
        polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
        annotations.append(
            dict(
                id=id_,
                image_id=id_,
                category_id=7 + 2 * (id_ % 2),
                bbox=[x, y, w, h],
                area=w * h,
                iscrowd=0,
                segmentation=[polygon],
            )
        )
    categories = [dict(id=9, name='nine'), dict(id=7, name='seven')]
    return dict(images=images, annotations=annotations, categories=categories)


def detection(image: int, box: list[float], score: float, category: int = 1) -> dict:
    return dict(image_id=image, category_id=category, bbox=box, score=score)


def truth(*boxes: list[float], **more: int) -> dict:
    """One image a box, of one class."""
    return dict(
        images=[dict(id=i, width=200, height=200) for i in range(1, len(boxes) + 1)],
        annotations=[
            dict(id=i, image_id=i, category_id=1, bbox=box, area=box[2] * box[3], iscrowd=0, **more)
            for i, box in enumerate(boxes, start=1)
        ],
        categories=[dict(id=1, name='thing')],
    )


# --- data


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Six photos in VOC's layout; the first has VOC2007's own box of a dog."""
    folder = tmp_path / 'VOC2007'
    for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
        (folder / name).mkdir(parents=True)
    dog = ('dog', 48, 240, 195, 371, 0)
    stems = [f'{i:06d}' for i in range(1, 7)]
    for i, stem in enumerate(stems):
        objects = [dog] + [('person', 8, 12, 352, 498, 1)] * (i == 0)
        text = ''.join(
            f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}'
            f'</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>'
            for name, x1, y1, x2, y2, difficult in objects
        )
        size = '<size><width>353</width><height>500</height><depth>3</depth></size>'
        (folder / f'Annotations/{stem}.xml').write_text(f'<annotation>{size}{text}</annotation>')
        pixels = np.full((500, 353, 3), 30, dtype=np.uint8)
        pixels[239:371, 47:195] = 200
        Image.fromarray(pixels).save(folder / f'JPEGImages/{stem}.jpg')
    for split in ('trainval', 'test'):
        (folder / f'ImageSets/Main/{split}.txt').write_text('\n'.join(stems) + '\n')
    return tmp_path


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


def test_boxes_and_masks_follow_resizing_and_flips(tmp_path):
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


def test_crowds_are_not_trained_on(tmp_path):
    coco = coco_of(tmp_path)
    coco['annotations'][0]['iscrowd'] = 1
    coco['annotations'][1]['bbox'][2] = 0
    training, test = (DetectionImages(coco, (48,), 99, flag) for flag in (True, False))
    assert [image['id'] for image in training.images] == [3, 4, 5] and len(test) == 5
    coco['annotations'] = []
    with pytest.raises(ValueError, match='no image with an object'):
        DetectionImages(coco, (48,), 99, True)


def test_an_image_of_another_size_is_named(tmp_path):
    coco = coco_of(tmp_path)
    coco['images'][2]['width'] = 61
    with pytest.raises(ValueError, match=r'3.png: 60 x 48 pixels, .* 61 x 48'):
        DetectionImages(coco, (48,), 99, False)[2, (0,)]


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


# --- metric


def test_hand_computed_average_precision():
    coco = truth([0, 0, 100, 100], [50, 50, 100, 100], [20, 20, 50, 50])
    found = [
        detection(1, [0, 0, 100, 100], 0.9),
        detection(1, [150, 150, 30, 30], 0.8),  # nothing is there
        detection(2, [50, 50, 72, 100], 0.7),  # IoU 0.72
    ]
    # At IoU 0.5 to 0.7 precision is 1 up to recall 1/3 (34 of the 101 points), then 2/3 up to
    # recall 2/3 (33 points); from 0.75 on the third box is wrong.
    low, high = (34 + 33 * 2 / 3) / 101, 34 / 101
    result = average_precision(coco, found)['bbox']
    expected = dict(AP=50 * (low + high), AP50=100 * low, AP75=100 * high)
    assert result == pytest.approx(expected)


def test_perfect_and_no_detections(tmp_path):
    coco = coco_of(tmp_path)
    found = []
    for item in coco['annotations']:
        x, y, w, h = item['bbox']
        mask = np.zeros((48, 60), dtype=np.uint8, order='F')
        mask[y : y + h, x : x + w] = 1
        segmentation = rle.encode(mask)
        found.append(
            detection(item['image_id'], item['bbox'], 0.5, item['category_id'])
            | dict(segmentation=segmentation)
        )
    hundred = dict(AP=100, AP50=100, AP75=100)
    before = copy.deepcopy(found)
    assert average_precision(coco, found, masks=True) == dict(bbox=hundred, segm=hundred)
    assert found == before
    nothing = dict(AP=0, AP50=0, AP75=0)
    assert average_precision(coco, [], masks=True) == dict(bbox=nothing, segm=nothing)
    # Boxes all right, masks all empty but for a corner.
    corner = np.zeros((48, 60), dtype=np.uint8, order='F')
    corner[47, 59] = 1
    for item in found:
        item['segmentation'] = rle.encode(corner)
    assert average_precision(coco, found, masks=True) == dict(bbox=hundred, segm=nothing)


def test_difficult_objects_count_neither_way(voc):
    coco = read_voc(voc, ['VOC2007/test'])
    dogs = [
        detection(item['image_id'], item['bbox'], 0.9, 12)
        for item in coco['annotations']
        if not item['difficult']
    ]
    difficult = detection(1, [7, 11, 345, 487], 0.95, 15)
    for found in (dogs, [*dogs, difficult]):
        assert average_precision(coco, found)['bbox']['AP'] == 100
    # Were it an ordinary object, missing it would halve the mean over the two classes.
    for item in coco['annotations']:
        item['iscrowd'] = 0
    assert average_precision(coco, dogs)['bbox']['AP'] == 50


# --- model


@pytest.mark.parametrize('masks', [False, True])
def test_backbone_weights_are_really_used(masks):
    torch.manual_seed(0)
    source = resnet18()
    for value in source.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.01, 0.05)
    settings = dataclasses.replace(TINY_MODEL, masks=masks)
    detector = build_detector(18, 3, settings)
    assert load_backbone_weights(detector, source.state_dict(), 'file') == 120
    detector.eval(), source.eval()
    image = torch.rand(3, 64, 96)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    x = ((image - mean) / std)[None]
    prepared, _ = detector.transform([image])
    torch.testing.assert_close(prepared.tensors, x)
    levels = detector.backbone.body(prepared.tensors)
    x = source.maxpool(source.relu(source.bn1(source.conv1(x))))
    for level, layer in enumerate([source.layer1, source.layer2, source.layer3, source.layer4]):
        x = layer(x)
        torch.testing.assert_close(levels[str(level)], x, rtol=1e-5, atol=0)
    assert all(parameter.requires_grad for parameter in detector.parameters())


def test_weights_that_do_not_fit_are_refused():
    detector = build_detector(18, 3, TINY_MODEL)
    weights = {k: v for k, v in resnet18().state_dict().items() if not k.startswith('fc.')}
    before = copy.deepcopy(detector.state_dict())
    faulty = {
        'layer4.1.bn2.weight is missing': {
            k: v for k, v in weights.items() if k != 'layer4.1.bn2.weight'
        },
        'head.weight is not part': {**weights, 'head.weight': torch.zeros(1)},
        r'conv1.weight has shape \(64, 3, 3, 3\)': {
            **weights,
            'conv1.weight': torch.zeros(64, 3, 3, 3),
        },
    }
    for message, wrong in faulty.items():
        with pytest.raises(ValueError, match=f'somewhere.pth: 1 weights .*{message}'):
            load_backbone_weights(detector, wrong, 'somewhere.pth')
    assert all(torch.equal(v, before[k]) for k, v in detector.state_dict().items())
    with pytest.raises(ValueError, match='depth is 20'):
        build_detector(20, 3, TINY_MODEL)


def test_the_small_stem_keeps_the_resolution():
    detector = build_detector(18, 3, TINY_MODEL, small_stem=True).eval()
    levels = detector.backbone(torch.rand(1, 3, 32, 32))
    assert [tuple(level.shape[-2:]) for level in levels.values()] == [
        (32, 32), (16, 16), (8, 8), (4, 4), (2, 2),
    ]  # fmt: skip
    weights = resnet18().state_dict() | {'conv1.weight': torch.rand(64, 3, 3, 3)}
    assert load_backbone_weights(detector, weights, 'file') == 120


def test_results_return_to_the_images_own_pixels():
    result = dict(
        boxes=torch.tensor([[10.0, 20, 30, 40], [0, 0, 48, 40]]),
        masks=torch.ones(2, 1, 28, 28),
        scores=torch.tensor([0.9, 0.8]),
    )
    own = to_own_size(result, (40, 48), (80, 144))
    assert own['boxes'].tolist() == [[30, 40, 90, 80], [0, 0, 144, 80]]
    assert own['masks'].shape == (2, 80, 144) and own['masks'].dtype == torch.bool
    ys, xs = np.nonzero(own['masks'][0].numpy())
    assert abs(xs.min() - 30) <= 1 and abs(xs.max() + 1 - 90) <= 1
    assert abs(ys.min() - 40) <= 1 and abs(ys.max() + 1 - 80) <= 1


# --- recipes and training


def test_published_schedules():
    voc, coco = RECIPES['voc'], RECIPES['coco']
    assert (voc.iterations, voc.steps, voc.batch_size) == (24000, (18000, 22000), 16)
    assert (coco.iterations, coco.steps, coco.batch_size) == (90000, (60000, 80000), 16)
    assert voc.short_sides[0] == 480 and coco.short_sides[0] == 640
    assert voc.short_sides[-1] == coco.short_sides[-1] == voc.test_short_side == 800
    assert coco.model.masks and not voc.model.masks
    for iteration, lr in {
        0: 2e-5, 50: 0.01001, 100: 0.02, 17999: 0.02, 18000: 0.002, 22000: 0.0002,
    }.items():  # fmt: skip
        assert voc.lr_at(iteration) == pytest.approx(lr)


def test_batch_norm_is_not_decayed():
    model = build_detector(18, 3, TINY_MODEL)
    decayed, not_decayed = make_optimizer(model, TINY).param_groups
    assert (decayed['weight_decay'], not_decayed['weight_decay']) == (1e-4, 0)
    # 20 norms in ResNet-18 and 8 in FPN, a scale and a shift each.
    assert len(not_decayed['params']) == 2 * (20 + 8)
    assert len(decayed['params']) + len(not_decayed['params']) == len(list(model.parameters()))


class Killed(Exception):
    pass


def losses_in(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]


@pytest.mark.parametrize('masks', [False, True])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, masks, monkeypatch):
    recipe = dataclasses.replace(TINY, model=dataclasses.replace(TINY_MODEL, masks=masks))
    coco = coco_of(tmp_path / 'images')
    data = DetectionImages(coco, recipe.short_sides, recipe.max_side, True, masks)

    def run(folder: Path, settings: dict | None = None) -> dict:
        torch.manual_seed(0)
        model = build_detector(18, 2, recipe.model)
        train(model, data, recipe, 5, folder, CPU, 2, settings or dict(seed=5))
        return model.state_dict()

    whole = run(tmp_path / 'whole')
    names = {'loss_classifier', 'loss_box_reg', 'loss_objectness', 'loss_rpn_box_reg'}
    for line in losses_in(tmp_path / 'whole'):
        parts = [line[name] for name in names | ({'loss_mask'} if masks else set())]
        assert line['loss'] == pytest.approx(sum(parts)) and line['loss'] > 0

    read = DetectionImages.__getitem__

    def dies_in_the_last_batch(self: DetectionImages, key: tuple) -> tuple:
        if key[1][1] == 3:
            raise Killed
        return read(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(DetectionImages, '__getitem__', dies_in_the_last_batch)
        with pytest.raises(Killed):
            run(tmp_path / 'killed')
    assert len(losses_in(tmp_path / 'killed')) == 3
    resumed = run(tmp_path / 'killed')
    assert losses_in(tmp_path / 'killed') == losses_in(tmp_path / 'whole')
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    with pytest.raises(ValueError, match='seed 5 instead of 6'):
        run(tmp_path / 'killed', settings=dict(seed=6))


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    coco = coco_of(tmp_path / 'images')
    data = DetectionImages(coco, TINY.short_sides, TINY.max_side, True)
    model = build_detector(18, 2, TINY_MODEL)
    torch.nn.init.constant_(model.roi_heads.box_predictor.cls_score.bias, float('inf'))
    with pytest.raises(FloatingPointError, match='at iteration 0'):
        train(model, data, TINY, 0, tmp_path / 'run', CPU, 2, {})


def test_precise_batch_norm_is_the_mean_over_batches(tmp_path):
    coco = coco_of(tmp_path)
    data = DetectionImages(coco, TINY.short_sides, TINY.max_side, True)
    model = build_detector(18, 2, TINY_MODEL)
    precise_batch_norm(model, data, TINY, 1, CPU)
    means = []
    for batch in BatchSchedule(data.wide, 2, 1, stop=7, start=4):
        images, _ = collate([data[key] for key in batch])
        stem = model.backbone.body['conv1'](model.transform(images)[0].tensors)
        means.append(stem.mean((0, 2, 3)))
    norm = model.backbone.body['bn1']
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0).detach())
    assert norm.momentum == 0.1


def test_detections_are_in_coco_form(tmp_path):
    coco = coco_of(tmp_path, count=3)
    settings = dataclasses.replace(TINY_MODEL, masks=True)
    torch.manual_seed(0)
    model = build_detector(18, 2, settings)
    data = DetectionImages(coco, (96,), 200, False)
    found = detect(model, data, CPU)
    assert found and {item['category_id'] for item in found} <= {7, 9}
    for item in found:
        x, y, w, h = item['bbox']
        assert -1e-3 <= x <= x + w <= 60 + 1e-3 and -1e-3 <= y <= y + h <= 48 + 1e-3
        assert rle.decode(item['segmentation']).shape == (48, 60)
    assert set(average_precision(coco, found, True)) == {'bbox', 'segm'}


def test_the_picture_shows_what_was_found(tmp_path):
    coco = coco_of(tmp_path, count=3)
    items = coco['annotations']
    found = [detection(1, items[0]['bbox'], 0.9, 7), detection(2, items[1]['bbox'], 0.2, 7)]
    draw_predictions(coco, found, tmp_path / 'picture.png', 3)
    picture = np.asarray(Image.open(tmp_path / 'picture.png')).astype(int)
    blue = (picture == [0x00, 0x72, 0xB2]).all(-1)  # the first class's colour
    first, others = blue[:, :328], blue[:, 328:]
    assert not others.any()  # a score of 0.2 is not shown
    x, _, w, _ = (320 / 60 * value for value in items[0]['bbox'])
    columns = np.flatnonzero(first.any(0)) - 8
    assert abs(columns.min() - x) <= 2 and columns.max() >= x + w - 2


# --- scripts


@pytest.fixture
def tool(monkeypatch) -> Callable[..., dict]:
    """train.py with a command line, in this process."""

    def with_arguments(*arguments: object) -> dict:
        monkeypatch.setattr(sys, 'argv', ['train.py', *map(str, arguments)])
        return run_path(str(ENGINE / 'train.py'))

    return with_arguments


def test_the_voc_script_from_a_checkpoint_to_results(voc, tmp_path, tool, capsys):
    checkpoint, out = tmp_path / 'epoch_3.pth', tmp_path / 'out'
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
    table = run.stdout.splitlines()
    assert any('| AP50 |' in line for line in table)
    results = json.loads((out / 'results.json').read_text())
    assert (results['engine'], results['task']) == ('torchvision', 'voc')
    assert results['config'] == 'faster_rcnn_r18_fpn_voc-small'
    assert results['weights']['sha256'] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    (trial,) = results['trials']
    assert trial['seed'] == 3 and trial['settings']['recipe']['iterations'] == 2
    assert 0 <= results['mean']['bbox']['AP'] <= 100 and results['std'] is None
    assert (out / 'predictions.png').stat().st_size > 1000
    assert len(losses_in(out / 'seed_3')) == 2
    # A finished trial is not run again; another number of iterations is another run.
    tool('voc', '--init', checkpoint, *options)['main']()
    assert 'training [' not in capsys.readouterr().err
    assert json.loads((out / 'results.json').read_text()) == results
    with pytest.raises(ValueError, match='other settings'):
        tool('voc', '--init', checkpoint, *options, '--iterations', '4')['main']()


def test_where_the_weights_come_from(tool, tmp_path, monkeypatch):
    def read_init(*arguments: object) -> tuple:
        module = tool('voc', '--work-dir', tmp_path / 'out', *arguments)
        return module['read_init'](module['parse_args'](), CPU)

    assert read_init('--init', 'random') == (None, dict(depth=50, stem='7x7'))
    # torchvision's oldest files have no batch counters.
    weights = {k: v for k, v in resnet18().state_dict().items() if 'num_batches' not in k}
    monkeypatch.setattr(torch.hub, '_hub_dir', str(tmp_path / 'hub'))
    downloaded = tmp_path / 'hub/checkpoints/resnet18-f37072fd.pth'
    downloaded.parent.mkdir(parents=True)
    torch.save(weights, downloaded)
    found, provenance = read_init('--init', 'torchvision', '--depth', '18')
    assert provenance['source'] == downloaded.name and provenance['depth'] == 18
    assert len(found) == 120 and torch.equal(found['conv1.weight'], weights['conv1.weight'])
    with pytest.raises(ValueError, match='ResNet-18; expected 50'):
        read_init('--init', downloaded, '--depth', '50')


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['voc', '--voc-root', 'nowhere', '--init', 'random'], 'VOC2007/ImageSets/Main/trainval'),
        (['coco', '--coco-root', 'nowhere', '--init', 'random'], 'instances_train2017.json'),
        (['scenes', '--scenes-root', 'nowhere', '--init', 'random'], 'instances_train.json'),
    ],
)
def test_missing_data_are_named(tool, arguments, words):
    with pytest.raises(FileNotFoundError, match=words):
        tool(*arguments)['main']()


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['voc', '--init', 'random', '--trials', '0'], '--trials must be at least 1, got 0'),
        (['scenes', '--init', 'random', '--small'], 'the scenes are small'),
        (['voc'], 'required: --init'),
    ],
)
def test_bad_arguments(tool, capsys, arguments, words):
    with pytest.raises(SystemExit):
        tool(*arguments)['main']()
    assert words in capsys.readouterr().err


def test_the_learning_rate_goes_with_the_batch_size(tool):
    module = tool('voc', '--init', 'random', '--batch-size', '8', '--iterations', '240')
    name, recipe = module['choose_recipe'](module['parse_args']())
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
