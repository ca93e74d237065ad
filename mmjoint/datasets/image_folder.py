"""ImageFolder: a folder of images, with or without its subfolders as labels."""

import logging
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from mmpretrain.datasets import CustomDataset, ImageNet
from mmpretrain.registry import DATASETS

from .listing import EXTENSIONS, class_folders, list_images


class _ListedDataset(CustomDataset):
    """``CustomDataset`` without hidden files and folders, with errors that name the folder."""

    def _find_samples(self) -> list:
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder}: no such folder of images')
        looked_for = f'(looked for {", ".join(sorted(self.extensions))})'
        names = list_images(folder, self.extensions)
        samples: list[Any] = names
        if self.with_label:
            labels = self._class_numbers(folder)
            owners = [name.partition('/') for name in names]
            samples = [
                (name, labels[owner])
                for name, (owner, inner, _) in zip(names, owners, strict=True)
                if inner
            ]
            empty = sorted(set(class_folders(folder)).difference(owner for owner, _, _ in owners))
            if empty and samples:
                print_log(
                    f'{folder}: no image in the folder of the class {", ".join(empty)} '
                    f'{looked_for}',
                    logger='current',
                    level=logging.WARNING,
                )
        if not samples:
            where = 'in its subfolders, of which each is a class' if self.with_label else 'in it'
            raise ValueError(f'{folder}: no image {where} {looked_for}')
        return samples

    def _class_numbers(self, folder: Path) -> dict[str, int]:
        """Number the classes in the order of the sorted folders or, if given, of ``classes``."""
        folders = class_folders(folder)
        if self.CLASSES is None:
            self._metainfo['classes'] = tuple(folders)
        elif set(folders) <= set(self.CLASSES):
            folders = list(self.CLASSES)
        elif len(folders) != len(self.CLASSES):
            raise ValueError(
                f'{folder}: {len(folders)} folders of classes, and {len(self.CLASSES)} classes '
                'are given'
            )
        self.folder_to_idx = {name: number for number, name in enumerate(folders)}
        return self.folder_to_idx


@DATASETS.register_module()
class ImageFolder(_ListedDataset):
    """mmpretrain's ``CustomDataset`` for folders, with WebP and an error that names the folder.

    Images are found at any depth, in sorted order, whatever the case of their extension. Hidden
    files and folders (``._a.jpg``, ``.ipynb_checkpoints``, ``__MACOSX``) are neither images nor
    classes.

    Args:
        data_root (str): The folder.
        data_prefix (str): A folder inside it, such as ``'train'``. Defaults to ``''``.
        with_label (bool): Whether each subfolder is a class. The number of a class is its index
            among the sorted names, or in ``metainfo['classes']`` if that is given. Defaults to
            False.
        **kwargs: Arguments of ``CustomDataset``: ``pipeline``, ``indices``, ``test_mode`` and so
            on.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: The folder contains no image, or, with labels, no image in a subfolder.

    Examples:
        >>> dict(type='ImageFolder', data_root='data/images', pipeline=[dict(type='LoadImage')])
    """

    def __init__(
        self, data_root: str, data_prefix: str = '', with_label: bool = False, **kwargs: Any
    ) -> None:
        kwargs.setdefault('extensions', EXTENSIONS)
        super().__init__(data_root, data_prefix, with_label=with_label, **kwargs)


@DATASETS.register_module()
class ImageNet1K(_ListedDataset, ImageNet):
    """mmpretrain's ``ImageNet``, which ignores hidden files and folders.

    Args:
        **kwargs: Arguments of mmpretrain's ``ImageNet``: ``data_root``, ``split``, ``pipeline`` and
            so on.

    Raises:
        FileNotFoundError, ValueError: As documented in :class:`ImageFolder`.
    """
