"""ImageFolder: a folder of images, with its subfolders as labels or without labels."""

from pathlib import Path

from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS

EXTENSIONS = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')


@DATASETS.register_module()
class ImageFolder(CustomDataset):
    """mmpretrain's ``CustomDataset`` for folders, with WebP and an error that names the folder.

    Images are found at any depth, in sorted order, whatever the case of their extension.

    Args:
        data_root (str): The folder.
        data_prefix (str): A folder in it, such as ``'train'``. Defaults to ``''``.
        with_label (bool): Whether each subfolder is a class; its number is its place among the
            sorted names. Defaults to False.
        **kwargs: As for ``CustomDataset``: ``pipeline``, ``indices``, ``test_mode`` and so on.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no image, or, with labels, none in a subfolder.

    Examples:
        >>> dict(type='ImageFolder', data_root='data/images', pipeline=[dict(type='LoadImage')])
    """

    def __init__(
        self, data_root: str, data_prefix: str = '', with_label: bool = False, **kwargs
    ) -> None:
        kwargs.setdefault('extensions', EXTENSIONS)
        super().__init__(data_root, data_prefix, with_label=with_label, **kwargs)

    def _find_samples(self) -> list:
        folder = Path(self.img_prefix)
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder}: no such folder of images')
        try:
            return super()._find_samples()
        except RuntimeError as error:  # CustomDataset's word for 'none found'
            where = 'in its subfolders, of which each is a class' if self.with_label else 'in it'
            raise ValueError(
                f'{folder}: no image {where} (looked for {", ".join(sorted(self.extensions))})'
            ) from error
