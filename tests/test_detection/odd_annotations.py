"""Odd annotation files of COCO and VOC form: what each has, and what is right.

Each case changes a small whole data set. It is either read, with a number of objects to train and
to test on, or refused with words that the message has.
"""

import copy
import json
import math
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


NAN = math.nan
BOX = [10, 21, 40, 30]
FIRST = 'annotation 1'
COCO_CASES = [
    Case('whole', same),
    # ids
    Case('annotation ids from 0', numbered_from_0),
    Case('annotation ids twice', ids_twice),
    Case('no annotation ids', on_all('annotations', pops('id'))),
    Case('text annotation ids', on_annotation(0, id='first')),
    Case('image ids from 0', lambda c, f: [
        i.update({k: i[k] - 1}) for p, k in (('images', 'id'), ('annotations', 'image_id'))
        for i in c[p]] and None),
    Case('text image ids throughout', text_image_ids),
    Case('text category ids throughout', text_category_ids),
    Case('ids with a fraction of 0', on_all('annotations', lambda a: a.update(
        image_id=float(a['image_id']), category_id=float(a['category_id'])))),
    Case('image_id as text', on_all('annotations', lambda a: a.update(
        image_id=str(a['image_id']))), -1, (FIRST, 'image_id')),
    Case('category_id as text', on_annotation(category_id='3'), -1, (FIRST, 'category_id')),
    Case('one image id as text', on_image(id='1'), -1, ('id', 'text')),
    Case('image_id that is not listed', on_annotation(image_id=99), OBJECTS - 1),
    Case('no image_id', on_annotation(image_id=...), -1, (FIRST, 'image_id')),
    Case('category_id that is not listed', on_annotation(category_id=4), -1,
         (FIRST, 'category_id')),
    Case('no category_id', on_annotation(category_id=...), -1, (FIRST, 'category_id')),
    Case('image id of two images', on_image(1, id=1), -1, ('image 1', 'id')),
    Case('an image listed twice', doubled('images')),
    Case('a file name of two images', on_image(1, file_name='1.jpg'), -1, ('image 2', 'file_name')),
    Case('image id null', on_image(id=None), -1, ('images[0]', 'id')),
    Case('category id of two', other_categories(lambda c: [*c, dict(id=3, name='cow')]), -1,
         ('category 3', 'id')),
    Case('category name of two', other_categories(lambda c: [*c, dict(id=9, name='cat')]), -1,
         ('category 9', 'name')),
    Case('a category without a name', other_categories(lambda c: c[0].pop('name') and None), -1,
         ('category 3', 'name')),
    # fields
    Case('no area', on_all('annotations', pops('area'))),
    Case('area null', on_annotation(area=None)),
    Case('no iscrowd', on_all('annotations', pops('iscrowd'))),
    Case('iscrowd false', on_all('annotations', lambda a: a.update(iscrowd=False))),
    Case('iscrowd null', on_annotation(iscrowd=None)),
    Case('iscrowd true', on_annotation(iscrowd=True), OBJECTS - 1),
    Case('iscrowd as text', on_annotation(iscrowd='0'), -1, (FIRST, 'iscrowd')),
    Case('an annotation that is a list', lambda c, f: c['annotations'].append([1]), -1,
         ('annotations[8]',)),
    Case('no bbox', on_annotation(bbox=...), -1, (FIRST, 'bbox')),
    Case('empty bbox', on_annotation(bbox=[]), -1, (FIRST, 'bbox')),
    Case('bbox of five', on_annotation(bbox=[*BOX, 1]), -1, (FIRST, 'bbox')),
    Case('bbox with NaN', on_annotation(bbox=[10, 20, NAN, 30]), -1, (FIRST, 'bbox')),
    Case('bbox with text', on_annotation(bbox=['10', '20', '40', '30']), -1, (FIRST, 'bbox')),
    Case('bbox null', on_annotation(bbox=None), -1, (FIRST, 'bbox')),
    Case('reversed bbox', on_annotation(bbox=[50, 51, -40, -30]), -1, (FIRST, 'bbox', 'width')),
    Case('bbox without width', on_annotation(bbox=[10, 20, 0, 30]), OBJECTS - 1),
    Case('bbox without height', on_annotation(bbox=[10, 20, 40, 0.0]), OBJECTS - 1),
    Case('bbox outside', on_annotation(bbox=[500, 20, 40, 30]), -1, (FIRST, 'bbox', 'outside')),
    Case('bbox partly outside', on_annotation(bbox=[-20, 20, 60, 30])),
    Case('bbox in fractions', fractions, -1, ('bbox', 'fractions')),
    # images
    Case('no width', on_image(width=...), -1, ('image 1', 'width')),
    Case('width 0', on_image(width=0), -1, ('image 1', 'width')),
    Case('height as text', on_image(height='96'), -1, ('image 1', 'height')),
    Case('width with a fraction of 0', on_image(width=128.0)),
    Case('another size than the photo', of_size((64, 48)), -1, ('image 1', '1.jpg', '64 x 48')),
    Case('a photo that EXIF turns', of_size((WIDTH, HEIGHT), exif=turned(6)), -1,
         ('image 1', '1.jpg', '96 x 128')),
    Case('a size as EXIF turns it', of_size((HEIGHT, WIDTH), exif=turned(6))),
    Case('photos in subfolders', into_subfolders),
    Case('backslashes', backslashes),
    Case('a name with spaces', renamed('my photo 1 .jpg')),
    Case('a name with umlauts', renamed('Grüße.jpg')),
    Case('a missing photo', renamed('2b.jpg'), OBJECTS),
    Case('no such photo', on_image(file_name='gone.jpg'), -1, ('image 1', 'gone.jpg')),
    Case('no file_name', on_image(file_name=...), -1, ('image 1', 'file_name')),
    Case('an empty file_name', on_image(file_name=''), -1, ('image 1', 'file_name')),
    Case('photos that are PNG', png_photos),
    Case('an empty photo', bytes_of('1.jpg', b''), -1, ('image 1', '1.jpg')),
    Case('a photo that is text', bytes_of('1.jpg', b'hello'), -1, ('image 1', '1.jpg')),
    # masks
    Case('compressed RLE', as_rle(True)),
    Case('uncompressed RLE', as_rle(False)),
    Case('RLE of another size', damaged_rle(lambda s: dict(s, size=[10, 10])), -1,
         (FIRST, 'segmentation', 'size')),
    Case('RLE with width first', damaged_rle(lambda s: dict(s, size=s['size'][::-1])), -1,
         (FIRST, 'segmentation', 'size')),
    Case('RLE cut short', damaged_rle(lambda s: dict(s, counts=s['counts'][:5])), -1,
         (FIRST, 'segmentation', 'counts')),
    Case('RLE that ends within a number', counts('P'), -1, (FIRST, 'segmentation', 'counts')),
    Case('RLE of other letters', counts('é{}~~'), -1, (FIRST, 'segmentation', 'counts')),
    Case('RLE without counts', damaged_rle(lambda s: s.pop('counts') and None), -1,
         (FIRST, 'segmentation')),
    Case('counts that do not add up', counts([5, 10]), -1, (FIRST, 'segmentation', 'counts')),
    Case('negative counts', counts([-5, HEIGHT * WIDTH + 5]), -1, (FIRST, 'segmentation')),
    Case('an empty mask', counts([HEIGHT * WIDTH]), OBJECTS - 1),
    Case('one flat polygon', on_annotation(segmentation=polygon(*BOX))),
    Case('a polygon of two points', on_annotation(segmentation=[[10, 20, 50, 50]]), -1,
         (FIRST, 'segmentation')),
    Case('a line beside a polygon', on_annotation(
        segmentation=[[10, 20, 50, 50], polygon(*BOX)])),
    Case('an odd number of coordinates', on_annotation(segmentation=[[*polygon(*BOX), 4]]), -1,
         (FIRST, 'segmentation')),
    Case('a polygon with NaN', on_annotation(segmentation=[[10, NAN, *polygon(*BOX)]]), -1,
         (FIRST, 'segmentation')),
    Case('a polygon with text', on_annotation(segmentation=[['10', '20', *polygon(*BOX)]]), -1,
         (FIRST, 'segmentation')),
    Case('a polygon far away', on_annotation(segmentation=[[1e9, 1e9, *polygon(*BOX)]]), -1,
         (FIRST, 'segmentation', 'outside')),
    Case('a polygon outside', on_annotation(segmentation=[polygon(140, 20, 40, 30)]), OBJECTS - 1),
    Case('a polygon partly outside', on_annotation(
        bbox=[-10, 20, 50, 30], segmentation=[polygon(-10, 20, 50, 30)])),
    Case('a polygon without area', on_annotation(segmentation=[[10, 20, 50, 50, 10, 20]]),
         OBJECTS - 1),
    Case('no mask', on_annotation(segmentation=...), -1, (FIRST, 'segmentation')),
    Case('an empty list as mask', on_annotation(segmentation=[]), -1, (FIRST, 'segmentation')),
    Case('no masks for boxes', on_all('annotations', pops('segmentation')), masks=False),
    Case('odd masks for boxes', on_annotation(segmentation='none'), masks=False),
    Case('a mask that is text', on_annotation(segmentation='none'), -1, (FIRST, 'segmentation')),
    # files
    Case('a byte-order mark', same, raw=lambda text: text.encode('utf-8-sig')),
    Case('UTF-16', same, raw=lambda text: text.encode('utf-16')),
    Case('CRLF', same, raw=lambda text: text.replace(', ', ',\r\n').encode()),
    Case('cut short', same, -1, ('instances_t', 'not a whole'),
         raw=lambda text: text[:300].encode()),
    Case('Latin-1', other_categories(lambda c: c[0].update(name='Kätzchen')), -1,
         ('instances_t', 'not a whole'),
         raw=lambda text: text.replace('\\u00e4', 'ä').encode('latin-1')),
    Case('a list', lambda c, f: c['annotations'] and json.dumps([1]), -1, ('not a whole',)),
    Case('nested without end', lambda c, f: '[' * 100000, -1, ('instances_t', 'not a whole')),
    Case('no annotations', without('annotations'), -1, ('annotations',)),
    Case('no categories', without('categories'), -1, ('categories',)),
    Case('no object', lambda c, f: c['annotations'].clear(), -1, ('no object',)),
    Case('images that are an object', lambda c, f: dict(c, images={}), -1, ('images',)),
    Case('null instead of annotations', lambda c, f: dict(c, annotations=None), -1,
         ('annotations',)),
    # training and test set
    Case('test lists a class less', without_dogs, test_objects=5, splits=('test',)),
    Case('test is numbered anew', numbered_anew, -1, ('category', 'instances_test'),
         splits=('test',)),
    Case('test has another name', other_categories(lambda c: c[1].update(name='wolf')), -1,
         ('category 5', 'wolf'), splits=('test',)),
    Case('training lacks a class', without_dogs, -1, ('category 5', 'dog'), splits=('train',)),
    Case('test lists a class more', other_categories(lambda c: [*c, dict(id=9, name='cow')]),
         splits=('test',)),
]  # fmt: skip
