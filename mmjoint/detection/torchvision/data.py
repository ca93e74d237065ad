"""Images and targets for the torchvision engine, and the order in which a run uses them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ...pixels.decode import MAX_PIXELS
from ..masks import decode_mask
from ..photos import load_photo


class DetectionImages(Dataset):
    """Images resized for the detector, with boxes, labels and masks in resized pixels.

    Training images have at least one object that is not a crowd, and VOC's difficult objects are
    trained on like any other, both as in detectron2.

    Args:
        coco (dict): A data set from ``mmjoint.detection.sources``, ``read_coco`` or ``read_voc``.
        short_sides (Sequence[int]): Lengths in pixels from which the short side is drawn; a test
            set has one.
        max_side (int): Limit of the long side in pixels, which takes precedence.
        training (bool): Whether to leave out images without objects, and flip half of them.
        masks (bool): Whether targets have masks. Defaults to False.
    """

    def __init__(
        self,
        coco: dict,
        short_sides: Sequence[int],
        max_side: int,
        training: bool,
        masks: bool = False,
    ) -> None:
        self.coco = coco
        self.short_sides, self.max_side = short_sides, max_side
        self.training, self.masks = training, masks
        self.category_ids = sorted(category['id'] for category in coco['categories'])
        labels = {category: label for label, category in enumerate(self.category_ids, start=1)}
        self.objects: dict[int, list] = {image['id']: [] for image in coco['images']}
        for annotation in coco['annotations']:
            if annotation.get('iscrowd') and not annotation.get('difficult'):
                continue
            x, y, w, h = annotation['bbox']
            if w > 0 and h > 0:
                label = labels[annotation['category_id']]
                self.objects[annotation['image_id']].append(
                    (label, (x, y, x + w, y + h), annotation)
                )
        self.images = [
            image for image in coco['images'] if self.objects[image['id']] or not training
        ]
        if not self.images:
            raise ValueError('the data set has no image with an object to train on')

    def __len__(self) -> int:
        return len(self.images)

    @property
    def wide(self) -> list[bool]:
        """Whether each image is wider than it is high."""
        return [image['width'] > image['height'] for image in self.images]

    def __getitem__(self, key: tuple[int, tuple[int, ...]]) -> tuple[Tensor, dict]:
        """Load and prepare an image and its target.

        Args:
            key (tuple[int, tuple[int, ...]]): Index of the image, and the seed of its draws.

        Returns:
            tuple[Tensor, dict]: The image, float (3, H, W) RGB in [0, 1]; and the target: ``boxes``
            (N, 4) as x1, y1, x2, y2, ``labels`` (N,) from 1, ``masks`` (N, H, W) uint8 if
            requested, ``image_id`` and ``size``, the original (height, width).
        """
        index, seed = key
        info = self.images[index]
        rng = np.random.default_rng(seed)
        # What the check before the run let pass is decoded.
        image = load_photo(info['file_name'], max(MAX_PIXELS, info['width'] * info['height']))
        width, height = image.size
        if (width, height) != (info['width'], info['height']):
            raise ValueError(
                f'{info["file_name"]}: {width} x {height} pixels, but its annotation says '
                f'{info["width"]} x {info["height"]}'
            )
        short_side = self.short_sides[int(rng.integers(len(self.short_sides)))]
        new_width, new_height = resized(width, height, short_side, self.max_side)
        flip = self.training and rng.random() < 0.5
        image = image.resize((new_width, new_height), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255

        objects = self.objects[info['id']]
        boxes = torch.tensor([box for _, box, _ in objects], dtype=torch.float32).reshape(-1, 4)
        boxes *= torch.tensor([new_width / width, new_height / height]).repeat(2)
        boxes[:, 0::2].clamp_(0, new_width)
        boxes[:, 1::2].clamp_(0, new_height)
        kept = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
        target = dict(
            boxes=boxes[kept],
            labels=torch.tensor([label for label, _, _ in objects], dtype=torch.int64)[kept],
            image_id=info['id'],
            size=(height, width),
        )
        if self.masks:
            masks = np.zeros((int(kept.sum()), new_height, new_width), dtype=np.uint8)
            chosen = [item for (_, _, item), keep in zip(objects, kept, strict=True) if keep]
            for mask, annotation in zip(masks, chosen, strict=True):
                full = Image.fromarray(255 * decode_mask(annotation, height, width))
                full = full.resize((new_width, new_height), Image.Resampling.BILINEAR)
                mask[:] = np.asarray(full) > 127
            target['masks'] = torch.from_numpy(masks)
        if flip:
            pixels = pixels.flip(-1)
            target['boxes'][:, [0, 2]] = new_width - target['boxes'][:, [2, 0]]
            if self.masks:
                target['masks'] = target['masks'].flip(-1)
        return pixels, target


def resized(width: int, height: int, short_side: int, max_side: int) -> tuple[int, int]:
    """Return the size, (width, height), with the given short side, or a long side of max_side."""
    scale = min(short_side / min(width, height), max_side / max(width, height))
    return max(1, round(scale * width)), max(1, round(scale * height))


class BatchSchedule(Sampler):
    """The batches of a whole run, fixed beforehand, so that a resumed run uses the same ones.

    Images are shuffled again in every epoch; a batch contains only wide or only high images, which
    saves padding.

    Args:
        wide (Sequence[bool]): Whether each image is wider than it is high.
        batch_size (int): Images per batch, over all processes.
        seed (int): Seed of the order and of the draws for each image.
        start (int): First batch to yield. Defaults to 0.
        stop (int): Batch at which to end, exclusive.
        rank (int): Rank of this process. Defaults to 0.
        world_size (int): Number of processes that share a batch evenly. Defaults to 1.
    """

    def __init__(
        self,
        wide: Sequence[bool],
        batch_size: int,
        seed: int,
        stop: int,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size % world_size:
            raise ValueError(f'batch size {batch_size} does not divide by {world_size} processes')
        self.wide, self.batch_size, self.seed = wide, batch_size, seed
        self.start, self.stop, self.rank, self.world_size = start, stop, rank, world_size

    def __len__(self) -> int:
        return self.stop - self.start

    def __iter__(self) -> Iterator[list[tuple[int, tuple[int, int, int]]]]:
        buckets: dict[bool, list] = {True: [], False: []}
        epoch = batch = 0
        while batch < self.stop:
            for index in np.random.default_rng((self.seed, epoch)).permutation(len(self.wide)):
                bucket = buckets[self.wide[index]]
                bucket.append(int(index))
                if len(bucket) < self.batch_size:
                    continue
                if self.start <= batch < self.stop:
                    keys = [(i, (self.seed, batch, slot)) for slot, i in enumerate(bucket)]
                    yield keys[self.rank :: self.world_size]
                bucket.clear()
                batch += 1
            epoch += 1


class EverySample(Sampler):
    """Every image once, divided among the processes.

    Args:
        length (int): Number of images.
        batch_size (int): Images per batch. More than one is only for images of one size: padding
            changes an image's features near its edges. Defaults to 1.
        rank (int): Rank of this process. Defaults to 0.
        world_size (int): Number of processes. Defaults to 1.
    """

    def __init__(
        self, length: int, batch_size: int = 1, rank: int = 0, world_size: int = 1
    ) -> None:
        indices = range(rank, length, world_size)
        starts = range(0, len(indices), batch_size)
        self.batches = [indices[start : start + batch_size] for start in starts]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, tuple[int, ...]]]]:
        return iter([(index, (0,)) for index in batch] for batch in self.batches)


def collate(samples: list[tuple[Tensor, dict]]) -> tuple[list[Tensor], list[dict]]:
    """Put samples into lists, since images differ in size."""
    images, targets = zip(*samples, strict=True)
    return list(images), list(targets)
