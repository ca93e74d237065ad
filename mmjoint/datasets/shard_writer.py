"""Writes a folder of images as shards of the WebDataset format."""

from pathlib import Path

from ..utils.files import whole_folder
from .image_folder import ImageFolder
from .listing import printable
from .shards import _NO_WEBDATASET, read_indices


def write_shards(
    folder: str | Path, out: str | Path, images_per_shard: int = 2000, with_label: bool = False
) -> tuple[int, int]:
    """Write the images of a folder unchanged into tar files, at any depth and in sorted order.

    ``train/n01440764/a.JPEG`` becomes ``n01440764/a.jpeg``, followed by ``n01440764/a.cls`` if
    labels are written. Each tar gets its index (see :class:`WebDatasetShards`).

    Args:
        folder (str | Path): A folder that ``ImageFolder`` can read.
        out (str | Path): The folder to make, with ``000000.tar``, ``000001.tar`` and so on. It
            appears when everything is written.
        images_per_shard (int): Largest number of images per tar file. Defaults to 2000.
        with_label (bool): Whether each subfolder is a class. Defaults to False.

    Returns:
        tuple[int, int]: The numbers of images and shards.

    Raises:
        FileExistsError: ``out`` exists already.
        ValueError: Two images differ only in their extension, there is no image, or not all written
            images can be read back.
    """
    folder, out = Path(folder), Path(out)
    if images_per_shard < 1:
        raise ValueError(f'images_per_shard must be at least 1, got {images_per_shard}')
    images = ImageFolder(str(folder), with_label=with_label)
    with whole_folder(out) as partial:
        return _write(images, folder, partial, images_per_shard, with_label)


def _write(
    images: ImageFolder, folder: Path, out: Path, images_per_shard: int, with_label: bool
) -> tuple[int, int]:
    try:
        from webdataset import ShardWriter
    except ImportError as error:
        raise ImportError(_NO_WEBDATASET) from error
    pattern = str(out / '%06d.tar').replace('%', '%%').replace('%%06d', '%06d')
    last = None
    with ShardWriter(
        pattern,
        maxcount=images_per_shard,
        maxsize=float('inf'),
        encoder=False,
        mtime=0,
        verbose=0,
    ) as writer:
        for i in range(len(images)):
            info = images.get_data_info(i)
            path = Path(info['img_path'])
            name = Path(printable(path.relative_to(folder)))
            # The key of a sample ends at the first dot of a name.
            key = (name.parent / name.stem.replace('.', '_')).as_posix()
            if key == last:
                raise ValueError(f'{path}: another image has the same name but for its extension')
            last = key
            sample = {'__key__': key, path.suffix[1:].lower(): path.read_bytes()}
            if with_label:
                sample['cls'] = str(info['gt_label']).encode()
            writer.write(sample)
    shards = sorted(map(str, out.glob('*.tar')))
    found = sum(text.count(b'\n') for text in read_indices(shards))
    if found != len(images):
        raise ValueError(f'{folder}: {len(images)} images, of which shards would hold {found}')
    return len(images), len(shards)
