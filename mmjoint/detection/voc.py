"""Reads VOC's lists and XML files into COCO's form in their one meaning, or refuses them."""

import functools
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from .annotations import MIN_SIDE
from .findings import Findings, shorten
from .photos import is_photo, listing, photos_by_stem

VOC_CLASSES = (
    *('aeroplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow'),
    *('diningtable', 'dog', 'horse', 'motorbike', 'person', 'pottedplant', 'sheep', 'sofa'),
    *('train', 'tvmonitor'),
)
_PUBLISHED = ('VOC2007', 'VOC2012')
_EDGES = ('xmin', 'ymin', 'xmax', 'ymax')


def read_voc(root: str | Path, splits: Sequence[str], classes: Sequence[str] | None = None) -> dict:
    """Read VOC's XML files into COCO's form; see ``read_voc_splits``.

    Args:
        root (str | Path): The folder that contains the folders of the splits.
        splits (Sequence[str]): The splits, such as ``'VOC2007/trainval'``.
        classes (Sequence[str], optional): The classes. Defaults to None: the published 20 if all
            splits are of VOC2007 and VOC2012 and have no other class, otherwise those found.

    Returns:
        dict: ``images``, ``annotations`` and ``categories``.

    Raises:
        FileNotFoundError, ValueError: As documented in ``read_voc_splits``.
    """
    findings = Findings()
    files = read_voc_splits(root, splits, findings)
    findings.end()
    coco = to_coco(files, classes or found_classes(files, splits), starts_at(files), findings)
    findings.end()
    return coco


def read_voc_splits(root: str | Path, splits: Sequence[str], findings: Findings) -> list[dict]:
    """Read the XML files of some splits.

    ``<root>/<folder>/ImageSets/Main/<list>.txt`` names the files: one per line, spaces are allowed,
    with or without an extension, and with or without the 1, 0 or -1 of VOC's lists of a class. A
    list may start with a byte-order mark. A missing ``difficult`` is 0. The photo is the file in
    JPEGImages with the annotation's name and a photo's extension.

    Args:
        root (str | Path): The folder that contains the folders of the splits; the VOCdevkit.
        splits (Sequence[str]): Splits ``'<folder>/<list>'``; only ``'<list>'`` if ImageSets is in
            ``root``.
        findings (Findings): Receives the faults; the caller ends the run.

    Returns:
        list[dict]: For each file ``path`` of the XML file, ``photo``, ``size`` as (width, height),
        None if the file does not state it, and ``objects``: (place, name, (xmin, ymin, xmax, ymax),
        difficult).

    Raises:
        FileNotFoundError: A list or folder is missing.
        ValueError: A list has no image.
    """
    hint = f'({Path(root).absolute()} was taken for the VOCdevkit folder: --voc-root names another)'
    names_in = functools.cache(lambda directory: listing(directory, hint))
    photos_in = functools.cache(lambda directory: photos_by_stem(names_in(directory)))
    files = []
    seen: dict[Path, Path] = {}
    for split in splits:
        parent, _, name = split.rpartition('/')
        folder = Path(root).absolute() / parent
        image_list = folder / 'ImageSets' / 'Main' / f'{name}.txt'
        if not image_list.is_file():
            raise FileNotFoundError(f'{image_list}: no such file {hint}')
        text = image_list.read_text(encoding='utf-8-sig', errors='replace')
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            raise ValueError(f'{image_list}: lists no image')
        for number, line in enumerate(lines, start=1):
            where = f'line {number}'
            stem = _stem(line, folder / 'Annotations', image_list, where, findings, names_in)
            if stem is None:
                continue
            path = folder / 'Annotations' / f'{stem}.xml'
            if path in seen:
                if seen[path] == image_list:
                    findings.leave_out(image_list, 'names that are listed twice', where)
                else:
                    findings.fault(
                        image_list, where, f'{stem!r} is in {seen[path].name} too, of this set'
                    )
                continue
            seen[path] = image_list
            file = _read_file(path, findings)
            photo = _photo(folder / 'JPEGImages', stem, file, path, findings, photos_in)
            if file and photo:
                files.append(file | dict(path=path, photo=photo))
    return files


def _stem(
    line: str,
    annotations: Path,
    path: Path,
    where: str,
    findings: Findings,
    names_in: Callable[[Path], frozenset[str]],
) -> str | None:
    """Return the name in a line of a list, which may have an extension and a number."""
    number = re.fullmatch(r'(.*\S)\s+(?:[+-]?1|0)', line)
    names = [name for name in (line, number and number[1]) if name]
    names += [name[: -len(Path(name).suffix)] for name in names if is_photo(name)]
    present = [
        name
        for name in dict.fromkeys(names)
        if f'{Path(name).name}.xml' in names_in((annotations / name).parent)
    ]
    if not present:
        findings.fault(path, where, f'{line!r}: no such file {annotations / names[0]}.xml')
        return None
    if len(present) > 1:
        both = ' and '.join(f'{name}.xml' for name in present)
        findings.fault(path, where, f'{line!r}: {both} exist, either could be meant')
        return None
    return present[0]


def _photo(
    folder: Path,
    stem: str,
    file: dict | None,
    path: Path,
    findings: Findings,
    photos_in: Callable[[Path], dict[str, list[str]]],
) -> str | None:
    """Return the photo of an annotation, with any extension; of two, ``filename`` decides."""
    directory = (folder / stem).parent
    names = photos_in(directory).get(Path(stem).name, [])
    if not names:
        findings.fault(
            path, 'photo', f'no such file {folder / stem}.jpg, nor one with another ending'
        )
        return None
    named = file['filename'].replace('\\', '/').rpartition('/')[2] if file else ''
    if len(names) > 1 and named in names:
        names = [named]
    if len(names) > 1:
        findings.fault(path, 'photo', f'{" and ".join(names)} in {directory}: either may be meant')
        return None
    return str(directory / names[0])


def _read_file(path: Path, findings: Findings) -> dict | None:
    """Read an XML file; None if it is not a VOC annotation."""
    try:
        tree = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        findings.fault(path, 'file', f'not a VOC annotation ({error})')
        return None
    before = findings.number_of_faults
    objects = []
    for number, item in enumerate(tree.iter('object'), start=1):
        where = f'object {number}'
        name = (item.findtext('name') or '').strip()
        if not name:
            findings.fault(path, where, 'name: missing')
            continue
        where = f'object {number} ({name})'
        box = _box(item, path, where, findings)
        difficult = (item.findtext('difficult') or '0').strip() or '0'
        if difficult not in ('0', '1'):
            findings.fault(path, where, f'difficult {shorten(difficult)}: expected 0 or 1')
        elif box:
            objects.append((where, name, box, int(difficult)))
    size = [_size(tree, side, path, findings) for side in ('width', 'height')]
    if findings.number_of_faults > before:
        return None
    filename = (tree.findtext('filename') or '').strip()
    return dict(objects=objects, size=tuple(size) if all(size) else None, filename=filename)


def _box(
    item: ElementTree.Element, path: Path, where: str, findings: Findings
) -> tuple[float, ...] | None:
    values = []
    for edge in _EDGES:
        text = item.findtext(f'bndbox/{edge}')
        # Some files of the original release have fractions of a pixel.
        try:
            values.append(float(text or ''))
        except ValueError:
            values.append(math.nan)
        if not abs(values[-1]) < 1e7:
            found = (
                'missing' if text is None else f'{shorten(text.strip())}: not a number of pixels'
            )
            findings.fault(path, where, f'bndbox/{edge} {found}')
            return None
    for low, high in ((0, 2), (1, 3)):
        if values[high] < values[low]:
            findings.fault(
                path, where,
                f'bndbox/{_EDGES[high]} {values[high]:g}: less than {_EDGES[low]} '
                f'{values[low]:g}',
            )  # fmt: skip
            return None
    return tuple(values)


def _size(tree: ElementTree.Element, side: str, path: Path, findings: Findings) -> int:
    """Return width or height; 0 if the file does not state it, then the photo determines it."""
    text = (tree.findtext(f'size/{side}') or '0').strip() or '0'
    try:
        value = float(text)
        if not 0 <= value < 1e7 or value != int(value):
            raise ValueError
    except ValueError:
        findings.fault(path, 'size', f'{side} {shorten(text)}: expected a number of pixels')
        return 0
    return int(value)


def found_classes(files: Sequence[dict], splits: Sequence[str]) -> tuple[str, ...]:
    """Return the classes of a set: the published 20 for VOC2007 and VOC2012, or those found.

    Args:
        files (Sequence[dict]): Files of the training set from ``read_voc_splits``.
        splits (Sequence[str]): The splits of the training set.

    Returns:
        tuple[str, ...]: The classes in alphabetical order.
    """
    found = {name for file in files for _, name, _, _ in file['objects']}
    if all(split.rpartition('/')[0] in _PUBLISHED for split in splits) and found <= {*VOC_CLASSES}:
        return VOC_CLASSES
    return tuple(sorted(found))


def starts_at(*sets: Sequence[dict]) -> int:
    """Return the number of the first pixel in a data set's boxes.

    VOC counts pixels from 1. A set with a box that starts at 0 was written by another program, and
    the boxes of the whole set are then edges counted from 0.

    Args:
        *sets (Sequence[dict]): The training set and the test set from ``read_voc_splits``, which
            count in the same way.

    Returns:
        int: 1 or 0.
    """
    boxes = (box for files in sets for file in files for _, _, box, _ in file['objects'])
    return 0 if any(0 <= min(box[:2]) < 1 for box in boxes) else 1


def to_coco(
    files: Sequence[dict],
    classes: Sequence[str],
    first_pixel: int,
    findings: Findings,
    others_left_out: bool = False,
) -> dict:
    """Convert VOC's annotations to COCO's form.

    A VOC box includes its last pixel: (1, 1, W, H) covers the image and becomes x, y, w, h = (0, 0,
    W, H), with edges counted from 0. Difficult objects become ``iscrowd``, which the metric
    ignores, whether found or missed.

    Args:
        files (Sequence[dict]): Files from ``read_voc_splits``.
        classes (Sequence[str]): The classes; their order determines the ids, from 1.
        first_pixel (int): The number of the first pixel from ``starts_at``.
        findings (Findings): Receives the faults and what is left out.
        others_left_out (bool): Whether objects of other classes are left out instead of faults.

    Returns:
        dict: ``images`` (with absolute ``file_name``; without ``width`` and ``height`` if the file
            does not state them), ``annotations``, each also with ``difficult``, and ``categories``.
    """
    labels = {name: number for number, name in enumerate(classes, start=1)}
    images = []
    annotations: list[dict] = []
    for image_id, file in enumerate(files, start=1):
        image = dict(id=image_id, file_name=file['photo'], annotated_in=str(file['path']))
        if file['size']:
            image['width'], image['height'] = file['size']
        images.append(image)
        for where, name, (left, top, right, bottom), difficult in file['objects']:
            if name not in labels:
                if others_left_out:
                    findings.leave_out(
                        file['path'].parent, 'objects of classes that were not asked for',
                        f'{file["path"].name}, {where}',
                    )  # fmt: skip
                    continue
                few = ', '.join(classes[:20]) + ', ...' * (len(classes) > 20)
                findings.fault(file['path'], where, f'name: none of the classes ({few})')
                continue
            x, y = left - first_pixel, top - first_pixel
            w, h = right - left + first_pixel, bottom - top + first_pixel
            if w < MIN_SIDE or h < MIN_SIDE:
                findings.leave_out(
                    file['path'].parent, 'boxes without area', f'{file["path"].name}, {where}'
                )
                continue
            if file['size'] and (x >= image['width'] or y >= image['height']):
                findings.fault(
                    file['path'], where,
                    f'bndbox ({left:g}, {top:g}, {right:g}, {bottom:g}): lies outside its image '
                    f'of {image["width"]} x {image["height"]} pixels',
                )  # fmt: skip
                continue
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=labels[name],
                    bbox=[x, y, w, h],
                    area=w * h,
                    iscrowd=difficult,
                    difficult=difficult,
                )
            )
    categories = [dict(id=number, name=name) for name, number in labels.items()]
    return dict(images=images, annotations=annotations, categories=categories)
