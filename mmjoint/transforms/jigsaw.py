"""JigsawPatches: the patches of an image in a random order, for a jigsaw branch."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module()
class JigsawPatches(BaseTransform):
    """Cut one patch out of every cell of a grid and stack them in a random order.

    The gaps between the patches keep a model from matching the patches by their edges. Source: PIRL
    (arXiv 1912.01991), section 3.1, with the sizes of the PyContrast repository. (That repository
    shuffles the features of the patches in the head, which is equivalent.)

    The patches are stacked vertically in one image, so that the stock packing, collating and
    normalizing work for them too; ``InfoMin`` splits the image into patches again.

    Required Keys:

    - img: at least grid * size pixels high and wide.

    Modified Keys:

    - img (np.ndarray): of shape (grid * grid * size, size, C).
    - img_shape

    Args:
        grid (int): Number of cells per side. Defaults to 3.
        size (int): Side of a patch in pixels. Defaults to 64, for images of 255 pixels.

    Raises:
        ValueError: An argument is not a positive integer, or the image is too small.

    Examples:
        >>> [dict(type='RandomResizedCrop', scale=255, crop_ratio_range=(0.6, 1.0)),
        >>>  dict(type='RandomFlip', prob=0.5),
        >>>  dict(type='JigsawPatches')]
    """

    def __init__(self, grid: int = 3, size: int = 64) -> None:
        for name, value in dict(grid=grid, size=size).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f'{name} must be a positive integer, got {value!r}')
        self.grid = grid
        self.size = size

    def transform(self, results: dict) -> dict:
        """Replace the image by its patches."""
        img = results['img']
        cell = [side // self.grid for side in img.shape[:2]]
        if min(cell) < self.size:
            raise ValueError(
                f'JigsawPatches: {self.grid} x {self.grid} patches of {self.size} px do not fit '
                f'into an image of {img.shape[1]} x {img.shape[0]} px'
            )
        patches = []
        for place in np.random.permutation(self.grid**2):
            row, column = divmod(int(place), self.grid)
            y = row * cell[0] + np.random.randint(cell[0] - self.size + 1)
            x = column * cell[1] + np.random.randint(cell[1] - self.size + 1)
            patches.append(img[y : y + self.size, x : x + self.size])
        results['img'] = np.concatenate(patches)
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}(grid={self.grid}, size={self.size})'
