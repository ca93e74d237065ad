"""A small data set in COCO's form, and the changes that make its annotation files odd."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as rle

WIDTH, HEIGHT = 128, 96
# Two objects on each of four photos.
OBJECTS = 8


@dataclass(frozen=True)
class Case:
    """A change to a whole data set, and what is right.

    Args:
        name (str): Of the case.
        change (Callable): Of the content (COCO) or the files (VOC) of a split; gets the folder too.
        objects (int): That are read of each split, crowds and difficult ones left aside; -1 where
            the set is to be refused.
        words (tuple[str, ...]): That the message has.
        splits (tuple[str, ...]): Which are changed.
        raw (Callable, optional): From the JSON or XML text to the bytes of the file.
        masks (bool): Whether the run wants masks.
        test_objects (int, optional): Of the test set, where they are fewer.
    """

    name: str
    change: Callable
    objects: int = OBJECTS
    words: tuple[str, ...] = ()
    splits: tuple[str, ...] = ('train', 'test')
    raw: Callable[[str], bytes] = str.encode
    masks: bool = True
    test_objects: int | None = None

    @property
    def refused(self) -> bool:
        """Whether the set must be refused."""
        return self.objects < 0


def polygon(x: float, y: float, w: float, h: float) -> list[float]:
    return [x, y, x + w, y, x + w, y + h, x, y + h]


def encoded(x: int, y: int, w: int, h: int, compressed: bool = True) -> dict:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    mask[y : y + h, x : x + w] = 1
    if compressed:
        shape = rle.encode(np.asfortranarray(mask))
        return dict(size=[HEIGHT, WIDTH], counts=shape['counts'].decode())
    runs = np.flatnonzero(np.diff(mask.flatten('F'), prepend=0, append=0))
    counts = np.diff([0, *runs, mask.size])
    return dict(size=[HEIGHT, WIDTH], counts=counts.tolist())


def whole_coco() -> dict:
    images = [dict(id=i, file_name=f'{i}.jpg', width=WIDTH, height=HEIGHT) for i in (1, 2, 3, 4)]
    annotations = []
    for image in images:
        for number in range(2):
            box = [10 + 50 * number, 20 + image['id'], 40, 30]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image['id'],
                    category_id=(3, 5, 8)[len(annotations) % 3],
                    bbox=box,
                    area=1200,
                    iscrowd=0,
                    segmentation=[polygon(*box)],
                )
            )
    categories = [dict(id=i, name=n) for i, n in ((3, 'cat'), (5, 'dog'), (8, 'traffic light'))]
    return dict(images=images, annotations=annotations, categories=categories)


def photo(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


def write_coco(root: Path, case: Case) -> None:
    """Write the splits ``train`` and ``test`` in COCO's layout."""
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    for split in ('train', 'test'):
        content = whole_coco()
        for number in range(1, 5):
            photo(root / split / f'{number}.jpg')
        changed = split in case.splits
        if changed:
            content = case.change(content, root / split) or content
        text = content if isinstance(content, str) else json.dumps(content)
        path = root / 'annotations' / f'instances_{split}.json'
        path.write_bytes((case.raw if changed else str.encode)(text))


def on_annotation(index: int = 0, **fields: object) -> Callable:
    """Set fields of an annotation; ``...`` removes one."""

    def change(content: dict, folder: Path) -> None:
        for name, value in fields.items():
            if value is ...:
                content['annotations'][index].pop(name)
            else:
                content['annotations'][index][name] = value

    return change


def on_all(part: str, function: Callable[[dict], object]) -> Callable:
    def change(content: dict, folder: Path) -> None:
        for item in content[part]:
            function(item)

    return change


def on_image(index: int = 0, **fields: object) -> Callable:
    def change(content: dict, folder: Path) -> None:
        for name, value in fields.items():
            if value is ...:
                content['images'][index].pop(name)
            else:
                content['images'][index][name] = value

    return change


def same(content: object, folder: Path) -> None:
    pass


def pops(*names: str) -> Callable:
    return lambda item: [item.pop(name) for name in names]


def numbered_from_0(content: dict, folder: Path) -> None:
    for number, item in enumerate(content['annotations']):
        item['id'] = number


def ids_twice(content: dict, folder: Path) -> None:
    for number, item in enumerate(content['annotations']):
        item['id'] = 1 + number % 4


def into_subfolders(content: dict, folder: Path) -> None:
    for item in content['images']:
        (folder / 'a b').mkdir(exist_ok=True)
        (folder / item['file_name']).rename(folder / 'a b' / item['file_name'])
        item['file_name'] = 'a b/' + item['file_name']


def backslashes(content: dict, folder: Path) -> None:
    into_subfolders(content, folder)
    for item in content['images']:
        item['file_name'] = item['file_name'].replace('/', '\\')


def renamed(name: str) -> Callable:
    def change(content: dict, folder: Path) -> None:
        (folder / '1.jpg').rename(folder / name)
        content['images'][0]['file_name'] = name

    return change


def png_photos(content: dict, folder: Path) -> None:
    for item in content['images']:
        (folder / item['file_name']).unlink()
        item['file_name'] = item['file_name'].replace('.jpg', '.png')
        photo(folder / item['file_name'])


def text_image_ids(content: dict, folder: Path) -> None:
    for item in content['images']:
        item['id'] = f'photo {item["id"]}'
    for item in content['annotations']:
        item['image_id'] = f'photo {item["image_id"]}'


def text_category_ids(content: dict, folder: Path) -> None:
    for item in content['categories']:
        item['id'] = f'c{item["id"]}'
    for item in content['annotations']:
        item['category_id'] = f'c{item["category_id"]}'


def fractions(content: dict, folder: Path) -> None:
    for item in content['annotations']:
        x, y, w, h = item['bbox']
        item['bbox'] = [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]


def of_size(size: tuple[int, int], **options: object) -> Callable:
    return lambda content, folder: photo(folder / '1.jpg', size, **options)


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def bytes_of(name: str, data: bytes) -> Callable:
    return lambda content, folder: (folder / name).write_bytes(data) and None


def doubled(part: str, **fields: object) -> Callable:
    def change(content: dict, folder: Path) -> None:
        content[part].append(copy.deepcopy(content[part][0]) | fields)

    return change


def as_rle(compressed: bool) -> Callable:
    def change(content: dict, folder: Path) -> None:
        for item in content['annotations']:
            item['segmentation'] = encoded(*item['bbox'], compressed)

    return change


def damaged_rle(function: Callable[[dict], object]) -> Callable:
    def change(content: dict, folder: Path) -> None:
        shape = encoded(*content['annotations'][0]['bbox'])
        content['annotations'][0]['segmentation'] = function(shape) or shape

    return change


def counts(value: object) -> Callable:
    return damaged_rle(lambda shape: dict(shape, counts=value))


def other_categories(change_them: Callable[[list], object]) -> Callable:
    def change(content: dict, folder: Path) -> None:
        content['categories'] = change_them(content['categories']) or content['categories']

    return change


def without_dogs(content: dict, folder: Path) -> None:
    content['categories'] = [c for c in content['categories'] if c['name'] != 'dog']
    content['annotations'] = [a for a in content['annotations'] if a['category_id'] != 5]


def numbered_anew(content: dict, folder: Path) -> None:
    numbers = {3: 1, 5: 2, 8: 3}
    for item in content['categories']:
        item['id'] = numbers[item['id']]
    for item in content['annotations']:
        item['category_id'] = numbers[item['category_id']]


def without(*parts: str) -> Callable:
    return lambda content, folder: {k: v for k, v in content.items() if k not in parts}
