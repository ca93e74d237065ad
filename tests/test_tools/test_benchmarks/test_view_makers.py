"""The benchmark's recipes against the configs, and what each library makes of their numbers."""

import colorsys
import os
from dataclasses import replace
from pathlib import Path

import cv2
import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from view_benchmark import (
    CONFIGS,
    RECIPES,
    View,
    joint_pipeline,
    mmjoint_makers,
    mmpretrain_maker,
    peer_makers,
)

import mmjoint  # noqa: F401  registers what the configs name

ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = [
    'mmpretrain',
    'torchvision v1, PIL',
    'torchvision v2, tensors',
    'albumentations',
    'lightly',
    'kornia',
]
# Nothing happens to a photo of this size but what a test asks for.
BARE = View(
    size=64,
    area=(1.0, 1.0),
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    hue=0.0,
    color_prob=0.0,
    gray_prob=0.0,
    blur_prob=0.0,
    flip_prob=0.0,
)


def config_of(recipe: str) -> list[dict]:
    return Config.fromfile(ROOT / f'configs/_base_/views/{CONFIGS[recipe]}.py').train_pipeline


def view_of(group: list[dict], place: int) -> tuple[View, list[str]]:
    """The numbers of one view of a pair and the order of its steps, read from a config."""
    names = dict(
        JointCrop='crop', HorizontalFlip='flip', JointColor='color', ToGray='gray', JointBlur='blur'
    )
    steps, order = dict(blur=dict(prob=0.0), solarize=dict(prob=0.0)), []
    for step in group:
        if step['type'] == 'PerView':
            for inner in step['transforms'][place]:
                steps['solarize'] = inner
                order.append('solarize')
        else:
            steps[names[step['type']]] = step
            order.append(names[step['type']])
    assert all(step.get('beta', None) is None for step in group)
    blur_prob = steps['blur']['prob']
    view = View(
        size=steps['crop']['scale'],
        area=tuple(steps['crop']['crop_ratio_range']),
        interpolation=steps['crop'].get('interpolation', 'bilinear'),
        **{name: steps['color'][name] for name in ('brightness', 'contrast', 'saturation', 'hue')},
        color_prob=steps['color']['prob'],
        gray_prob=steps['gray']['prob'],
        blur_sigma=tuple(steps['blur'].get('sigma_range', (0.1, 2.0))),
        blur_prob=blur_prob[place] if isinstance(blur_prob, (list, tuple)) else blur_prob,
        solarize_threshold=steps['solarize'].get('thr', 128),
        solarize_prob=steps['solarize']['prob'],
        flip_prob=steps['flip']['prob'],
        flip_last=order[-1] == 'flip',
    )
    return view, order


@pytest.mark.parametrize('recipe', RECIPES)
def test_recipes_are_the_configs(recipe):
    step = config_of(recipe)[1]
    nums = step['num_views'] if isinstance(step['num_views'], list) else [step['num_views']]
    found = [
        view_of(group, i % 2)
        for group, num in zip(step['transforms'], nums, strict=True)
        for i in range(num)
    ]
    assert tuple(view for view, _ in found) == RECIPES[recipe]
    for view, order in found:
        steps = {name: name for name in ('crop', 'flip', 'color', 'gray', 'blur', 'solarize')}
        assert view.in_order(steps) == order


@pytest.mark.parametrize(
    'recipe, name',
    [('simclr', 'bs32_simclr'), ('mocov2', 'bs32_mocov2'), ('mocov3', 'bs512_mocov3')],
)
def test_mmpretrain_gets_its_own_configs(recipe, name):
    folder = Path(mmpretrain.__file__).parent / '.mim/configs/_base_/datasets'
    multi_view = Config.fromfile(folder / f'imagenet_{name}.py').train_pipeline[1]
    nums = multi_view['num_views']
    stock = [
        [dict(step) for step in group if step.get('prob') != 0.0]
        for group, num in zip(multi_view['transforms'], np.atleast_1d(nums), strict=True)
        for _ in range(num)
    ]
    for group in stock:
        group[0].setdefault('crop_ratio_range', (0.08, 1.0))  # RandomResizedCrop's default
    assert list(mmpretrain_maker(RECIPES[recipe]).views) == stock


@pytest.mark.parametrize('recipe', RECIPES)
def test_joint_is_beta_0_in_crop_blur_brightness_and_contrast(recipe):
    plain = config_of(recipe)
    joint = joint_pipeline(plain)
    for before, after in zip(plain[1]['transforms'], joint[1]['transforms'], strict=True):
        for old, new in zip(before, after, strict=True):
            beta = dict(JointCrop=0, JointBlur=0, JointColor=dict(brightness=0, contrast=0))
            assert new == (dict(old, beta=beta[old['type']]) if old['type'] in beta else old)
            assert old.get('beta') is None


def write(tmp_path: Path, image: np.ndarray) -> str:
    """Write an RGB image without loss."""
    path = str(tmp_path / 'photo.png')
    cv2.imwrite(path, cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_RGB2BGR))
    return path


def make_views(library: str, views: tuple[View, ...], file: str, times: int = 1) -> list[list]:
    """Views in [0, 255], RGB, HWC, float: a list of each `times` over."""
    if library == 'mmpretrain':
        maker = mmpretrain_maker(views)
    else:
        if library.isalpha():
            pytest.importorskip(library)
        maker = peer_makers(views)[library]
    made = []
    for _ in range(times):
        outputs = maker.make(file)
        assert len(outputs) == len(views)
        for view, output in zip(views, outputs, strict=True):
            assert output.shape == (3, view.size, view.size)
            assert output.dtype == (torch.float32 if library == 'kornia' else torch.uint8)
        scale = 255 if library == 'kornia' else 1
        images = [output.permute(1, 2, 0).numpy() * scale for output in outputs]
        made.append([img[..., ::-1] if library == 'mmpretrain' else img for img in images])
    return made


def pair(library: str, file: str, times: int, **changes: object) -> list[np.ndarray]:
    view = replace(BARE, **changes)
    return [img for images in make_views(library, (view, view), file, times) for img in images]


@pytest.fixture(params=LIBRARIES)
def library(request, monkeypatch) -> str:
    monkeypatch.setenv('NO_ALBUMENTATIONS_UPDATE', '1')
    return request.param


def halves(left: int, right: int, size: int = 64) -> np.ndarray:
    image = np.full((size, size, 3), left)
    image[:, size // 2 :] = right
    return image


def test_nothing_asked_for_changes_nothing(library, tmp_path):
    y, x = np.mgrid[:64, :64]
    image = np.stack([4 * x, 4 * y, 0 * x + 90], -1)
    for img in pair(library, write(tmp_path, image), 1):
        assert np.abs(img - image).max() <= 1


@pytest.mark.parametrize(
    'name, image, factor',
    [
        ('brightness', halves(100, 100), lambda img: img.mean() / 100),
        ('contrast', halves(80, 160), lambda img: (img[:, -1].mean() - img[:, 0].mean()) / 80),
        (
            'saturation',
            np.full((64, 64, 3), (150, 100, 90)),
            lambda img: np.ptp(img.mean((0, 1))) / 60,
        ),
    ],
)
def test_factors(library, name, image, factor, tmp_path):
    images = pair(library, write(tmp_path, image), 30, color_prob=1.0, **{name: 0.4})
    factors = [factor(img) for img in images]
    assert 0.58 <= min(factors) < 0.75 and 1.25 < max(factors) <= 1.42


def test_hue_is_in_turns(library, tmp_path):
    color = (180, 90, 60)
    images = pair(
        library, write(tmp_path, np.full((64, 64, 3), color)), 30, color_prob=1.0, hue=0.1
    )
    before = colorsys.rgb_to_hsv(*color)[0]
    shifts = []
    for img in images:
        shift = colorsys.rgb_to_hsv(*img.mean((0, 1)))[0] - before
        shifts.append((shift + 0.5) % 1 - 0.5)
    assert -0.11 <= min(shifts) < -0.06 and 0.06 < max(shifts) <= 0.11


def test_gray_is_the_luma(library, tmp_path):
    file = write(tmp_path, np.full((64, 64, 3), (200, 90, 40)))
    for img in pair(library, file, 1, gray_prob=1.0):
        assert np.abs(img - (0.299 * 200 + 0.587 * 90 + 0.114 * 40)).max() <= 1


def test_blur_has_its_sigma(library, tmp_path):
    """The slope across a blurred edge is the Gaussian itself: its variance is sigma squared."""
    file = write(tmp_path, halves(0, 255, 224))
    for img in pair(library, file, 1, size=224, blur_prob=1.0, blur_sigma=(1.5, 1.5)):
        slope = np.diff(img[112, :, 0].astype(float))
        place = np.arange(len(slope))
        mean = (slope * place).sum() / slope.sum()
        sigma = np.sqrt((slope * (place - mean) ** 2).sum() / slope.sum())
        assert abs(sigma - 1.5) < 0.1


def test_solarize_inverts_from_the_threshold_on_in_view_2_alone(library, tmp_path):
    views = (BARE, replace(BARE, solarize_prob=1.0))
    image = np.concatenate([halves(127, 128)[:32], halves(0, 200)[:32]])
    ((first, second),) = make_views(library, views, write(tmp_path, image))
    assert np.abs(first - image).max() <= 1
    expected = np.where(image < 128, image, 255 - image)
    assert np.abs(second - expected).max() <= 1


def test_crop_has_its_area(library, tmp_path):
    """Red tells the column, green the row: their extents are those of the crop."""
    y, x = np.mgrid[:256, :256]
    file = write(tmp_path, np.stack([x, y, 0 * x], -1))
    areas = [
        np.ptp(img[..., 0]) / 255 * np.ptp(img[..., 1]) / 255
        for img in pair(library, file, 40, area=(0.5, 1.0))
    ]
    assert 0.46 <= min(areas) < 0.62 and 0.86 < max(areas) <= 1


@pytest.mark.parametrize('step', ['color', 'gray', 'blur', 'flip', 'solarize'])
def test_probabilities(library, step, tmp_path):
    image = halves(60, 180)
    image[..., 2] //= 2
    views = [replace(BARE, hue=0.5)] * 2
    if step == 'blur':
        views = [replace(view, blur_sigma=(2.0, 2.0)) for view in views]
    # The second view alone is solarized in all recipes.
    views[-1] = replace(views[-1], **{f'{step}_prob': 0.3})
    if step != 'solarize':
        views[0] = views[1]
    made = make_views(library, tuple(views), write(tmp_path, image), 150)
    changed = [np.abs(images[1] - image).max() > 5 for images in made]
    # Four standard errors; a hue shift of less than five levels is rare.
    assert abs(np.mean(changed) - 0.3) < 0.15


def test_multicrop(library, tmp_path):
    """Two views of one size, any number of another: their sizes, and blur and solarize of each."""
    image = halves(0, 200)
    large = replace(BARE, interpolation='bicubic')
    small = replace(large, size=32)
    views = (large, replace(large, solarize_prob=1.0), small, small)
    ((first, second, *others),) = make_views(library, views, write(tmp_path, image))
    assert [first[0, 0, 0], second[0, 0, 0]] == [0, 0]
    assert abs(first[0, -1, 0] - 200) <= 1 and abs(second[0, -1, 0] - 55) <= 1
    for img in others:
        assert abs(img[0, -1, 0] - 200) <= 1


def test_multicrop_has_the_factors_in_every_view(library, tmp_path):
    large = replace(BARE, color_prob=1.0, brightness=0.4)
    views = (large, replace(large, solarize_prob=0.01), *[replace(large, size=32)] * 2)
    made = make_views(library, views, write(tmp_path, halves(80, 80)), 30)
    for place in range(len(views)):
        factors = [images[place].mean() / 80 for images in made]
        assert 0.58 <= min(factors) < 0.8 and 1.2 < max(factors) <= 1.42


@pytest.mark.parametrize('recipe', RECIPES)
@pytest.mark.parametrize('name', ['mmjoint', 'mmjoint joint', *LIBRARIES])
def test_views_of_a_plain_photo_are_plain(name, recipe, tmp_path):
    if name.isalpha() and not name.startswith('mm'):
        pytest.importorskip(name)
    os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'
    file = write(tmp_path, np.full((60, 80, 3), (200, 90, 40)))
    views = RECIPES[recipe]
    makers = mmjoint_makers(config_of(recipe)) | {'mmpretrain': mmpretrain_maker(views)}
    make = (makers | peer_makers(views))[name].make
    colors = set()
    for _ in range(4):
        outputs = make(file)
        assert [tuple(out.shape) for out in outputs] == [(3, v.size, v.size) for v in views]
        for view in outputs:
            assert view.dtype == (torch.float32 if name == 'kornia' else torch.uint8)
            view = view.float() * (255 if name == 'kornia' else 1)
            assert (view.flatten(1).amax(1) - view.flatten(1).amin(1)).max() <= 1.01
            colors.add(tuple(view[:, 0, 0].tolist()))
    assert len(colors) > 3
