"""How fast SimCLR's views are made, by mmjoint and by others, from file to uint8 tensors."""

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import mmpretrain
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

ViewMaker = Callable[[str], Sequence[torch.Tensor] | None]


def benchmark_views(
    files: Sequence[str], views: list[dict], size: int = 224, seconds: float = 60.0
) -> dict:
    """Measure how many pairs of SimCLR views one core makes a second.

    All makers go over the same few photos in one round, in an order drawn anew, so that a machine
    that drifts harms all alike; ratios are taken within a round. Time is the process's CPU time on
    one thread, so that other work on the machine does not count. Runs OpenCV and torch on one
    thread from here on.

    Args:
        files (Sequence[str]): Paths of photos.
        views (list[dict]): SimCLR's views as a pipeline of mmjoint, with ``beta=None`` throughout.
        size (int): Size of the views, pixels. Defaults to 224.
        seconds (float): How long to measure. At least three rounds are made. Defaults to 60.

    Returns:
        dict: ``rounds``, their number; over them, as ``dict(median, quartiles)``, each maker's
        ``pairs_per_second`` and ``times_mmpretrain``, and ``joint_to_independent``, the speed of
        ``'mmjoint joint'`` as a fraction of that of ``'mmjoint'``.

    Raises:
        ValueError: There are no files.
        OSError: A photo cannot be read.
    """
    if not files:
        raise ValueError('benchmark_views needs at least one photo, got none')
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    makers = view_makers(views, size)
    _round(makers, files[:10])  # what is set up at the first call

    rounds: list[dict[str, float]] = []
    start = time.perf_counter()
    while len(rounds) < 3 or time.perf_counter() - start < seconds:
        first = 10 * len(rounds)
        rounds.append(_round(makers, [files[i % len(files)] for i in range(first, first + 10)]))

    def over_rounds(value: Callable[[dict], float]) -> dict:
        values = [value(speeds) for speeds in rounds]
        low, _, high = statistics.quantiles(values, n=4)
        return dict(median=statistics.median(values), quartiles=[low, high])

    return dict(
        rounds=len(rounds),
        pairs_per_second={name: over_rounds(lambda r, n=name: r[n]) for name in makers},
        times_mmpretrain={
            name: over_rounds(lambda r, n=name: r[n] / r['mmpretrain']) for name in makers
        },
        joint_to_independent=over_rounds(lambda r: r['mmjoint joint'] / r['mmjoint']),
    )


def _round(makers: dict[str, ViewMaker], files: Sequence[str]) -> dict[str, float]:
    """Run every maker over the files; give the files a second of each."""
    for file in files:  # into the file cache, and an error that names a broken one
        makers['decode'](file)
    speeds = {}
    for name in np.random.permutation(list(makers)):
        start = time.process_time()
        for file in files:
            makers[name](file)
        speeds[str(name)] = len(files) / (time.process_time() - start)
    return speeds


def view_makers(views: list[dict], size: int = 224) -> dict[str, ViewMaker]:
    """Functions from the path of a photo to its two views, uint8 CHW tensors.

    ``'decode'`` makes none, it only reads the photo. ``'mmjoint joint'`` sets beta to 0 for the
    crop, the blur, brightness and contrast. ``'mmpretrain'`` is the pipeline that mmpretrain's own
    SimCLR config holds. albumentations and lightly join in where they are installed.

    Args:
        views (list[dict]): SimCLR's views as a pipeline of mmjoint, with ``beta=None`` throughout.
        size (int): Size of the views, pixels. Defaults to 224.

    Returns:
        dict[str, Callable]: The functions by name.
    """
    views = copy.deepcopy(views)
    views[0]['scale'] = size
    joint = copy.deepcopy(views)
    for transform in joint:
        if transform['type'] in ('JointCrop', 'JointBlur'):
            transform['beta'] = 0
        elif transform['type'] == 'JointColor':
            transform['beta'] = dict(brightness=0, contrast=0)
    stock = Path(mmpretrain.__file__).parent / '.mim/configs/_base_/datasets'
    stock_views = Config.fromfile(stock / 'imagenet_bs32_simclr.py').view_pipeline
    stock_views[0]['scale'] = size

    load = dict(type='LoadImage', on_error='raise')
    makers: dict[str, ViewMaker] = {
        'decode': _decoder(load),
        'mmjoint': _mm_maker(load, 'JointView', views),
        'mmjoint joint': _mm_maker(load, 'JointView', joint),
        'mmpretrain': _mm_maker(dict(type='LoadImageFromFile'), 'MultiView', stock_views),
        'torchvision v1, PIL': _torchvision_v1_maker(size),
        'torchvision v2, tensors': _torchvision_v2_maker(size),
    }
    if find_spec('albumentations'):
        makers['albumentations'] = _albumentations_maker(size)
    if find_spec('lightly'):
        makers['lightly'] = _lightly_maker(size)
    return makers


def _decoder(load: dict) -> ViewMaker:
    pipeline = _build([load])

    def decode(file: str) -> None:
        pipeline(dict(img_path=file))

    return decode


def _mm_maker(load: dict, multi_view: str, views: list[dict]) -> ViewMaker:
    pipeline = _build(
        [
            load,
            dict(type=multi_view, num_views=2, transforms=[views]),
            dict(type='PackInputs'),
        ]
    )
    return lambda file: pipeline(dict(img_path=file))['inputs']


def _build(pipeline: list[dict]) -> Compose:
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Compose(pipeline)


def _torchvision_v1_maker(size: int) -> ViewMaker:
    view = transforms.Compose(
        [
            transforms.RandomResizedCrop(size, scale=(0.08, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.RandomApply([transforms.GaussianBlur(_blur_kernel(size), (0.1, 2.0))]),
            transforms.PILToTensor(),
        ]
    )

    def make(file: str) -> list[torch.Tensor]:
        img = Image.open(file).convert('RGB')
        return [view(img), view(img)]

    return make


def _torchvision_v2_maker(size: int) -> ViewMaker:
    view = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([v2.GaussianBlur(_blur_kernel(size), (0.1, 2.0))]),
        ]
    )

    def make(file: str) -> list[torch.Tensor]:
        img = v2.functional.pil_to_tensor(Image.open(file).convert('RGB'))
        return [view(img), view(img)]

    return make


def _blur_kernel(size: int) -> int:
    """SimCLR's kernel: a tenth of the view, odd."""
    return size // 10 // 2 * 2 + 1


def _albumentations_maker(size: int) -> ViewMaker:
    import albumentations as A
    from albumentations.pytorch import ToTensorV2

    view = A.Compose(
        [
            A.RandomResizedCrop(size=(size, size), scale=(0.08, 1.0)),
            A.HorizontalFlip(),
            A.ColorJitter((0.2, 1.8), (0.2, 1.8), (0.2, 1.8), (-0.2, 0.2), p=0.8),
            A.ToGray(p=0.2),
            A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, 2.0), p=0.5),
            ToTensorV2(),
        ]
    )

    def make(file: str) -> list[torch.Tensor]:
        img = cv2.cvtColor(cv2.imread(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return [view(image=img)['image'], view(image=img)['image']]

    return make


def _lightly_maker(size: int) -> ViewMaker:
    from lightly.transforms.simclr_transform import SimCLRTransform

    pair = SimCLRTransform(input_size=size, normalize=None)
    for view in pair.transforms:
        view.transform.transforms[-1] = transforms.PILToTensor()  # in place of ToTensor: float
    return lambda file: pair(Image.open(file).convert('RGB'))
