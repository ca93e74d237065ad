"""The views of a recipe made by torchvision, albumentations, lightly and kornia.

Each library is used as its users write such a pipeline: its own transforms with the recipe's
numbers, its defaults for everything else, the photo read as in its documentation. If that gives
other pixels than the other libraries, the maker's description says so.
"""

import random
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import groupby
from types import ModuleType

import cv2
import torch
from PIL import Image, ImageFilter
from torchvision import transforms
from torchvision.transforms import v2

from .makers import Maker
from .recipes import View


class PillowBlur:
    """Gaussian blur as in MoCo's repository; its recipes seldom use torchvision's own blur.

    Args:
        sigma (tuple[float, float]): Range of the standard deviation in pixels.
    """

    def __init__(self, sigma: tuple[float, float]) -> None:
        self.sigma = sigma

    def __call__(self, img: Image.Image) -> Image.Image:
        """Blur with a newly drawn standard deviation."""
        return img.filter(ImageFilter.GaussianBlur(radius=random.uniform(*self.sigma)))


def torchvision_v1(views: Sequence[View]) -> Maker:
    """Build torchvision's transforms on Pillow's images."""

    def build(view: View) -> transforms.Compose:
        steps = _torchvision(transforms, view, PillowBlur(view.blur_sigma))
        return transforms.Compose([*steps, _to_tensor()])

    pipelines = _each(views, build)

    def make(file: str) -> list[torch.Tensor]:
        img = _read_pillow(file)
        return [pipeline(img) for pipeline in pipelines]

    return Maker(
        make,
        "Pillow's decoder and images, and its blur as in MoCo's repository: torchvision's own, on "
        'tensors, is many times slower',
        pipelines,
    )


def torchvision_v2(views: Sequence[View]) -> Maker:
    """Build torchvision's v2 transforms on uint8 tensors."""

    def build(view: View) -> v2.Compose:
        return v2.Compose(_torchvision(v2, view, v2.GaussianBlur(_kernel(view), view.blur_sigma)))

    pipelines = _each(views, build)

    def make(file: str) -> list[torch.Tensor]:
        img = _read_tensor(file)
        return [pipeline(img) for pipeline in pipelines]

    return Maker(
        make,
        "Pillow's decoder, uint8 tensors from there on; its blur, a two-dimensional convolution "
        "over a tenth of the view's side, takes most of the time",
        pipelines,
    )


def _torchvision(library: ModuleType, view: View, blur: Callable) -> list:
    """Return the steps of a view; the names are the same in v1 and v2."""
    jitter = library.ColorJitter(view.brightness, view.contrast, view.saturation, view.hue)
    interpolation = transforms.InterpolationMode(view.interpolation)
    return view.in_order(
        dict(
            crop=library.RandomResizedCrop(
                view.size, scale=view.area, interpolation=interpolation, antialias=True
            ),
            flip=library.RandomHorizontalFlip(view.flip_prob),
            color=library.RandomApply([jitter], view.color_prob),
            gray=library.RandomGrayscale(view.gray_prob),
            blur=library.RandomApply([blur], view.blur_prob),
            solarize=library.RandomSolarize(view.solarize_threshold, view.solarize_prob),
        )
    )


def _kernel(view: View) -> int:
    """Return the side of SimCLR's blur kernel: a tenth of the view's side, odd."""
    return view.size // 10 // 2 * 2 + 1


def _albumentations(views: Sequence[View]) -> Maker:
    import albumentations as A
    from albumentations.pytorch import ToTensorV2

    interpolations = dict(bilinear=cv2.INTER_LINEAR, bicubic=cv2.INTER_CUBIC)

    def build(view: View) -> A.Compose:
        threshold = (view.solarize_threshold - 0.5) / 255  # inverts levels of at least this value
        steps = dict(
            crop=A.RandomResizedCrop(
                size=(view.size, view.size),
                scale=view.area,
                interpolation=interpolations[view.interpolation],
            ),
            flip=A.HorizontalFlip(p=view.flip_prob),
            color=A.ColorJitter(
                brightness=view.brightness,
                contrast=view.contrast,
                saturation=view.saturation,
                hue=view.hue,
                p=view.color_prob,
            ),
            gray=A.ToGray(p=view.gray_prob),
            # 0 lets the library choose the size from sigma.
            blur=A.GaussianBlur(blur_limit=0, sigma_limit=view.blur_sigma, p=view.blur_prob),
            solarize=A.Solarize(threshold_range=(threshold, threshold), p=view.solarize_prob),
        )
        return A.Compose([*view.in_order(steps), ToTensorV2()])

    pipelines = _each(views, build)

    def make(file: str) -> list[torch.Tensor]:
        img = cv2.imread(file, cv2.IMREAD_COLOR_RGB)
        return [pipeline(image=img)['image'] for pipeline in pipelines]

    return Maker(
        make,
        "OpenCV; the crop's resize is not antialiased (its default), the tensors are views of HWC "
        'arrays, which a batch has yet to rearrange',
        pipelines,
    )


def _lightly(views: Sequence[View]) -> Maker:
    from lightly.transforms.byol_transform import (
        BYOLTransform,
        BYOLView1Transform,
        BYOLView2Transform,
    )
    from lightly.transforms.dino_transform import DINOTransform
    from lightly.transforms.simclr_transform import SimCLRTransform

    first, second, *others = views
    # DINOTransform multiplies these by a strength of 0.5; the other classes' strength is 1. (Its
    # second view ignores the argument and keeps the default, which is 0.5 too.)
    strength = 0.5 if others else 1.0
    shared = dict(
        cj_prob=first.color_prob,
        cj_bright=first.brightness / strength,
        cj_contrast=first.contrast / strength,
        cj_sat=first.saturation / strength,
        cj_hue=first.hue / strength,
        random_gray_scale=first.gray_prob,
        sigmas=first.blur_sigma,
        hf_prob=first.flip_prob,
        normalize=None,
    )
    one_size = dict(input_size=first.size, min_scale=first.area[0])
    if others:
        maker = DINOTransform(
            global_crop_size=first.size,
            global_crop_scale=first.area,
            local_crop_size=others[0].size,
            local_crop_scale=others[0].area,
            n_local_views=len(others),
            gaussian_blur=(first.blur_prob, second.blur_prob, others[0].blur_prob),
            solarization_prob=second.solarize_prob,
            **shared,
        )
    elif first == second:
        maker = SimCLRTransform(**one_size, gaussian_blur=first.blur_prob, **shared)
    else:
        maker = BYOLTransform(
            *(
                kind(
                    **one_size,
                    gaussian_blur=view.blur_prob,
                    solarization_prob=view.solarize_prob,
                    **shared,
                )
                for kind, view in ((BYOLView1Transform, first), (BYOLView2Transform, second))
            )
        )
    pipelines = tuple(view.transform for view in maker.transforms)
    for pipeline in set(pipelines):
        pipeline.transforms[-1] = _to_tensor()  # uint8, in place of its ToTensor: float
    return Maker(
        lambda file: maker(_read_pillow(file)),
        f"{type(maker).__name__}: Pillow's decoder, images and blur, the flip always after the "
        'crop; ToTensor and Normalize give way to uint8 tensors',
        pipelines,
    )


def _kornia(views: Sequence[View]) -> Maker:
    import kornia.augmentation as K

    def build(view: View) -> torch.nn.Sequential:
        threshold = (view.solarize_threshold - 0.5) / 255
        kernel = _kernel(view)
        steps = dict(
            crop=K.RandomResizedCrop(
                (view.size, view.size), scale=view.area, resample=view.interpolation
            ),
            flip=K.RandomHorizontalFlip(p=view.flip_prob),
            color=K.ColorJitter(
                view.brightness, view.contrast, view.saturation, view.hue, p=view.color_prob
            ),
            gray=K.RandomGrayscale(p=view.gray_prob),
            blur=K.RandomGaussianBlur((kernel, kernel), view.blur_sigma, p=view.blur_prob),
            solarize=K.RandomSolarize((threshold, threshold), (0.0, 0.0), p=view.solarize_prob),
        )
        return torch.nn.Sequential(*view.in_order(steps))

    pipelines = _each(views, build)
    batches = [
        (view, len(list(same))) for view, same in groupby(zip(views, pipelines, strict=True))
    ]

    def make(file: str) -> list[torch.Tensor]:
        img = _read_tensor(file)[None].float() / 255
        return [
            made for (_, pipeline), num in batches for made in pipeline(img.expand(num, -1, -1, -1))
        ]

    return Maker(
        make,
        "Pillow's decoder, float tensors in [0, 1], the views of a photo that are made "
        'alike as one batch; gives float views; the crop is not antialiased (it has no such '
        'option); on a GPU, where it is at home, it is not measured',
        pipelines,
    )


def _each(views: Sequence[View], build: Callable[[View], object]) -> tuple:
    """Return one pipeline per view; equal views share one."""
    built = {view: build(view) for view in dict.fromkeys(views)}
    return tuple(built[view] for view in views)


def _read_pillow(file: str) -> Image.Image:
    return Image.open(file).convert('RGB')


def _read_tensor(file: str) -> torch.Tensor:
    return v2.functional.pil_to_tensor(_read_pillow(file))


def _to_tensor() -> transforms.PILToTensor:
    return transforms.PILToTensor()


_OPTIONAL: dict[str, Callable[[Sequence[View]], Maker]] = {
    'albumentations': _albumentations,
    'lightly': _lightly,
    'kornia': _kornia,
}


def peer_makers(views: Sequence[View]) -> dict[str, Maker]:
    """Build the recipe with each library that is installed.

    Args:
        views (Sequence[View]): A recipe: two views, or two and then any number of equal ones.

    Returns:
        dict[str, Maker]: The makers by the library's name.
    """
    makers = {
        'torchvision v1, PIL': torchvision_v1(views),
        'torchvision v2, tensors': torchvision_v2(views),
    }
    for name, build in _OPTIONAL.items():
        if find_spec(name):
            makers[name] = build(views)
    return makers


def missing_peers() -> list[str]:
    """Return the names of the libraries that are not installed; the extra ``bench`` has them."""
    return [name for name in _OPTIONAL if not find_spec(name)]
