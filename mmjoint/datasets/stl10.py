"""STL10: reads the data set's binary files image by image."""

from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset
from mmpretrain.registry import DATASETS

SIDE = 96  # pixels
IMAGE_BYTES = 3 * SIDE * SIDE
SPLITS = ('train', 'test', 'unlabeled', 'train+unlabeled')


@DATASETS.register_module()
class STL10(BaseDataset):
    """STL-10 (Coates, Lee and Ng, AISTATS 2011) from the files of its archive.

    The split's parts (train, test, unlabeled) need ``<part>_X.bin`` each; train and test also need
    ``<part>_y.bin``. Images come decoded, so the pipeline needs no loading transform; an image is
    read from the file when it is requested, so no process holds all 2.8 GB in memory.

    Its data info holds:

    - img (np.ndarray): (96, 96, 3), BGR uint8.
    - img_shape, ori_shape (tuple[int, int])
    - img_path (str): The part and the index in it, such as ``'train_X.bin[17]'``.
    - gt_label (int): 0 to 9; absent if the image has no label.

    Args:
        data_root (str): The folder ``stl10_binary`` of the archive.
        split (str): ``'train'``, ``'test'``, ``'unlabeled'`` or ``'train+unlabeled'``. Defaults to
            ``'train'``.
        **kwargs: Arguments of mmpretrain's ``BaseDataset``: ``pipeline``, ``indices``,
            ``test_mode`` and so on.

    Raises:
        FileNotFoundError: A file of the split is missing.
        ValueError: The split is none of these, or a file has a wrong size or a wrong label.
    """

    METAINFO = {
        'classes': (
            'airplane',
            'bird',
            'car',
            'cat',
            'deer',
            'dog',
            'horse',
            'monkey',
            'ship',
            'truck',
        )
    }

    def __init__(self, data_root: str, split: str = 'train', **kwargs: Any) -> None:
        if split not in SPLITS:
            raise ValueError(f'split must be one of {SPLITS}, got {split!r}')
        self.split = split
        super().__init__(ann_file='', data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images of the split: file, index in the file and label of each."""
        data_list = []
        for part in self.split.split('+'):
            images = self._file(f'{part}_X.bin')
            count, rest = divmod(images.stat().st_size, IMAGE_BYTES)
            if rest or not count:
                raise ValueError(
                    f'{images}: {images.stat().st_size} bytes, expected a multiple of '
                    f'{IMAGE_BYTES} (3 x {SIDE} x {SIDE} per image)'
                )
            infos = [
                dict(img_path=f'{images.name}[{i}]', file=images.name, place=i)
                for i in range(count)
            ]
            if part != 'unlabeled':
                for info, label in zip(infos, self._labels(part, count), strict=True):
                    info['gt_label'] = label
            data_list += infos
        return data_list

    def get_data_info(self, idx: int) -> dict:
        """Read an image and return it with its label and path."""
        info = super().get_data_info(idx)
        raw = np.fromfile(
            Path(self.data_root, info.pop('file')),
            np.uint8,
            IMAGE_BYTES,
            offset=info.pop('place') * IMAGE_BYTES,
        )
        # The file stores the red, green and blue planes, each column by column.
        rgb = raw.reshape(3, SIDE, SIDE).transpose(2, 1, 0)
        info['img'] = np.ascontiguousarray(rgb[..., ::-1])
        info['img_shape'] = info['ori_shape'] = (SIDE, SIDE)
        return info

    def _file(self, name: str) -> Path:
        path = Path(self.data_root, name)
        if not path.is_file():
            raise FileNotFoundError(
                f'{path}: no such file; data_root must be the folder stl10_binary of the archive'
            )
        return path

    def _labels(self, part: str, count: int) -> list[int]:
        path = self._file(f'{part}_y.bin')
        labels = np.fromfile(path, np.uint8)
        if len(labels) != count:
            raise ValueError(f'{path}: {len(labels)} labels for the {count} images of {part}_X.bin')
        if labels.min() < 1 or labels.max() > 10:
            raise ValueError(
                f'{path}: labels from {labels.min()} to {labels.max()}, expected 1 to 10'
            )
        return (labels.astype(int) - 1).tolist()
