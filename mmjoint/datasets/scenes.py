"""The embedded data set: small generated scenes with labels, boxes and masks.

An image shows one to three objects of one of ten classes. As in photos, a class has a shape, a
surface and surroundings in which it is mostly found. All else varies as much within one image as
between the images of a class: each object has its own colors, scale, pose and direction, and the
ground's colors change from place to place. So neither colors nor places tell one image from the
others or one class from the others, and what two crops of an image have in common is what makes
the class.
"""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..utils.files import whole_folder
from .textures import TABLE, TEXTURES

# Increase it when the same arguments give other pixels, so that old folders are not reused.
FORMAT = 5
META_FILE = 'scenes.json'
# The objects' side, i.e. the root of their area, by their number; and their margin. Both are
# fractions of the image's side.
SIDE_RANGES = {1: (0.34, 0.44), 2: (0.26, 0.32), 3: (0.22, 0.26)}
MARGIN = 0.015
# Places of several objects are drawn this many at once, their centers apart by this share of the
# sum of their largest radii.
TRIES = 128
NEAREST = 0.65
# An object is stretched by up to this factor in one direction, and shrunk as much across.
STRETCH = 1.1
# How often the surroundings are those of the class; else they are those of any class.
TYPICAL_SHARE = 0.85
# Periods of a surface's pattern across an object's side, and of a ground's across the image.
SURFACE_PERIODS = (2.2, 3.5)
GROUND_PERIODS = (4, 7)
# The difference in brightness of a pattern's two colors.
CONTRAST = (60, 140)
# The middle of the two, and how far a channel may be from the color's mean.
BRIGHTNESS = (75, 180)
HUE = 60
# The ground's colors are drawn on a grid of so many points a side, and vary smoothly between them:
# no color is that of an image, so none tells one image from the others.
COLOR_GRID = 4
NOISE = 5
SUPERSAMPLING = 2
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
# Each class's surface and its typical ground.
LOOKS = {
    'arrow': ('stripes', 'clouds'),
    'circle': ('dots', 'streaks'),
    'crescent': ('checker', 'pebbles'),
    'cross': ('grid', 'ripples'),
    'half_disc': ('bricks', 'grain'),
    'heart': ('rings', 'blotches'),
    'ring': ('zigzag', 'stripes'),
    'square': ('blotches', 'bricks'),
    'star': ('grain', 'grid'),
    'triangle': ('triangles', 'zigzag'),
}
_REACH = max(np.linalg.norm(points, axis=1).max() for points in OUTLINES.values())


def _colors(rng: np.random.Generator, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a pattern's two colors at ``points`` x ``points`` places, BGR of any hue."""
    difference = rng.uniform(*CONTRAST) * rng.choice([-1, 1])
    middle = rng.uniform(*BRIGHTNESS, (points, points, 1))
    hues = rng.uniform(-HUE, HUE, (2, points, points, 3))
    first, second = hues - hues.mean(3, keepdims=True)
    colors = middle - difference / 2 + first, middle + difference / 2 + second
    return colors[0].astype(np.float32), colors[1].astype(np.float32)


def _levels(
    rng: np.random.Generator, texture: Callable, width: int, height: int, period: float
) -> np.ndarray:
    """Paint a texture in a random direction, from a random place; ``period`` is in pixels.

    Returns:
        numpy.ndarray: Levels in [0, 1], float32, (height, width).
    """
    angle = rng.uniform(0, 2 * np.pi)
    along, across = np.float32(np.cos(angle) / period), np.float32(np.sin(angle) / period)
    u, v = rng.uniform(0, TABLE, 2).astype(np.float32)
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    return np.float32(texture(x * along - y * across + u, x * across + y * along + v, rng))


def _shrink(fine: np.ndarray) -> np.ndarray:
    """Average the pixels of the finer image."""
    height, width = fine.shape[:2]
    size = width // SUPERSAMPLING, height // SUPERSAMPLING
    return cv2.resize(fine, size, interpolation=cv2.INTER_AREA)


def _ground(rng: np.random.Generator, texture: Callable, size: int) -> np.ndarray:
    """Return the surroundings, a float BGR image."""
    fine = size * SUPERSAMPLING
    period = fine / np.exp(rng.uniform(*np.log(GROUND_PERIODS)))
    levels = _shrink(_levels(rng, texture, fine, fine, period))[..., None]
    first, second = (
        cv2.resize(colors, (size, size), interpolation=cv2.INTER_CUBIC)
        for colors in _colors(rng, COLOR_GRID)
    )
    return first + levels * (second - first)


def _cover(
    rng: np.random.Generator, image: np.ndarray, points: np.ndarray, texture: Callable
) -> None:
    """Paint an object on the image."""
    low = np.floor(points.min(0)).astype(int)
    width, height = (np.ceil(points.max(0)).astype(int) - low) * SUPERSAMPLING
    filled = _fill(points - low, width, height).astype(np.float32)
    side = np.sqrt(_area(points)) * SUPERSAMPLING
    levels = _levels(rng, texture, width, height, side / rng.uniform(*SURFACE_PERIODS))
    share, level = (_shrink(part)[..., None] for part in (filled, filled * levels))
    first, second = _colors(rng, 1)
    window = image[low[1] :, low[0] :][: len(share), : share.shape[1]]
    window += share * (first - window) + level * (second - first)


def _pose(rng: np.random.Generator, outline: np.ndarray, side: float) -> np.ndarray:
    """Return the outline with the given side, stretched and turned at random."""
    factor = STRETCH ** rng.uniform(-1, 1)
    return side * outline @ (_turn(rng) * (factor, 1 / factor)) @ _turn(rng)


def _turn(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _fill(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return which pixels of the finer image a polygon in COCO's coordinates covers: 0 or 1."""
    image = np.zeros((height, width), np.uint8)
    # fillPoly puts pixel centers at whole numbers and takes fixed point with 8 fraction bits.
    corners = np.round((points * SUPERSAMPLING - 0.5) * 256).astype(np.int32)
    return cv2.fillPoly(image, [corners], 1, shift=8)


def _objects(rng: np.random.Generator, outline: np.ndarray, size: int) -> list[np.ndarray]:
    """Place one to three objects that do not touch; return their outlines."""
    count = int(rng.integers(1, 4))
    sides = rng.uniform(*SIDE_RANGES[count], count) * size
    # One bound for all classes, so that an object's position says nothing about its class.
    bounds = sides * STRETCH * _REACH + MARGIN * size
    near = NEAREST * (bounds + bounds[:, None]) * ~np.eye(count, dtype=bool)
    fine = size * SUPERSAMPLING
    while True:
        layouts = rng.uniform(bounds, size - bounds, (TRIES, 2, count)).swapaxes(1, 2)
        distances = np.linalg.norm(layouts[:, :, None] - layouts[:, None], axis=3)
        apart = (distances >= near).all((1, 2))
        outlines = [
            _pose(rng, outline, side) + center
            for side, center in zip(sides, layouts[apart.argmax()], strict=True)
        ]
        if count == 1:
            return outlines
        grown = [
            cv2.dilate(_fill(points, fine, fine), np.ones((3, 3), np.uint8)) for points in outlines
        ]
        if np.sum(grown, axis=0).max() == 1:
            return outlines


def render_scene(
    rng: np.random.Generator, label: int, size: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw one scene.

    Args:
        rng (numpy.random.Generator): Generator of all random numbers.
        label (int): The objects' class, an index into ``CLASSES``.
        size (int): The image's side in pixels.

    Returns:
        tuple[numpy.ndarray, list[numpy.ndarray]]: The HWC BGR uint8 image, and the objects'
        outlines: polygons of (x, y) in pixels, where the image's corner is (0, 0).
    """
    name = CLASSES[label]
    outlines = _objects(rng, OUTLINES[name], size)
    typical = label if rng.uniform() < TYPICAL_SHARE else int(rng.integers(len(CLASSES)))
    image = _ground(rng, TEXTURES[LOOKS[CLASSES[typical]][1]], size)
    for points in outlines:
        _cover(rng, image, points, TEXTURES[LOOKS[name][0]])
    image += NOISE * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), outlines


def make_scenes(
    root: str | Path,
    num_train: int = 2500,
    num_val: int = 1000,
    size: int = 64,
    seed: int = 0,
) -> Path:
    """Generate the embedded data set, without a download; equal arguments give equal bytes.

    The folder is an ordinary image folder, ``{train,val}/<class>/<id>.jpg``, and
    ``annotations/instances_{train,val}.json`` are COCO files with file names relative to ``train``
    and ``val``. A second call with the same arguments does not change the folder. The folder
    appears only when it is complete.

    Equal bytes require the same release of NumPy and OpenCV.

    Args:
        root (str | Path): The folder to make.
        num_train (int): Number of training images, at least 10; the classes take turns. Defaults to
            2500.
        num_val (int): Number of validation images, at least 10. Defaults to 1000.
        size (int): The images' side in pixels, 32 to 256. Defaults to 64.
        seed (int): Seed of all random numbers, not negative. Defaults to 0.

    Returns:
        Path: The folder.

    Raises:
        ValueError: If an argument is out of range.
        FileExistsError: If the folder contains something else, or scenes of other arguments.
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
        for stream, (split, count) in enumerate((('train', num_train), ('val', num_val))):
            _write_split(aside, split, count, size, (seed, stream))
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


def _write_split(root: Path, split: str, count: int, size: int, seed: tuple[int, int]) -> None:
    images: list[dict] = []
    annotations: list[dict] = []
    for name in CLASSES:
        (root / split / name).mkdir(parents=True)
    for index in range(count):
        label = index % len(CLASSES)
        # One generator per image, so that a longer set starts with the shorter one.
        rng = np.random.default_rng([*seed, index])
        image, outlines = render_scene(rng, label, size)
        file_name = f'{CLASSES[label]}/{index:06d}.jpg'
        encoded = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
        (root / split / file_name).write_bytes(encoded.tobytes())
        images.append({'id': index + 1, 'file_name': file_name, 'width': size, 'height': size})
        for points in outlines:
            points = points.round(2)
            left, top = points.min(0)
            width, height = points.max(0) - (left, top)
            annotations.append(
                {
                    'id': len(annotations) + 1,
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
