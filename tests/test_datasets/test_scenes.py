import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from scipy import stats

from mmjoint.datasets import make_scenes, scenes, textures
from mmjoint.evaluation import knn_accuracy, linear_accuracy

ROOT = Path(__file__).resolve().parents[2]
NUM_TRAIN, NUM_VAL = 400, 40


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_scenes(tmp_path_factory.mktemp('scenes') / 'set', NUM_TRAIN, NUM_VAL)


@pytest.fixture(scope='module')
def coco(root):
    return COCO(root / 'annotations/instances_train.json')


def digest(root):
    files = sorted(path for path in root.rglob('*') if path.is_file())
    content = hashlib.sha256()
    for path in files:
        content.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return len(files), content.hexdigest()


@pytest.fixture(scope='module')
def objects(coco, root):
    """Each training image, its annotation and its mask as pycocotools decodes it."""
    return [
        (
            cv2.imread(str(root / 'train' / coco.imgs[annotation['image_id']]['file_name'])),
            annotation,
            coco.annToMask(annotation),
        )
        for annotation in coco.dataset['annotations']
    ]


def test_same_arguments_same_bytes(tmp_path):
    first, again = (make_scenes(tmp_path / name, 40, 10) for name in ('first', 'again'))
    assert digest(again) == digest(first)
    assert digest(first)[0] == 40 + 10 + 3


def test_longer_set_begins_with_the_shorter(root, tmp_path):
    short = make_scenes(tmp_path / 'short', 20, 10)
    for path in short.rglob('*.jpg'):
        assert path.read_bytes() == (root / path.relative_to(short)).read_bytes()


def test_no_image_twice(root, tmp_path):
    other = make_scenes(tmp_path / 'other', 20, 10, seed=1)
    images = [path.read_bytes() for folder in (root, other) for path in folder.rglob('*.jpg')]
    assert len(set(images)) == NUM_TRAIN + NUM_VAL + 30


@pytest.mark.parametrize('split, count', [('train', NUM_TRAIN), ('val', NUM_VAL)])
def test_folders_and_annotations_agree(root, split, count):
    coco = COCO(root / f'annotations/instances_{split}.json')
    assert [category['name'] for category in coco.dataset['categories']] == list(scenes.CLASSES)
    for name in scenes.CLASSES:
        assert len(list((root / split / name).iterdir())) == count // 10
    files = {str(path.relative_to(root / split)) for path in (root / split).rglob('*.jpg')}
    assert {image['file_name'] for image in coco.dataset['images']} == files
    for annotation in coco.dataset['annotations']:
        image = coco.imgs[annotation['image_id']]
        category = coco.cats[annotation['category_id']]['name']
        assert image['file_name'].startswith(f'{category}/')
        assert cv2.imread(str(root / split / image['file_name'])).shape == (64, 64, 3)
        assert (image['height'], image['width']) == (64, 64)


def test_classes_sort_as_folders_do():
    """A folder reader numbers the classes by their sorted names."""
    assert list(scenes.CLASSES) == sorted(scenes.CLASSES)
    assert len(scenes.CLASSES) == 10


def test_boxes_and_areas_fit_the_masks(objects):
    insets, areas = [], []
    for _, annotation, mask in objects:
        left, top, width, height = annotation['bbox']
        assert min(left, top) >= 0 and max(left + width, top + height) <= 64
        rows, columns = np.nonzero(mask)
        right, bottom = columns.max() + 1, rows.max() + 1
        inset = columns.min() - left, rows.min() - top, left + width - right, top + height - bottom
        insets.append(inset)
        areas.append((annotation['area'], mask.sum()))
        assert 0.22**2 - 1e-3 < annotation['area'] / 64**2 < 0.44**2 + 1e-3
        assert annotation['iscrowd'] == 0
    # A pixel belongs to the mask if its middle does, so the mask's extent is rounded by half a
    # pixel; tips end where they are thinner than a pixel, a disc has none.
    insets = np.array(insets)
    assert insets.min() > -0.52
    assert insets.max() < 2.5
    categories = np.array([annotation['category_id'] for _, annotation, _ in objects])
    assert insets[categories == scenes.CLASSES.index('circle') + 1].max() < 0.52
    # A pixel that is counted wrongly has its middle within half its diagonal of the outline.
    exact, counted = np.array(areas).T
    polygons = [np.reshape(own['segmentation'][0], (-1, 2)) for _, own, _ in objects]
    lengths = [np.linalg.norm(p - np.roll(p, 1, 0), axis=1).sum() for p in polygons]
    assert (np.abs(exact - counted) < np.sqrt(0.5) * np.array(lengths)).all()
    assert counted.mean() == pytest.approx(exact.mean(), rel=0.01)


def test_ring_has_a_hole(objects):
    ring = scenes.CLASSES.index('ring') + 1
    for _, annotation, mask in objects:
        left, top, width, height = annotation['bbox']
        middle = mask[round(top + height / 2), round(left + width / 2)]
        if annotation['category_id'] == ring:
            assert middle == 0
            # Between radii 0.55 and 1; stretched and turned it fills less of its box.
            share = np.pi / 4 * (1 - 0.55**2)
            assert mask.sum() / (width * height) == pytest.approx(share, rel=0.12)


def edges(image, outline):
    """Return the mean gradient of an image's strongest channel along an outline."""
    image = image.astype(np.float32)
    gradient = np.hypot(cv2.Sobel(image, -1, 1, 0), cv2.Sobel(image, -1, 0, 1)).max(2)
    return gradient[outline > 0].mean()


def plain(u, v, rng):
    return np.zeros_like(u)


def test_masks_lie_on_the_pixels(monkeypatch):
    """Where nothing has a pattern, the edges are where the mask's are, not two pixels beside."""
    monkeypatch.setattr(scenes, 'TEXTURES', dict.fromkeys(scenes.TEXTURES, plain))
    on_it, off = [], []
    for index in range(200):
        image, outlines = scenes.render_scene(np.random.default_rng(index), index % 10, 64)
        for points in outlines:
            rle = coco_mask.frPyObjects([points.flatten().tolist()], 64, 64)
            mask = coco_mask.decode(rle)[..., 0]
            ring = cv2.dilate(mask, np.ones((5, 5), np.uint8)) - mask
            if np.abs(image[mask > 0].mean(0) - image[ring > 0].mean(0)).max() < 50:
                continue  # hardly seen on its ground
            outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
            shifts = (((2, 0), (0, 1)), ((-2, 0), (0, 1)), ((0, 2), (0, 1)), ((0, -2), (0, 1)))
            on_it.append(edges(image, outline))
            off.append([edges(image, np.roll(outline, *shift)) for shift in shifts])
    on_it, off = np.array(on_it), np.array(off)
    assert len(on_it) > 100
    for shifted in off.T:
        assert (on_it > shifted).mean() > 0.95
        assert np.mean(shifted / on_it) < 0.9
    # No side is favored, as one would be if the mask were half a pixel off.
    assert np.abs(off.mean(0) / off.mean() - 1).max() < 0.05


def test_one_to_three_objects_apart(coco):
    counts = []
    for image in coco.imgs:
        masks = [coco.annToMask(own) for own in coco.imgToAnns[image]]
        assert sum(masks).max() == 1
        counts.append(len(masks))
    # Each number as often as the others, to four standard deviations.
    assert np.bincount(counts, minlength=4)[0] == 0 and max(counts) == 3
    expected = len(counts) / 3
    assert np.abs(np.bincount(counts)[1:] - expected).max() < 4 * np.sqrt(expected * 2 / 3)


def test_class_tells_nothing_of_area_place_or_color(objects):
    """Kruskal-Wallis over the ten classes; the eight tests together at a level of 0.001."""
    names = ('area', 'x', 'y', 'off_center', 'blue', 'green', 'red', 'background')
    measured = {name: [] for name in names}
    labels = []
    for image, annotation, mask in objects:
        polygon = np.array(annotation['segmentation'][0]).reshape(-1, 2)
        center, _ = cv2.minEnclosingCircle(polygon.astype(np.float32))
        colors = image[mask > 0].mean(0)
        off_center = np.abs(np.subtract(center, 32)).max()
        background = image[mask == 0].mean()
        values = (annotation['area'], *center, off_center, *colors, background)
        for name, value in zip(measured, values, strict=True):
            measured[name].append(value)
        labels.append(annotation['category_id'])
    labels = np.array(labels)
    for name, values in measured.items():
        values = np.array(values)
        groups = [values[labels == label] for label in np.unique(labels)]
        assert stats.kruskal(*groups).pvalue > 1e-3 / len(names), name
        assert values.std() > 0.05 * np.abs(values).mean(), name  # it does vary


def test_orientation_is_uniform(coco):
    """The angle by which each outline's first corner is turned about the middle."""
    angles = []
    for annotation in coco.dataset['annotations']:
        polygon = np.array(annotation['segmentation'][0]).reshape(-1, 2)
        outline = list(scenes.OUTLINES.values())[annotation['category_id'] - 1]
        turned, straight = ((points[0] - points.mean(0)) @ (1, 1j) for points in (polygon, outline))
        angles.append(np.angle(turned / straight))
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3


@pytest.mark.parametrize('name', textures.TEXTURES)
def test_textures_repeat_in_periods_of_their_own(name):
    """Levels are in [0, 1], vary within two periods, and do not depend on the whole part."""
    texture = textures.TEXTURES[name]
    y, x = np.mgrid[:32, :32] / 16.0 + 0.03
    y += 0.011  # no coordinate lies on an edge
    level, later = (
        np.asarray(texture(x + shift, y, np.random.default_rng(0)), float)
        for shift in (0, 3 * 4 * textures.TABLE)
    )
    assert level.shape == x.shape and 0 <= level.min() < 0.4 < 0.6 < level.max() <= 1
    np.testing.assert_allclose(level, later, atol=1e-3)


def test_surroundings_are_mostly_those_of_the_class(monkeypatch):
    """85 of 100 images have the ground of their class, the others any class's."""
    drawn = []

    def ground(rng, texture, size):
        drawn.append(texture)
        return np.zeros((size, size, 3), np.float32)

    monkeypatch.setattr(scenes, '_ground', ground)
    for index in range(250):
        scenes.render_scene(np.random.default_rng(index), index % 10, 32)
    looks = [scenes.LOOKS[scenes.CLASSES[i % 10]][1] for i in range(250)]
    own = [scenes.TEXTURES[name] is texture for name, texture in zip(looks, drawn, strict=True)]
    expected = 0.85 + 0.15 / 10
    assert np.mean(own) == pytest.approx(expected, abs=4 * np.sqrt(expected * 0.135 / 250))


def read_split(folder):
    """Return the images of a split, small and as they are, and their labels."""
    images, labels = [], []
    for label, name in enumerate(scenes.CLASSES):
        for path in sorted((folder / name).iterdir()):
            images.append(cv2.imread(str(path)))
            labels.append(label)
    return np.stack(images), torch.tensor(labels)


def color_histogram(image):
    """Return the shares of 6 x 6 x 6 colors and of 32 levels of each channel."""
    joint = np.histogramdd(image.reshape(-1, 3), bins=6, range=[(0, 256)] * 3)[0].ravel()
    each = [np.histogram(image[..., c], 32, (0, 256))[0] for c in range(3)]
    return np.concatenate([joint, *each]) / image[..., 0].size


def small(image):
    return cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).ravel() / 255


@pytest.mark.slow
@pytest.mark.parametrize('describe, limit', [(small, 20), (color_histogram, 30)])
def test_neither_pixels_nor_colors_tell_the_class(tmp_path, describe, limit):
    """A linear classifier and kNN on them stay near chance, which is 10 percent."""
    root = make_scenes(tmp_path / 'set', 2000, 600)
    parts = []
    for split in ('train', 'val'):
        images, labels = read_split(root / split)
        parts += [torch.tensor(np.stack([describe(i) for i in images])).float(), labels]
    assert linear_accuracy(*parts)['top1'] < limit
    assert knn_accuracy(*parts)['top1'] < limit


@pytest.mark.parametrize('size', [32, 96, 256])
def test_other_sizes(tmp_path, size):
    root = make_scenes(tmp_path / 'set', 10, 10, size=size)
    coco = COCO(root / 'annotations/instances_val.json')
    for annotation in coco.dataset['annotations']:
        mask = coco.annToMask(annotation)
        assert mask.shape == (size, size)
        assert 0.03 < mask.sum() / size**2 < 0.21


def test_second_call_is_a_no_op(root):
    before = digest(root), (root / 'train').stat().st_mtime_ns
    assert make_scenes(root, NUM_TRAIN, NUM_VAL) == root
    assert before == (digest(root), (root / 'train').stat().st_mtime_ns)


def test_other_arguments_are_refused(root, tmp_path):
    before = digest(root)
    with pytest.raises(FileExistsError, match=r"other arguments \(.*'seed': 0.*'seed': 7.*remove"):
        make_scenes(root, NUM_TRAIN, NUM_VAL, seed=7)
    assert digest(root) == before

    photos = tmp_path / 'photos'
    photos.mkdir()
    (photos / 'mine.jpg').write_text('precious')
    with pytest.raises(FileExistsError, match='photos exists and is not a folder of scenes'):
        make_scenes(photos)
    assert (photos / 'mine.jpg').read_text() == 'precious'


def test_failure_leaves_nothing(tmp_path, full_disk):
    with full_disk(1000), pytest.raises(OSError, match='cannot write .*set: File too large'):
        make_scenes(tmp_path / 'set', 10, 10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(num_train=9), 'num_train is 9; it must be an integer from 10'),
        (dict(num_val=0), 'num_val is 0'),
        (dict(num_val=10.0), 'num_val is 10.0'),
        (dict(size=31), 'size is 31; it must be an integer from 32 to 256'),
        (dict(size=True), 'size is True'),
        (dict(seed=-1), 'seed is -1'),
        (dict(seed=None), 'seed is None'),
    ],
)
def test_bad_arguments(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        make_scenes(tmp_path / 'set', **change)
    assert list(tmp_path.iterdir()) == []


def test_tool(tmp_path, run_tool):
    out = tmp_path / 'new/set'
    arguments = ['--train', 20, '--val', 10]
    status, _, err = run_tool('make_scenes.py', out, *arguments, '--size', 48, '--seed', 3)
    assert status == 0, err
    meta = json.loads((out / 'scenes.json').read_text())
    expected = {'num_train': 20, 'num_val': 10, 'size': 48, 'seed': 3}
    assert meta == {'format': scenes.FORMAT, **expected}

    status, _, err = run_tool('make_scenes.py', out, *arguments)
    assert status == 1
    assert err.splitlines()[-1].startswith(f'error: {out} holds scenes of other arguments')
    assert 'Traceback' not in err
