"""ImageNetSubset: the images of some of ImageNet's classes, such as ImageNet-100."""

import re
from pathlib import Path
from typing import Any

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from .listing import list_images

_WNID = re.compile(r'n\d{8}')


@DATASETS.register_module()
class ImageNetSubset(BaseDataset):
    """The classes of ImageNet-1K that a list names, with labels 0, 1, ... in sorted order.

    The images need not be sorted beforehand. The data set reads the layouts that mmpretrain's
    ``ImageNet`` reads: one folder per class, ``data_root/<split>/<wnid>/*``, or, if there is no
    such folder, ``data_root/meta/<split>.txt`` with one line ``FILE LABEL`` per image. In the
    second layout the number of a class is the label in ``meta/train.txt`` of the files whose names
    start with its wnid.

    Args:
        data_root (str): The folder that holds ``train`` and ``val``.
        split (str): ``'train'`` or ``'val'``. Defaults to ``'train'``.
        class_list (str): A text file with one WordNet id per line (``#`` starts a comment), or
            ``'imagenet100'``, the list that was published with CMC (arXiv 1906.05849) and to which
            most ImageNet-100 numbers refer. Defaults to ``'imagenet100'``.
        **kwargs: Arguments of mmpretrain's ``BaseDataset``: ``pipeline``, ``indices``,
            ``test_mode`` and so on.

    Raises:
        FileNotFoundError: The class list is missing, or images are missing in either layout.
        ValueError: The list is empty, contains an invalid id or an id twice; or a class has no
            image.
    """

    def __init__(
        self, data_root: str, split: str = 'train', class_list: str = 'imagenet100', **kwargs: Any
    ) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        self.class_list = class_list
        self.wnids = read_class_list(class_list)
        metainfo = dict(classes=self.wnids) | (kwargs.pop('metainfo', None) or {})
        super().__init__(
            ann_file='', metainfo=metainfo, data_root=data_root, data_prefix=split, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """List the images of the classes with their labels."""
        folder = Path(self.img_prefix)
        if any((folder / wnid).is_dir() for wnid in self.wnids):
            images = self._foldered(folder)
        else:
            images = self._annotated(folder)
        empty = sorted(set(range(len(self.wnids))).difference(label for _, label in images))
        if empty:
            raise ValueError(
                f'{folder}: no image of {len(empty)} of the {len(self.wnids)} classes of '
                f'{self.class_list}, such as {self.wnids[empty[0]]}'
            )
        return [dict(img_path=str(path), gt_label=label) for path, label in images]

    def _foldered(self, folder: Path) -> list[tuple[Path, int]]:
        images = []
        for label, wnid in enumerate(self.wnids):
            inner = folder / wnid
            names = list_images(inner, deep=False) if inner.is_dir() else []
            images += [(inner / name, label) for name in names]
        return images

    def _annotated(self, folder: Path) -> list[tuple[Path, int]]:
        tables = {name: Path(self.data_root, 'meta', f'{name}.txt') for name in ('train', 'val')}
        for table in (tables['train'], tables[self.split]):
            if not table.is_file():
                raise FileNotFoundError(
                    f'{folder}: no folder of a class of {self.class_list}, such as '
                    f'{self.wnids[0]}, and no {table} to tell which images they have'
                )
        numbers = {}
        for name, number in _read_table(tables['train']):
            wnid = _WNID.match(Path(name).name)
            if wnid is None:
                raise ValueError(f'{tables["train"]}: {name} does not start with the wnid')
            numbers[number] = wnid[0]
        labels = {wnid: label for label, wnid in enumerate(self.wnids)}
        return [
            (folder / name, labels[numbers[number]])
            for name, number in _read_table(tables[self.split])
            if numbers.get(number) in labels
        ]


def read_class_list(class_list: str) -> tuple[str, ...]:
    """Read the WordNet ids of a class list.

    Args:
        class_list (str): A text file, or ``'imagenet100'``, the name of a list of the package.

    Returns:
        tuple[str, ...]: The WordNet ids, sorted.

    Raises:
        FileNotFoundError, ValueError: As documented in :class:`ImageNetSubset`.
    """
    path = Path(__file__).with_name('imagenet100.txt')
    if class_list != 'imagenet100':
        path = Path(class_list)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such class list (a file with one wnid per line, or 'imagenet100')"
        )
    lines = [line.split('#')[0].strip() for line in path.read_text().splitlines()]
    wnids = sorted(line for line in lines if line)
    wrong = [wnid for wnid in wnids if not _WNID.fullmatch(wnid)]
    twice = [wnid for wnid, following in zip(wnids, wnids[1:], strict=False) if wnid == following]
    if wrong or twice or not wnids:
        fault = f'{wrong[0]!r} is not a wnid such as n01440764' if wrong else 'it names no class'
        raise ValueError(f'{path}: {f"{twice[0]} is there twice" if twice else fault}')
    return tuple(wnids)


def _read_table(path: Path) -> list[tuple[str, int]]:
    rows = []
    for place, line in enumerate(path.read_text().splitlines(), 1):
        name, _, number = line.strip().rpartition(' ')
        if not name or not number.isdecimal():
            raise ValueError(f'{path}: line {place} is {line!r}, expected FILE LABEL')
        rows.append((name, int(number)))
    return rows
