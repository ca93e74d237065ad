"""The cost of loading: JPEG decoders compared with OpenCV, and data sets as they grow."""

import io
import os
import resource
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS
from PIL import Image
from rounds import summary, time_rounds

IMAGES_PER_FOLDER = 1000
IMAGES_PER_SHARD = 2000
TOUCHED = 20_000  # entries that a worker reads
MB = 1e6

Decoder = Callable[[bytes], np.ndarray]


def decoders() -> dict[str, Decoder]:
    """Return functions from the bytes of a JPEG to an HWC uint8 array, BGR or RGB, by name."""
    found: dict[str, Decoder] = {
        'OpenCV': lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),
        'Pillow (RGB)': lambda data: np.asarray(Image.open(io.BytesIO(data)).convert('RGB')),
        'OpenCV, 1/2 size': lambda data: cv2.imdecode(
            np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2
        ),
    }
    try:  # deprecated since torchvision 0.29
        from torchvision.io import ImageReadMode, decode_jpeg
    except ImportError:
        pass
    else:
        found['torchvision (RGB)'] = lambda data: (
            decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB)
            .permute(1, 2, 0)
            .numpy()
        )
    if find_spec('simplejpeg'):
        import simplejpeg

        found['simplejpeg'] = lambda data: simplejpeg.decode_jpeg(data, 'BGR')
        found['simplejpeg, fast DCT'] = lambda data: simplejpeg.decode_jpeg(
            data, 'BGR', fastdct=True, fastupsample=True
        )
    return found


def benchmark_decoders(files: Sequence[str], seconds: float = 60.0) -> dict:
    """Measure JPEG decoders on one core, and compare their pixels with OpenCV's.

    All decode the same 20 photos in a round, in a newly drawn order; time is the process's CPU time
    without reading the files, and ratios are computed within a round.

    Args:
        files (Sequence[str]): Paths of JPEGs; those that EXIF turns, and files that are not JPEGs,
            are left out.
        seconds (float): Duration of the measurement. At least three rounds are made. Defaults to
            60.

    Returns:
        dict: ``photos`` and ``rounds``, their numbers; for each decoder the ``median`` and
            ``quartiles`` of ``milliseconds`` per photo and of ``times_opencv``, and its ``pixels``:
            how many photos are ``identical``, the ``largest`` difference of a value, and the
            ``psnr`` in decibels (None if all are identical); None for decoders of another size.

    Raises:
        ValueError: No photo is left.
    """
    photos = [data for data in map(_read, files) if data[:2] == b'\xff\xd8' and b'Exif' not in data]
    if not photos:
        raise ValueError('benchmark_decoders needs at least one JPEG without EXIF, got none')
    decode = decoders()
    pixels = {name: _compare(decode[name], photos, 'RGB' in name) for name in decode}
    rounds = time_rounds(decode, photos, seconds, photos_per_round=20)
    return dict(
        photos=len(photos),
        rounds=len(rounds),
        decoders={
            name: dict(
                milliseconds=summary([r[name] for r in rounds]),
                times_opencv=summary([r['OpenCV'] / r[name] for r in rounds]),
                pixels=pixels[name],
            )
            for name in decode
        },
    )


def _read(file: str) -> bytes:
    return Path(file).read_bytes()


def _compare(decode: Decoder, photos: list[bytes], is_rgb: bool) -> dict | None:
    identical = largest = squares = count = 0
    for data in photos:
        ours = decode(data)[..., :: -1 if is_rgb else 1]
        theirs = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if ours.shape != theirs.shape:
            return None
        difference = ours.astype(int) - theirs
        identical += not difference.any()
        largest = max(largest, int(np.abs(difference).max()))
        squares += int((difference**2).sum())
        count += difference.size
    psnr = 10 * np.log10(255**2 * count / squares) if squares else None
    return dict(identical=identical, largest=largest, psnr=psnr)


def measure_growth(kind: str, entries: int, folder: str | Path) -> dict:
    """Measure the cost of a data set with a given number of made-up entries before its first image.

    This works on Linux only. Seconds are CPU time; memory is resident memory in addition to that of
    a process that has imported everything.

    Args:
        kind (str): ``'annotation file'``, mmpretrain's ``ImageNet`` with ``meta/train.txt``;
            ``'folder'``, ``ImageFolder`` on empty files; ``'shards'``, ``WebDatasetShards`` with
            indices.
        entries (int): Number of entries.
        folder (str | Path): An empty folder in which the files to read are made.

    Returns:
        dict: ``build_s``; ``peak_mb``, while it is built; ``held_mb``, afterwards; ``worker_mb``,
            the unshared memory of a loader worker after it has read 20,000 entries; ``index_us``,
            the time to read one entry; ``shuffle_s`` and ``shuffle_mb``, for the order of one
            epoch.

    Raises:
        ValueError: The kind is none of these.
    """
    makers = {'annotation file': _make_annotation_file, 'folder': _make_folder}
    makers['shards'] = _make_shards
    if kind not in makers:
        raise ValueError(f'kind must be one of {list(makers)}, got {kind!r}')
    cfg = makers[kind](Path(folder), entries)
    return _in_child(_measure_data_set, cfg)


def _make_annotation_file(root: Path, entries: int) -> dict:
    (root / 'meta').mkdir()
    with open(root / 'meta/train.txt', 'w') as file:
        for i in range(entries):
            label = i * 1000 // entries
            file.write(f'n{label:08}/n{label:08}_{i}.JPEG {label}\n')
    return dict(type='ImageNet', data_root=str(root), split='train')


def _make_folder(root: Path, entries: int) -> dict:
    for i in range(entries):
        folder = root / f'n{i // IMAGES_PER_FOLDER:08}'
        if i % IMAGES_PER_FOLDER == 0:
            folder.mkdir()
        os.close(os.open(f'{folder}/{i}.JPEG', os.O_CREAT))
    return dict(type='ImageFolder', data_root=str(root))


def _make_shards(root: Path, entries: int) -> dict:
    for first in range(0, entries, IMAGES_PER_SHARD):
        count = min(IMAGES_PER_SHARD, entries - first)
        tar = root / f'{first // IMAGES_PER_SHARD:06}.tar'
        with open(tar, 'wb') as file:
            file.truncate((count + 1) * 200_000)  # uses no blocks of the disk
        names = (f'n{i // 1000:08}/n{i // 1000:08}_{i}.jpeg' for i in range(first, first + count))
        lines = (f'jpeg {512 + 200_000 * i} 110000 {name}\n' for i, name in enumerate(names))
        tar.with_suffix('.idx').write_text(f'v1.2 {count}\n' + ''.join(lines))
    return dict(type='WebDatasetShards', data_root=str(root), shards='*.tar')


def _measure_data_set(cfg: dict) -> dict:
    before, start = _resident(), time.process_time()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(cfg)
    found = dict(build_s=time.process_time() - start)
    found['peak_mb'] = (_peak() - before) / MB
    found['held_mb'] = (_resident() - before) / MB
    return found | _in_child(_measure_worker, dataset) | _in_child(_measure_shuffle, dataset)


def _measure_worker(dataset: torch.utils.data.Dataset) -> dict:
    places = np.random.default_rng(0).integers(0, len(dataset), TOUCHED).tolist()
    before, start = _own(), time.process_time()
    for place in places:
        dataset.get_data_info(place)
    seconds = time.process_time() - start
    return dict(worker_mb=(_own() - before) / MB, index_us=1e6 * seconds / len(places))


def _measure_shuffle(dataset: torch.utils.data.Dataset) -> dict:
    before, start = _resident(), time.process_time()
    for _ in DefaultSampler(dataset, seed=0):
        break
    return dict(shuffle_s=time.process_time() - start, shuffle_mb=(_peak() - before) / MB)


def _in_child(function: Callable[[object], dict], argument: object) -> dict:
    """Run a function in a fork of this process, as a data loader's worker is a fork."""
    context = get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(function(argument)))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError(f'{function.__name__}: its process failed, see above') from None
    finally:
        child.join()


def _resident() -> int:
    return int(Path('/proc/self/statm').read_text().split()[1]) * resource.getpagesize()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _own() -> int:
    """Return the bytes of memory that only this process has written."""
    lines = Path('/proc/self/smaps_rollup').read_text().splitlines()
    (line,) = (line for line in lines if line.startswith('Private_Dirty'))
    return int(line.split()[1]) * 1024
