"""TinyImageNet: 200 classes of 64-pixel photos, in the archive's layout or in class folders."""

from pathlib import Path
from typing import Any

from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

from .listing import class_folders, list_images


@DATASETS.register_module()
class TinyImageNet(BaseDataset):
    """Tiny-ImageNet (the CS231n course's ``tiny-imagenet-200``).

    Reads the archive as it is published::

        data_root/train/<wnid>/images/*.JPEG
        data_root/val/images/*.JPEG
        data_root/val/val_annotations.txt

    or plain class folders, ``data_root/<split>/<wnid>/*.JPEG``. The classes are the folders of
    ``train`` in sorted order, for both splits, so labels agree even if ``val`` holds fewer of them.

    Args:
        data_root (str): The folder that holds ``train`` and ``val``.
        split (str): ``'train'`` or ``'val'``; the archive's test images have no labels. Defaults
            to ``'train'``.
        **kwargs: Arguments of mmpretrain's ``BaseDataset``: ``pipeline``, ``indices``,
            ``test_mode`` and so on.

    Raises:
        FileNotFoundError: There is no folder of the split, or no ``train`` folder.
        ValueError: The split contains no image, or ``val`` has a class that ``train`` lacks.
    """

    def __init__(self, data_root: str, split: str = 'train', **kwargs: Any) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split must be 'train' or 'val', got {split!r}")
        self.split = split
        super().__init__(ann_file='', data_root=data_root, data_prefix=split, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images of the split with their labels."""
        folder, train = Path(self.img_prefix), Path(self.data_root, 'train')
        for needed in (train, folder):
            if not needed.is_dir():
                raise FileNotFoundError(
                    f'{needed}: no such folder; Tiny-ImageNet has train and val'
                )
        classes = class_folders(train)
        self._metainfo['classes'] = tuple(classes)
        images = self._annotated(folder) or self._foldered(folder)
        if not images:
            raise ValueError(f'{folder}: no .JPEG image of a class in it')
        unknown = sorted({wnid for _, wnid in images}.difference(classes))
        if unknown:
            raise ValueError(
                f'{folder}: {len(unknown)} classes that {train} lacks, such as {unknown[0]}'
            )
        labels = {wnid: label for label, wnid in enumerate(classes)}
        return [dict(img_path=str(path), gt_label=labels[wnid]) for path, wnid in images]

    @staticmethod
    def _annotated(folder: Path) -> list[tuple[Path, str]]:
        table = folder / 'val_annotations.txt'
        # A copy sorted into class folders may have kept the table without the folder it describes.
        if not table.is_file() or not (folder / 'images').is_dir():
            return []
        images = []
        for number, line in enumerate(table.read_text().splitlines(), 1):
            name, *columns = line.split('\t')
            if not columns:
                raise ValueError(f'{table}: line {number} is {line!r}, expected FILE<tab>WNID...')
            images.append((folder / 'images' / name, columns[0]))
        return images

    @staticmethod
    def _foldered(folder: Path) -> list[tuple[Path, str]]:
        images = []
        for wnid in class_folders(folder):
            inner = folder / wnid / 'images'
            inner = inner if inner.is_dir() else folder / wnid
            images += [(inner / name, wnid) for name in list_images(inner, ['.jpeg'], deep=False)]
        return images
