import hashlib
import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from scipy import stats

from mmjoint.datasets import make_scenes, scenes

ROOT = Path(__file__).resolve().parents[2]
NUM_TRAIN, NUM_VAL = 600, 40


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


def test_same_arguments_same_bytes(root, tmp_path):
    again = make_scenes(tmp_path / 'again', NUM_TRAIN, NUM_VAL)
    assert digest(again) == digest(root)
    assert digest(root)[0] == NUM_TRAIN + NUM_VAL + 3


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
        assert 0.36**2 - 1e-4 < annotation['area'] / 64**2 < 0.5**2 + 1e-4
        assert annotation['iscrowd'] == 0
    # A pixel belongs to the mask if its middle does, so the mask's extent is rounded by half a
    # pixel; tips end where they are thinner than a pixel, a disc has none.
    insets = np.array(insets)
    assert insets.min() > -0.52
    assert insets.max() < 2.5
    categories = np.array([annotation['category_id'] for _, annotation, _ in objects])
    assert insets[categories == scenes.CLASSES.index('circle') + 1].max() < 0.52
    # Upright, each side of the box may win or lose half a pixel at most; on average it does not.
    exact, counted = np.array(areas).T
    half_pixel = [sum(annotation['bbox'][2:]) / 2 for _, annotation, _ in objects]
    assert (np.abs(exact - counted) < half_pixel).all()
    assert counted.mean() == pytest.approx(exact.mean(), rel=0.005)


def test_ring_has_a_hole(objects):
    ring = scenes.CLASSES.index('ring') + 1
    for _, annotation, mask in objects:
        left, top, width, height = annotation['bbox']
        middle = mask[round(top + height / 2), round(left + width / 2)]
        if annotation['category_id'] == ring:
            assert middle == 0
            # Between radii 0.55 and 1.
            assert mask.sum() / width**2 == pytest.approx(np.pi / 4 * (1 - 0.55**2), rel=0.1)


def edges(image, outline):
    """Return the mean gradient of an image's strongest channel along an outline."""
    image = image.astype(np.float32)
    gradient = np.hypot(cv2.Sobel(image, -1, 1, 0), cv2.Sobel(image, -1, 0, 1)).max(2)
    return gradient[outline > 0].mean()


def test_masks_lie_on_the_pixels(objects):
    """The image's edges are where the mask's are, and not two pixels beside."""
    on_it, off = [], []
    for image, _, mask in objects:
        outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        on_it.append(edges(image, outline))
        off.append([edges(image, np.roll(outline, s, (0, 1))) for s in ((2, 0), (-2, 0), (0, 2))])
        off[-1].append(edges(image, np.roll(outline, (0, -2), (0, 1))))
    on_it, off = np.array(on_it), np.array(off)
    for shifted in off.T:
        assert (on_it > shifted).mean() > 0.9
        assert np.mean(shifted / on_it) < 0.9
    # No side is favoured, as one would be if the mask were half a pixel off.
    assert np.abs(off.mean(0) / off.mean() - 1).max() < 0.03


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


def test_objects_stand_out(objects):
    for image, _, mask in objects:
        inside = image[mask > 0].mean(0)
        ring = cv2.dilate(mask, np.ones((7, 7), np.uint8)) - mask
        assert np.abs(inside - image[ring > 0].mean(0)).max() > 5
    contrast = [
        np.linalg.norm(image[mask > 0].mean(0) - image[mask == 0].mean(0))
        for image, _, mask in objects
    ]
    assert np.median(contrast) > 90


@pytest.mark.parametrize('size', [32, 96, 256])
def test_other_sizes(tmp_path, size):
    root = make_scenes(tmp_path / 'set', 10, 10, size=size)
    coco = COCO(root / 'annotations/instances_val.json')
    for annotation in coco.dataset['annotations']:
        mask = coco.annToMask(annotation)
        assert mask.shape == (size, size)
        assert 0.12 < mask.sum() / size**2 < 0.26


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


def test_photos_that_are_not_there(tmp_path, monkeypatch):
    spec = importlib.util.find_spec('skimage')
    monkeypatch.setattr(spec, 'submodule_search_locations', [str(tmp_path)])
    monkeypatch.setattr(scenes.importlib.util, 'find_spec', lambda name: spec)
    with pytest.raises(FileNotFoundError, match='astronaut.png: missing or unreadable'):
        make_scenes(tmp_path / 'set')
    monkeypatch.setattr(scenes.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(FileNotFoundError, match='pip install scikit-image'):
        make_scenes(tmp_path / 'set')


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
