"""A picture of a detector's results on some test images."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pycocotools import mask as rle

from mmjoint.utils.files import whole_file

from ...pixels.decode import MAX_PIXELS
from ..photos import load_photo

# Okabe and Ito's palette.
_COLORS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00')
_SIDE = 320
_COLUMNS = 4


def draw_predictions(
    coco: dict, found: Iterable[dict], path: str | Path, count: int, min_score: float = 0.3
) -> None:
    """Write a picture of some test images, which are drawn at random but always the same.

    White boxes are the annotated objects. Colored boxes, one color per class, are the detections,
    with class and score, and with the mask if there is one.

    Args:
        coco (dict): Images, annotations and categories.
        found (Iterable[dict]): Detections in COCO's form.
        path (str | Path): The PNG file; it is written to a temporary file and moved into place.
        count (int): Number of images.
        min_score (float): Detections below it are not drawn, except an image's best one if it has
            no other. Defaults to 0.3.
    """
    names = {category['id']: category['name'] for category in coco['categories']}
    colors = {id_: _COLORS[i % len(_COLORS)] for i, id_ in enumerate(sorted(names))}
    images = coco['images']
    count = min(count, len(images))
    # Evenly spaced images could all be of one class.
    chosen = sorted(np.random.default_rng(0).choice(len(images), count, replace=False))
    rows = -(-len(chosen) // _COLUMNS)
    gap = 8
    cell = _SIDE + gap
    sheet = Image.new('RGB', (min(_COLUMNS, len(chosen)) * cell + gap, rows * cell + gap), 'white')
    for position, info in enumerate(images[i] for i in chosen):
        detections = [item for item in found if item['image_id'] == info['id']]
        detections.sort(key=lambda item: -item['score'])
        detections = [d for d in detections if d['score'] >= min_score] or detections[:1]
        truth = [item['bbox'] for item in coco['annotations'] if item['image_id'] == info['id']]
        picture = _draw(info, truth, detections, names, colors)
        row, column = divmod(position, _COLUMNS)
        sheet.paste(picture, (gap + column * cell, gap + row * cell))
    with whole_file(path) as file:
        sheet.save(file, format='png')


def _draw(
    info: dict, truth: list, detections: list[dict], names: dict[int, str], colors: dict[int, str]
) -> Image.Image:
    """Draw an image, scaled to fit a square; its best detection comes first."""
    image = load_photo(info['file_name'], max(MAX_PIXELS, info['width'] * info['height']))
    scale = _SIDE / max(image.size)
    width, height = (max(1, round(scale * side)) for side in image.size)
    size = width, height
    image = image.resize(size, Image.Resampling.BICUBIC)
    for item in detections:
        if 'segmentation' in item:
            mask = Image.fromarray(96 * rle.decode(item['segmentation']).astype(np.uint8))
            image.paste(colors[item['category_id']], mask=mask.resize(size))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(15)
    for box in truth:
        draw.rectangle(_corners(box, scale), outline='white', width=1)
    # The best detection, which comes first, is drawn on top.
    for item in reversed(detections):
        corners = _corners(item['bbox'], scale)
        color = colors[item['category_id']]
        draw.rectangle(corners, outline=color, width=3)
        text = f'{names[item["category_id"]]} {item["score"]:.2f}'
        _, _, right, bottom = draw.textbbox((0, 0), text, font=font)
        x = min(max(0, corners[0]), max(0, size[0] - right - 6))
        y = min(max(0, corners[1] - bottom - 4), size[1] - bottom - 4)
        draw.rectangle((x, y, x + right + 6, y + bottom + 4), fill=color)
        draw.text((x + 3, y + 1), text, fill='white', font=font)
    square = Image.new('RGB', (_SIDE, _SIDE), '#dddddd')
    square.paste(image, ((_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2))
    return square


def _corners(box: list[float], scale: float) -> tuple[float, ...]:
    x, y, width, height = (scale * value for value in box)
    return x, y, x + width, y + height
