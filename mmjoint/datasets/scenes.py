"""The embedded data set: small generated scenes with labels, boxes and masks.

One dominant object from one of ten shape classes lies on a background of gradients, noise, stripes
or photo texture. Area, position, rotation, color and texture are drawn in the same way for every
class, so only the silhouette shows the class.
"""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np

from ..utils.files import whole_folder

# Increase it when the same arguments give other pixels, so that old folders are not reused.
FORMAT = 3
META_FILE = 'scenes.json'
# Public-domain (CC0, NASA, SpaceX) photos among those that scikit-image's wheel ships.
PHOTOS = (
    'astronaut.png',
    'brick.png',
    'camera.png',
    'chelsea.png',
    'coffee.png',
    'grass.png',
    'gravel.png',
    'rocket.jpg',
)
# The object's side (the square root of its area) and its margin, relative to the image's side.
SIDE_RANGE = (0.36, 0.5)
MARGIN = 0.015
# The smallest distance of the object's mean color from that of the background that it covers.
MIN_CONTRAST = 90
BACKGROUND_PHOTO_SHARE = 0.5
OBJECT_PHOTO_SHARE = 0.2
# Colors found in the photos.
PHOTO_SATURATION = 0.3
SUPERSAMPLING = 4
JPEG_QUALITY = 95


def _arc(radius: float, start: float, stop: float, points: int = 48) -> np.ndarray:
    angles = np.linspace(start, stop, points)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _spokes(radii: tuple[float, ...], arms: int) -> np.ndarray:
    """Return the polygon whose corners have the given radii in turn, at equal angles."""
    count = arms * len(radii)
    angles = np.arange(count) * 2 * np.pi / count
    return np.resize(radii, count)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _outlines() -> dict[str, np.ndarray]:
    """Return each class's outline: a polygon of area 1 around its bounding circle's center."""
    turn = 2 * np.pi
    t = np.linspace(0, turn, 64, endpoint=False)
    # The inner contour runs backwards and is connected by a bridge of zero width, so that one COCO
    # polygon has a hole.
    ring = np.concatenate([_arc(1, 0, turn), _arc(0.55, turn, 0)])
    # The crescent's inner arc is half a circle on the chord between its tips, at angles +-tip.
    tip = 1.05
    inner = _arc(np.sin(tip), 1.5 * np.pi, 0.5 * np.pi)
    outlines = {
        'arrow': [(1, 0), (0.1, 0.8), (0.1, 0.3), (-1, 0.3), (-1, -0.3), (0.1, -0.3), (0.1, -0.8)],
        'circle': _arc(1, 0, turn)[:-1],
        'crescent': np.concatenate([_arc(1, tip, turn - tip), inner + (np.cos(tip), 0)]),
        'cross': [
            *[(1, -0.3), (1, 0.3), (0.3, 0.3), (0.3, 1), (-0.3, 1), (-0.3, 0.3)],
            *[(-1, 0.3), (-1, -0.3), (-0.3, -0.3), (-0.3, -1), (0.3, -1), (0.3, -0.3)],
        ],
        'half_disc': _arc(1, 0, np.pi),
        'heart': np.stack(
            [
                16 * np.sin(t) ** 3,
                13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t),
            ],
            axis=1,
        ),
        'ring': ring,
        'square': _spokes((1,), 4),
        'star': _spokes((1, 0.42), 5),
        'triangle': _spokes((1,), 3),
    }
    return {name: _normalize(np.asarray(points)) for name, points in outlines.items()}


def _normalize(points: np.ndarray) -> np.ndarray:
    points = points / np.sqrt(_area(points))
    center, _ = cv2.minEnclosingCircle(points.astype(np.float32))
    return points - center


def _area(points: np.ndarray) -> float:
    """Return a polygon's area by the shoelace formula."""
    x, y = points.T
    return abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


OUTLINES = _outlines()
CLASSES = tuple(OUTLINES)
_REACH = max(np.linalg.norm(points, axis=1).max() for points in OUTLINES.values())


def _photos() -> list[np.ndarray]:
    spec = importlib.util.find_spec('skimage')
    folders = (spec and spec.submodule_search_locations) or []
    if not folders:
        raise FileNotFoundError(
            'scikit-image, whose wheel ships the photos that make_scenes takes texture from, is '
            'not installed: pip install scikit-image'
        )
    photos = []
    for name in PHOTOS:
        path = Path(folders[0]) / 'data' / name
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if photo is None:
            raise FileNotFoundError(
                f'{path}: missing or unreadable; make_scenes takes photo texture from the files '
                'of the scikit-image release named in requirements.txt'
            )
        photos.append(photo)
    return photos


def _tint(rng: np.random.Generator) -> np.ndarray:
    # Colors are muted: a vivid color identifies an image, and a contrastive network then learns
    # nothing else in the few epochs for which this data set is made.
    return rng.normal(0, 8, 3)


def _color(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(30, 225) + _tint(rng)


def _texture(
    rng: np.random.Generator, size: int, photos: list[np.ndarray], photo_share: float
) -> np.ndarray:
    """Return a float BGR image: a crop of a photo, a gradient, noise or stripes."""
    if rng.uniform() < photo_share:
        return _photo_crop(rng, size, photos)
    kind = rng.choice(['gradient', 'noise', 'stripes'])
    if kind == 'noise':
        cells = int(rng.integers(3, size // 2))
        noise = rng.uniform(size=(cells, cells)).astype(np.float32)
        level = cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
    else:
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[:size, :size] / size - 0.5
        along = x * np.cos(angle) + y * np.sin(angle)
        if kind == 'gradient':
            level = along + 0.5
        else:
            level = np.sin(2 * np.pi * (along * rng.uniform(3, 12) + rng.uniform()))
            level = 0.5 + np.clip(level * rng.uniform(0.5, 3), -0.5, 0.5)
    first, second = _color(rng), _color(rng)
    return first + level[..., None] * (second - first) * rng.uniform(0.05, 0.4)


def _photo_crop(rng: np.random.Generator, size: int, photos: list[np.ndarray]) -> np.ndarray:
    photo = photos[rng.integers(len(photos))]
    height, width = photo.shape[:2]
    side = int(rng.integers(min(size, height, width), min(height, width) + 1))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = photo[top : top + side, left : left + side]
    crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    crop = np.rot90(crop, int(rng.integers(4))).astype(np.float64)
    gray = crop.mean(2, keepdims=True)
    return gray + PHOTO_SATURATION * (crop - gray) + _tint(rng)


def _coverage(points: np.ndarray, size: int) -> np.ndarray:
    """Return each pixel's share that a polygon covers, in COCO's coordinates (corners at 0)."""
    fine = np.zeros((size * SUPERSAMPLING, size * SUPERSAMPLING), np.uint8)
    # fillPoly has pixel centers at whole numbers and takes fixed point with 8 fraction bits.
    corners = np.round((points * SUPERSAMPLING - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(fine, [corners], 255, shift=8)
    return cv2.resize(fine, (size, size), interpolation=cv2.INTER_AREA)[..., None] / 255


def _place(
    rng: np.random.Generator, outline: np.ndarray, side: float, low: float, high: float
) -> np.ndarray:
    """Return the outline with the given side, randomly rotated, its center in [low, high]^2."""
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return outline @ (side * turn.T) + rng.uniform(low, high, 2)


def render_scene(
    rng: np.random.Generator, label: int, size: int, photos: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one scene.

    Args:
        rng (numpy.random.Generator): Generator of all random numbers.
        label (int): The object's class, an index into ``CLASSES``.
        size (int): The image's side in pixels.
        photos (list[numpy.ndarray]): HWC BGR uint8 images for texture, each side at least ``size``.

    Returns:
        tuple[numpy.ndarray, numpy.ndarray]: The HWC BGR uint8 image, and the object's outline: a
        polygon of (x, y) in pixels, where the image's corner is (0, 0).
    """
    image = _texture(rng, size, photos, BACKGROUND_PHOTO_SHARE)
    for _ in range(rng.integers(0, 7)):
        clutter = rng.normal(size=(rng.integers(3, 7), 2)) * rng.uniform(0.01, 0.05) * size
        share = _coverage(clutter + rng.uniform(0, size, 2), size)
        image = image + share * (_color(rng) - image)

    side = rng.uniform(*SIDE_RANGE) * size
    # One bound for all classes, so that the object's position says nothing about its class.
    bound = side * _REACH + MARGIN * size
    points = _place(rng, list(OUTLINES.values())[label], side, bound, size - bound)
    share = _coverage(points, size)
    behind = (share * image).sum((0, 1)) / share.sum()
    while True:
        surface = _texture(rng, size, photos, OBJECT_PHOTO_SHARE)
        mean = (share * surface).sum((0, 1)) / share.sum()
        if np.linalg.norm(mean - behind) >= MIN_CONTRAST:
            break
    image = image + share * (surface - image)
    image = image + rng.normal(0, 3, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), points


def make_scenes(
    root: str | Path,
    num_train: int = 4000,
    num_val: int = 1000,
    size: int = 64,
    seed: int = 0,
) -> Path:
    """Generate the embedded data set, without a download; equal arguments give equal bytes.

    The folder is an ordinary image folder, ``{train,val}/<class>/<id>.jpg``, and
    ``annotations/instances_{train,val}.json`` are COCO files with file names relative to ``train``
    and ``val``. A second call with the same arguments does not change the folder. The folder
    appears only when it is complete.

    Equal bytes require the same release of NumPy, OpenCV and scikit-image, whose wheel ships the
    photos.

    Args:
        root (str | Path): The folder to make.
        num_train (int): Number of training images, at least 10; the classes take turns. Defaults to
            4000.
        num_val (int): Number of validation images, at least 10. Defaults to 1000.
        size (int): The images' side in pixels, 32 to 256. Defaults to 64.
        seed (int): Seed of all random numbers, not negative. Defaults to 0.

    Returns:
        Path: The folder.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If the folder contains something else, or scenes of other arguments.
        FileNotFoundError: If scikit-image is not installed or lacks one of the photos.
    """
    root = Path(root)
    limits = {
        'num_train': (num_train, len(CLASSES), 10**6),
        'num_val': (num_val, len(CLASSES), 10**6),
        'size': (size, 32, 256),
        'seed': (seed, 0, 2**32 - 1),
    }
    for name, (value, low, high) in limits.items():
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f'{name} is {value!r}; it must be an integer from {low} to {high}')
    meta = {'format': FORMAT} | {name: value for name, (value, _, _) in limits.items()}
    if root.exists():
        _check_same(root, meta)
        return root

    with whole_folder(root) as aside:
        photos = _photos()
        for stream, (split, count) in enumerate((('train', num_train), ('val', num_val))):
            _write_split(aside, split, count, size, (seed, stream), photos)
        (aside / META_FILE).write_text(json.dumps(meta, indent=2) + '\n')
    return root


def _check_same(root: Path, meta: dict) -> None:
    try:
        found = json.loads((root / META_FILE).read_text())
    except (OSError, ValueError):
        raise FileExistsError(
            f'{root} exists and is not a folder of scenes; name a new folder'
        ) from None
    if found != meta:
        raise FileExistsError(
            f'{root} holds scenes of other arguments ({found} instead of {meta}); '
            'remove it or name a new folder'
        )


def _write_split(
    root: Path,
    split: str,
    count: int,
    size: int,
    seed: tuple[int, int],
    photos: list[np.ndarray],
) -> None:
    images, annotations = [], []
    for name in CLASSES:
        (root / split / name).mkdir(parents=True)
    for index in range(count):
        label = index % len(CLASSES)
        # One generator per image, so that a longer set starts with the shorter one.
        rng = np.random.default_rng([*seed, index])
        image, points = render_scene(rng, label, size, photos)
        file_name = f'{CLASSES[label]}/{index:06d}.jpg'
        encoded = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        (root / split / file_name).write_bytes(encoded.tobytes())

        points = points.round(2)
        left, top = points.min(0)
        width, height = points.max(0) - (left, top)
        images.append({'id': index + 1, 'file_name': file_name, 'width': size, 'height': size})
        annotations.append(
            {
                'id': index + 1,
                'image_id': index + 1,
                'category_id': label + 1,
                'bbox': [round(float(value), 2) for value in (left, top, width, height)],
                'area': round(float(_area(points)), 2),
                'iscrowd': 0,
                'segmentation': [points.flatten().tolist()],
            }
        )
    content = {
        'info': {'description': f"mmjoint's generated scenes, {split}"},
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': [
            {'id': label + 1, 'name': name, 'supercategory': 'shape'}
            for label, name in enumerate(CLASSES)
        ],
    }
    path = root / 'annotations' / f'instances_{split}.json'
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
