"""Pipelines that make a photo's views: mmjoint's from its configs, mmpretrain's from the recipe."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope

from .recipes import View


@dataclass(frozen=True)
class Maker:
    """One way to make the views of a photo.

    Args:
        make (Callable): Maps the path of a photo to its views, CHW tensors in the recipe's order;
            None for a maker that only reads the photo.
        about (str): What the maker is, and how it differs from the others.
        views (tuple): The library's own object that makes each view.
    """

    make: Callable[[str], Sequence[torch.Tensor] | None]
    about: str
    views: tuple = ()


def mmjoint_makers(pipeline: list[dict]) -> dict[str, Maker]:
    """Build the pipelines by which mmjoint is measured.

    Args:
        pipeline (list[dict]): ``train_pipeline`` of one of mmjoint's configs, with ``beta=None``
            everywhere.

    Returns:
        dict[str, Maker]: ``'decode only'``, the pipeline's first step; ``'mmjoint'``, the pipeline;
        ``'mmjoint joint'``, the same with beta 0.
    """
    pipeline = raising(pipeline)
    load = build_pipeline(pipeline[:1])

    def decode(file: str) -> None:
        load(dict(img_path=file))

    return {
        'decode only': Maker(
            decode,
            'LoadImage alone, as our pipelines use it: none that starts with it is faster',
        ),
        'mmjoint': _mm_maker(pipeline, 'beta None: the two views of a pair are independent'),
        'mmjoint joint': _mm_maker(
            joint_pipeline(pipeline),
            'beta 0 for crop, blur, brightness and contrast at once',
        ),
    }


def raising(pipeline: list[dict]) -> list[dict]:
    """Return the pipeline with a LoadImage that raises at a broken photo instead of skipping it."""
    return [dict(pipeline[0], on_error='raise'), *pipeline[1:]]


def joint_pipeline(pipeline: list[dict]) -> list[dict]:
    """Return a pipeline that draws crop, blur, brightness and contrast jointly.

    Args:
        pipeline (list[dict]): A pipeline with a ``JointView``; it is not changed.

    Returns:
        list[dict]: A copy with ``beta=0`` for these four.
    """
    pipeline = copy.deepcopy(pipeline)
    for step in pipeline:
        for group in step.get('transforms', []):
            for transform in group:
                if transform['type'] in ('JointCrop', 'JointBlur'):
                    transform['beta'] = 0
                elif transform['type'] == 'JointColor':
                    transform['beta'] = dict(brightness=0, contrast=0)
    return pipeline


def mmpretrain_maker(views: Sequence[View]) -> Maker:
    """Build mmpretrain's own transforms in its ``MultiView``."""
    pipeline = stock_pipeline(views)
    groups = zip(pipeline[1]['transforms'], pipeline[1]['num_views'], strict=True)
    return _mm_maker(
        pipeline,
        'stock transforms under MultiView, as in its own configs: crop and blur by Pillow, colors '
        'by NumPy and OpenCV',
        tuple(view for view, num in groups for _ in range(num)),
    )


def stock_pipeline(views: Sequence[View]) -> list[dict]:
    """Return a recipe as a pipeline of mmpretrain's own transforms.

    Args:
        views (Sequence[View]): The views of a photo; equal ones that follow each other are one
            group.

    Returns:
        list[dict]: From the photo's file to the model's inputs.
    """
    groups = [(view, len(list(same))) for view, same in groupby(views)]
    return [
        dict(type='LoadImageFromFile'),
        dict(
            type='MultiView',
            num_views=[num for _, num in groups],
            transforms=[_stock_view(view) for view, _ in groups],
        ),
        dict(type='PackInputs'),
    ]


def _stock_view(view: View) -> list[dict]:
    crop = dict(
        type='RandomResizedCrop', scale=view.size, crop_ratio_range=view.area, backend='pillow'
    )
    if view.interpolation != 'bilinear':
        crop['interpolation'] = view.interpolation
    jitter = dict(
        type='ColorJitter',
        brightness=view.brightness,
        contrast=view.contrast,
        saturation=view.saturation,
        hue=view.hue,
    )
    return view.in_order(
        dict(
            crop=crop,
            flip=dict(type='RandomFlip', prob=view.flip_prob),
            color=dict(type='RandomApply', transforms=[jitter], prob=view.color_prob),
            gray=dict(
                type='RandomGrayscale',
                prob=view.gray_prob,
                keep_channels=True,
                channel_weights=(0.114, 0.587, 0.2989),
            ),
            blur=dict(
                type='GaussianBlur',
                magnitude_range=view.blur_sigma,
                magnitude_std='inf',
                prob=view.blur_prob,
            ),
            solarize=dict(type='Solarize', thr=view.solarize_threshold, prob=view.solarize_prob),
        )
    )


def _mm_maker(pipeline: list[dict], about: str, views: tuple = ()) -> Maker:
    run = build_pipeline(pipeline)
    return Maker(lambda file: run(dict(img_path=file))['inputs'], about, views)


def build_pipeline(pipeline: list[dict]) -> Compose:
    """Build a pipeline of a config in mmpretrain's scope."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return Compose(pipeline)
