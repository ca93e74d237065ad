"""Reads and checks the detection data of a run, for all engines.

The command of each engine has the arguments of ``add_arguments`` and passes them to ``read_data``.
"""

import argparse
import contextlib
import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..pixels.decode import MAX_PIXELS
from . import voc
from .coco import read_coco_file
from .data import COCO_SPLITS, VOC_SPLITS, data_root
from .findings import Findings
from .packed import Annotations, read_packed, write_packed
from .photos import check_photos

OWN_FILES = ('train_annotations', 'train_images', 'test_annotations', 'test_images')


@dataclass(frozen=True)
class DataSets:
    """A checked training set and test set with one list of classes.

    Args:
        train (dict): ``images`` (with absolute ``file_name``), ``annotations``, ``categories``.
        test (dict): The same keys; the categories are those of the training set.
        masks (bool): Whether every object has a mask.
        lines (tuple[str, ...]): Lines to print: sizes, classes, and what a rule leaves out.
        form (str): ``'voc'`` or ``'coco'``, which determines the metric. Defaults to ``'coco'``.
    """

    train: dict
    test: dict
    masks: bool
    lines: tuple[str, ...]
    form: str = 'coco'

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their ids."""
        return [c['name'] for c in sorted(self.train['categories'], key=lambda c: c['id'])]

    def write(self, folder: str | Path) -> None:
        """Write ``train.npz`` and ``test.npz``, for programs that train in other processes.

        ``read_written`` reads them. Nothing in them needs to be checked again.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in (('train', self.train), ('test', self.test)):
            categories = sorted(part['categories'], key=lambda category: category['id'])
            info = dict(form=self.form, masks=self.masks)
            annotations = Annotations.of(part['annotations'])
            content = dict(part, info=info, categories=categories, annotations=annotations)
            write_packed(folder / f'{name}.npz', content)

    def summary(self) -> dict:
        """Return what ``results.json`` says about the data: counts per class, and the lines."""
        parts = dict(train=self.train, test=self.test)
        counts = {name: count_objects(part) for name, part in parts.items()}
        return dict(
            **{
                name: dict(images=len(part['images']), objects=sum(counts[name].values()))
                for name, part in parts.items()
            },
            classes={name: {part: counts[part][name] for part in parts} for name in self.classes},
            told=list(self.lines),
        )


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Turn off the search for cycles, which reads millions of new objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_without_collector()
def read_written(folder: str | Path, name: str) -> dict:
    """Read a set that ``DataSets.write`` wrote.

    Args:
        folder (str | Path): The folder.
        name (str): ``'train'`` or ``'test'``.

    Returns:
        dict: The set, with absolute file names of photos, categories in the order of their ids,
        polygons as arrays, and ``info``, which holds ``form`` and ``masks``.
    """
    return read_packed(Path(folder, f'{name}.npz'))


def identity(args: argparse.Namespace) -> dict:
    """Return what identifies the data of a run; call it after ``read_data``."""
    names = [args.train_annotations, args.test_annotations, args.train_split, args.test_split]
    roots = [args.voc_root, args.coco_root, args.train_images, args.test_images]
    return dict(
        data=[str(name) for name in names if name],
        folders=[str(Path(root).expanduser().resolve()) for root in roots if root],
        classes=class_names(args.classes),
        task=args.kind,
    )


def count_objects(coco: dict) -> Counter:
    """Count the objects of each class that the metric considers: neither crowds nor difficult."""
    names = {category['id']: category['name'] for category in coco['categories']}
    return Counter(
        names[item['category_id']] for item in coco['annotations'] if not item['iscrowd']
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that select the data of a run."""
    group = parser.add_argument_group('data')
    group.add_argument('--voc-root', help='the VOCdevkit folder (default: $DETECTRON2_DATASETS)')
    group.add_argument('--coco-root', help='default: $DETECTRON2_DATASETS/coco')
    group.add_argument(
        '--train-split', nargs='+', help='FOLDER/LIST of VOC form, such as VOC2007/trainval; or '
        'train2017 below --coco-root',
    )  # fmt: skip
    group.add_argument('--test-split', help='such as VOC2007/test; or val2017')
    group.add_argument('--train-annotations', help="a JSON file of COCO's form: your own data")
    group.add_argument('--train-images', help='the folder of its photos')
    group.add_argument('--test-annotations', help='the JSON file to test on')
    group.add_argument('--test-images', help='the folder of its photos')
    group.add_argument(
        '--classes', nargs='+', metavar='NAME', help='a file with one name per line, or names: '
        "only these (default: COCO form: the training file's categories; VOC form: the published "
        '20 for VOC2007 and VOC2012, or else those of the training annotations)',
    )  # fmt: skip
    group.add_argument(
        '--task',
        dest='kind',
        choices=('bbox', 'segm'),
        help='boxes alone (Faster R-CNN) or masks too (default: segm in COCO form, bbox in VOC)',
    )
    group.add_argument(
        '--check-photos', action='store_true', help='decode every photo before training'
    )
    group.add_argument(
        '--max-pixels',
        type=int,
        default=MAX_PIXELS,
        help=f'width times height above which a photo is refused (default: {MAX_PIXELS})',
    )


def class_names(values: Sequence[str] | None) -> list[str] | None:
    """Return the names from ``--classes``.

    Raises:
        ValueError: There is no name, or one occurs twice.
    """
    if values is None:
        return None
    names = list(values)
    if len(names) == 1 and Path(names[0]).is_file():
        lines = Path(names[0]).read_text(encoding='utf-8-sig').splitlines()
        names = [line.strip() for line in lines if line.strip()]
    elif len(names) == 1:
        names = [name.strip() for name in names[0].split(',') if name.strip()]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not names:
        fault = f'{twice[0]!r} comes twice' if twice else 'has no name'
        raise ValueError(f'--classes {" ".join(values)}: {fault}')
    return names


@_without_collector()
def read_data(args: argparse.Namespace, form: str) -> DataSets:
    """Read and check the training set and the test set, before anything is built.

    Args:
        args (argparse.Namespace): Arguments from ``add_arguments``.
        form (str): ``'voc'`` or ``'coco'``.

    Returns:
        DataSets: Both sets, with the classes of the training set.

    Raises:
        FileNotFoundError: A file or folder is missing.
        ValueError: Annotations, photos or arguments have faults; the message names file, annotation
            and field.
    """
    classes = class_names(args.classes)
    findings = Findings()
    own = [name for name in OWN_FILES if getattr(args, name)]
    if form == 'voc':
        if own:
            raise ValueError(f'--{own[0].replace("_", "-")}: is for COCO form, not for VOC')
        if args.kind == 'segm':
            raise ValueError('--task segm: VOC form has boxes alone')
        train, test = _read_voc(args, classes, findings)
        hint = '(--voc-root names another folder)'
        masks, sources = False, (args.train_split[0], args.test_split)
    else:
        masks = args.kind != 'bbox'
        files = _coco_files(args, own)
        train, test = (
            read_coco_file(file, folder, findings, masks, classes)
            for file, folder in (files[:2], files[2:])
        )
        sources = (files[0], files[2])
        hint = f'(--{"train- or --test-images" if own else "coco-root"} names another folder)'
        _agree(train, test, *sources, classes, findings)
    findings.end()
    for coco, source in ((train, sources[0]), (test, sources[1])):
        check_photos(coco, source, findings, hint, args.check_photos, args.max_pixels)
        if not count_objects(coco):
            findings.fault(
                source, 'annotations', 'have no object of the classes that is not a crowd'
            )
    findings.end()
    both = {i['file_name'] for i in train['images']} & {i['file_name'] for i in test['images']}
    if both:
        findings.remark(f'{len(both)} photos are trained on and tested on, {min(both)} for one')
    return DataSets(train, test, masks, (*_told(train, test), *findings.lines()), form)


def _read_voc(
    args: argparse.Namespace, classes: list[str] | None, findings: Findings
) -> tuple[dict, dict]:
    args.train_split = list(args.train_split or VOC_SPLITS[:2])
    args.test_split = args.test_split or VOC_SPLITS[2]
    root = data_root('voc', args.voc_root)
    args.voc_root = str(root)
    splits = (args.train_split, [args.test_split])
    sets = [voc.read_voc_splits(root, names, findings) for names in splits]
    findings.end()
    names = classes or voc.found_classes(sets[0], args.train_split)
    if not names:
        raise ValueError(f'{root}: the annotations of {" ".join(args.train_split)} have no object')
    if tuple(names) == voc.VOC_CLASSES:
        findings.remark('classes: the 20 that VOC published (--classes takes others)')
    first = voc.starts_at(*sets)
    if not first:
        findings.remark('boxes: edges in pixels from 0, since some start at 0 (VOC counts from 1)')
    train, test = (
        voc.to_coco(files, names, first, findings, others_left_out=classes is not None)
        for files in sets
    )
    return train, test


def _coco_files(args: argparse.Namespace, own: list[str]) -> tuple[Path, ...]:
    """Return annotation file and photo folder of the training set and of the test set."""
    if own:
        missing = [name.replace('_', '-') for name in OWN_FILES if name not in own]
        if missing:
            raise ValueError(f'--{own[0].replace("_", "-")} needs --{" and --".join(missing)} too')
        for name in ('train_split', 'test_split', 'coco_root'):
            if getattr(args, name):
                raise ValueError(
                    f'--{name.replace("_", "-")} and --{own[0].replace("_", "-")}: give one'
                )
        return tuple(Path(getattr(args, name)).expanduser() for name in OWN_FILES)
    args.train_split = list(args.train_split or COCO_SPLITS[:1])
    args.test_split = args.test_split or COCO_SPLITS[1]
    if len(args.train_split) > 1:
        raise ValueError(f'--train-split {" ".join(args.train_split)}: COCO form takes one')
    root = data_root('coco', args.coco_root)
    args.coco_root = str(root)
    return tuple(
        part
        for split in (args.train_split[0], args.test_split)
        for part in (root / 'annotations' / f'instances_{split}.json', root / split)
    )


def _agree(
    train: dict,
    test: dict,
    train_file: str | Path,
    test_file: str | Path,
    classes: list[str] | None,
    findings: Findings,
) -> None:
    """Give the test set the training set's categories, or record where the two files disagree."""

    def key(category: dict) -> int | str:
        return category.get('source_id', category['id'])

    by_key = {key(category): category for category in train['categories']}
    by_name = {category['name']: category for category in train['categories']}
    for name in classes or ():
        if name not in by_name:
            findings.fault(train_file, 'categories', f'have no {name!r}, which --classes names')
    counts = Counter(item['category_id'] for item in test['annotations'])
    numbers = {}
    for category in test['categories']:
        name, number = category['name'], key(category)
        same = by_key.get(number)
        if same is not None and same['name'] == name:
            numbers[category['id']] = same['id']
        elif same is not None:
            findings.fault(
                test_file,
                f'category {number}',
                f'is {name!r}, but {same["name"]!r} in {train_file}',
            )
        elif name in by_name:
            findings.fault(
                test_file,
                f'category {number}',
                f'{name!r} has the id {key(by_name[name])} in {train_file}',
            )
        elif counts[category['id']]:
            findings.fault(
                test_file, f'category {number}', f'{name!r} is not a category of {train_file}'
            )
    for item in test['annotations']:
        item['category_id'] = numbers.get(item['category_id'], item['category_id'])
    test['categories'] = train['categories']


def _told(train: dict, test: dict) -> list[str]:
    """Return lines about the sizes of both sets and the classes that one of them lacks."""
    counts = [count_objects(coco) for coco in (train, test)]
    names = [category['name'] for category in train['categories']]
    few = ', '.join(names[:20]) + ', ...' * (len(names) > 20)
    lines = [
        f'{what} on {len(coco["images"])} photos with {sum(count.values())} objects'
        for what, coco, count in zip(('training', 'testing'), (train, test), counts, strict=True)
    ]
    lines.append(f'classes ({len(names)}): {few}')
    for count, what in zip(counts, ('train', 'test'), strict=True):
        absent = [name for name in names if not count[name]]
        if absent:
            few = ', '.join(absent[:20]) + ', ...' * (len(absent) > 20)
            lines.append(f'classes without an object to {what} on ({len(absent)}): {few}')
    return lines
