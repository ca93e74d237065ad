"""The embedded data set: small generated scenes with labels, boxes and masks.

An image shows one to three objects of one of ten classes. As in photos, a class has a shape, a
surface and surroundings in which it is mostly found. All else varies as much within one image as
between the images of a class: each object and each of several pieces of ground has its own colors,
scale and direction. So neither colors nor places tell one image from the others or one class from
the others, and what two crops of an image have in common is what makes the class.
"""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..utils.files import whole_folder
from .textures import GROUNDS, SURFACES

# Increase it when the same arguments give other pixels, so that old folders are not reused.
FORMAT = 4
META_FILE = 'scenes.json'
# The objects' side, i.e. the root of their area, by their number; and their margin. Both are
# fractions of the image's side.
SIDE_RANGES = {1: (0.34, 0.44), 2: (0.24, 0.29), 3: (0.2, 0.24)}
MARGIN = 0.015
# Places of several objects are drawn this many at once, their centers apart by this share of the
# sum of their largest radii.
TRIES = 128
NEAREST = 0.8
# An object is stretched by up to this factor in one direction, and shrunk as much across.
STRETCH = 1.1
# How often the surroundings are those of the class; else they are those of any class.
TYPICAL_SHARE = 0.8
# Periods of a surface's pattern across an object's side, and of a ground's across the image.
SURFACE_PERIODS = (2.2, 4)
GROUND_PERIODS = (6, 14)
PIECES = 5
# The difference in brightness of a pattern's two colors.
SURFACE_CONTRAST = (70, 130)
GROUND_CONTRAST = (30, 80)
# The middle of the two, and how far a channel may be from the color's mean. Vivid colors would tell
# one image from all others, and a contrastive net would learn little else in a few epochs.
BRIGHTNESS = (95, 160)
HUE = 35
# Light and its color change by so much across the image.
LIGHT = 25
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
    'crescent': ('blotches', 'pebbles'),
    'cross': ('checker', 'ripples'),
    'half_disc': ('bricks', 'grain'),
    'heart': ('targets', 'clouds'),
    'ring': ('zigzag', 'pebbles'),
    'square': ('mosaic', 'streaks'),
    'star': ('grid', 'grain'),
    'triangle': ('triangles', 'ripples'),
}
_REACH = max(np.linalg.norm(points, axis=1).max() for points in OUTLINES.values())


def _color_pairs(rng: np.random.Generator, count: int, contrast: tuple[float, float]) -> np.ndarray:
    """Return pairs of BGR colors of any hue, (count, 2, 3), their means ``contrast`` apart."""
    difference = rng.uniform(*contrast, (count, 1)) * rng.choice([-1, 1], (count, 1))
    middle = rng.uniform(*BRIGHTNESS, (count, 1))
    means = np.stack([middle - difference / 2, middle + difference / 2], 1)
    hues = rng.uniform(-HUE, HUE, (count, 2, 3))
    return means + hues - hues.mean(2, keepdims=True)


def _pattern(
    rng: np.random.Generator,
    texture: Callable,
    regions: np.ndarray,
    periods: np.ndarray,
    contrast: tuple[float, float],
) -> np.ndarray:
    """Paint a texture, its colors, scale, direction and offset drawn for each region.

    Args:
        rng (numpy.random.Generator): Generator of all random numbers.
        texture (Callable): From coordinates in periods and a generator to levels in [0, 1].
        regions (numpy.ndarray): Each pixel's region, (size, size), from 0.
        periods (numpy.ndarray): Across the image's side, one for each region.
        contrast (tuple[float, float]): Range of the distance between the two colors.

    Returns:
        numpy.ndarray: A float BGR image.
    """
    count, size = len(periods), len(regions)
    angles = rng.uniform(0, 2 * np.pi, count)
    along, across = np.cos(angles) * periods / size, np.sin(angles) * periods / size
    u0, v0 = rng.uniform(0, 64, (2, count))
    along, across, u0, v0 = (part.astype(np.float32)[regions] for part in (along, across, u0, v0))
    x = np.arange(size, dtype=np.float32)
    y = x[:, None]
    level = texture(x * along - y * across + u0, x * across + y * along + v0, rng)
    first, second = _color_pairs(rng, count, contrast).astype(np.float32).swapaxes(0, 1)
    return first[regions] + np.float32(level)[..., None] * (second - first)[regions]


def _pieces(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return which of ``PIECES`` centers is nearest to each pixel: pieces of ground."""
    centers = rng.uniform(0, size, (PIECES, 2, 1, 1))
    y, x = np.mgrid[:size, :size]
    return ((x - centers[:, 0]) ** 2 + (y - centers[:, 1]) ** 2).argmin(0)


def _pose(rng: np.random.Generator, outline: np.ndarray, side: float) -> np.ndarray:
    """Return the outline with the given side, stretched and turned at random."""
    factor = STRETCH ** rng.uniform(-1, 1)
    return side * outline @ (_turn(rng) * (factor, 1 / factor)) @ _turn(rng)


def _turn(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _fill(points: np.ndarray, size: int) -> np.ndarray:
    """Return which pixels of the finer image a polygon in COCO's coordinates covers: 0 or 1."""
    image = np.zeros((size * SUPERSAMPLING, size * SUPERSAMPLING), np.uint8)
    # fillPoly puts pixel centers at whole numbers and takes fixed point with 8 fraction bits.
    corners = np.round((points * SUPERSAMPLING - 0.5) * 256).astype(np.int32)
    return cv2.fillPoly(image, [corners], 1, shift=8)


def _objects(
    rng: np.random.Generator, outline: np.ndarray, size: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Place one to three objects that do not touch.

    Returns:
        tuple[list[numpy.ndarray], numpy.ndarray]: Their outlines, and for each pixel of the finer
        image its object's number from 1, or 0.
    """
    count = int(rng.integers(1, 4))
    sides = rng.uniform(*SIDE_RANGES[count], count) * size
    # One bound for all classes, so that an object's position says nothing about its class.
    bounds = sides * STRETCH * _REACH + MARGIN * size
    near = NEAREST * (bounds + bounds[:, None]) * ~np.eye(count, dtype=bool)
    while True:
        layouts = rng.uniform(bounds, size - bounds, (TRIES, 2, count)).swapaxes(1, 2)
        distances = np.linalg.norm(layouts[:, :, None] - layouts[:, None], axis=3)
        apart = (distances >= near).all((1, 2))
        outlines = [
            _pose(rng, outline, side) + center
            for side, center in zip(sides, layouts[apart.argmax()], strict=True)
        ]
        filled = [_fill(points, size) for points in outlines]
        if np.sum([cv2.dilate(mask, np.ones((3, 3))) for mask in filled], axis=0).max() == 1:
            numbers = range(1, count + 1)
            return outlines, np.tensordot(numbers, filled, 1).astype(np.uint8)


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
    outlines, numbers = _objects(rng, OUTLINES[name], size)

    typical = label if rng.uniform() < TYPICAL_SHARE else int(rng.integers(len(CLASSES)))
    shortest, longest = np.log(GROUND_PERIODS)
    periods = np.exp(rng.uniform(shortest, longest, PIECES))
    ground = GROUNDS[LOOKS[CLASSES[typical]][1]]
    image = _pattern(rng, ground, _pieces(rng, size), periods, GROUND_CONTRAST)

    # What is painted as region 0, around the objects, is not shown.
    sides = np.sqrt([size**2] + [_area(points) for points in outlines])
    periods = size / sides * rng.uniform(*SURFACE_PERIODS, len(sides))
    surface = _pattern(rng, SURFACES[LOOKS[name][0]], numbers, periods, SURFACE_CONTRAST)
    share = np.float32(numbers > 0)[..., None]
    layers = np.concatenate([surface * share, share], axis=2)
    layers = cv2.resize(layers, (size, size), interpolation=cv2.INTER_AREA)
    image = image * (1 - layers[..., 3:]) + layers[..., :3]

    light = rng.uniform(-LIGHT, LIGHT, (3, 3, 3)).astype(np.float32)
    image = image + cv2.resize(light, (size, size), interpolation=cv2.INTER_CUBIC)
    image = image + rng.normal(0, 4, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8), outlines


def make_scenes(
    root: str | Path,
    num_train: int = 3000,
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
            3000.
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
