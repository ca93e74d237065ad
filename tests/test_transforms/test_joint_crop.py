"""JointCrop against Pillow's pixels, torchvision's distribution and the paper's oracles."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from mmjoint.pixels import tolerances
from mmjoint.pixels.operations import resize
from mmjoint.transforms import CropParams, JointCrop

NUM = 20_000
PILLOW = dict(bilinear=Image.BILINEAR, bicubic=Image.BICUBIC)


def boxes(crop: JointCrop, height: int, width: int, num: int = NUM, seed: int = 0) -> np.ndarray:
    """Draw pairs: an array (num, 2, 5) of x, y, width, height, area drawn."""
    np.random.seed(seed)
    results = dict(img=np.empty((height, width, 3), np.uint8))
    return np.array(
        [[(p.x, p.y, p.width, p.height, p.area) for p in crop.sample(results)] for _ in range(num)]
    )


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('size', [(224, 224), (96, 64)])
def test_pixels_are_pillows(images, interpolation, size):
    """Within 1 level of Pillow's crop and resize (bicubic: 2), and almost everywhere the same.

    Pillow 13 chooses which direction it resizes first, which moves single bicubic pixels by some
    levels; both orders are right. Here it is told to go horizontally first, as it always used to.
    """
    crop = JointCrop(size, (0.08, 1.0), interpolation=interpolation)
    np.random.seed(0)
    for img in images:
        for params in crop.sample(dict(img=img)):
            got = crop.apply(dict(img=img), params)['img'].astype(int)
            x, y, w, h = params.x, params.y, params.width, params.height
            box = Image.fromarray(img).crop((x, y, x + w, y + h))
            rows = box.resize((size[0], h), PILLOW[interpolation])
            error = np.abs(got - np.asarray(rows.resize(size, PILLOW[interpolation])))
            assert error.max() <= tolerances.RESIZE[interpolation] and error.mean() < 0.02


@pytest.mark.usefixtures('each_way')
def test_flipped_and_sliced_images(images):
    """Any strides: as stock RandomFlip, or a slice, leaves them."""
    img = images[0]
    for odd in (img[:, ::-1], img[::-1], img[10:-20, 5:-5], img[..., ::-1]):
        assert not odd.flags.c_contiguous
        np.testing.assert_array_equal(resize(odd, (40, 30)), resize(odd.copy(), (40, 30)))


@pytest.mark.usefixtures('each_way')
def test_single_channel_and_whole_image(images):
    img = images[0][..., 0]
    want = np.asarray(Image.fromarray(img).resize((50, 40), Image.BILINEAR)).astype(int)
    got = resize(img, (50, 40))
    assert got.shape == (40, 50) and np.abs(got - want).max() <= 1
    same = resize(img, img.shape[::-1])
    np.testing.assert_array_equal(same, img)
    assert not np.shares_memory(same, img)


@pytest.mark.parametrize('height,width', [(375, 500), (64, 200)])
@pytest.mark.parametrize('scale', [(0.08, 1.0), pytest.param((0.2, 1.0), marks=pytest.mark.slow)])
def test_baseline_is_torchvisions_random_resized_crop(height, width, scale):
    """beta=None: area, aspect ratio and offsets have RandomResizedCrop's distributions."""
    ours = boxes(JointCrop(224, scale, beta=None), height, width, num=NUM // 2).reshape(-1, 5)
    torch.manual_seed(0)
    blank = torch.empty(3, height, width)
    theirs = np.array(
        [RandomResizedCrop.get_params(blank, scale, (3 / 4, 4 / 3)) for _ in range(NUM)]
    )[:, [1, 0, 3, 2]]
    for name, of in dict(
        x=lambda b: b[:, 0],
        y=lambda b: b[:, 1],
        area=lambda b: b[:, 2] * b[:, 3],
        aspect=lambda b: b[:, 2] / b[:, 3],
    ).items():
        assert stats.ks_2samp(of(ours), of(theirs)).pvalue > 1e-3, name


@pytest.mark.parametrize(
    'low,beta,beyond',
    [
        (0.2, None, 0.28125),
        (0.2, 0, 1 - math.log(2) / math.log(5)),
        (0.08, None, 0.418),
        (0.08, 0, 1 - math.log(2) / math.log(12.5)),
    ],
)
def test_area_ratio_oracles_where_every_box_fits(low, beta, beyond):
    """On a square image and with square boxes nothing is redrawn: the closed forms hold."""
    crop = JointCrop(224, (low, 1.0), (1.0, 1.0), beta=beta)
    drawn = boxes(crop, 1000, 1000)
    assert (drawn[..., 2] == drawn[..., 3]).all()
    for areas in (drawn[..., 4], drawn[..., 2] * drawn[..., 3] / 1e6):
        ratio = np.abs(np.log(areas[:, 0] / areas[:, 1]))
        got = np.mean(ratio > math.log(2))
        assert got == pytest.approx(beyond, abs=4 * math.sqrt(beyond * (1 - beyond) / NUM) + 1e-3)


@pytest.mark.parametrize('beta', [2, 0, -1])
def test_joint_areas_survive_the_search_for_a_box(beta):
    """On a photo's shape the drawn areas still follow JC(beta): only aspect ratios are redrawn."""
    drawn = boxes(JointCrop(224, (0.2, 1.0), beta=beta), 375, 500)
    fits = np.abs(drawn[..., 2] * drawn[..., 3] / (375 * 500) / drawn[..., 4] - 1) < 0.02
    assert fits.mean() > 0.95  # the others took the central fallback
    limit = math.log(5)
    t = np.log(drawn[:, 1, 4] / drawn[:, 0, 4])
    if beta == 0:
        cdf = stats.uniform(-limit, 2 * limit).cdf
    elif beta > 0:
        cdf = stats.truncnorm(-beta, beta, scale=limit / beta).cdf
    else:
        t = np.where(t >= 0, limit - t, -limit - t)  # the flip is its own inverse
        cdf = stats.truncnorm(beta, -beta, scale=limit / -beta).cdf
    assert stats.kstest(t, cdf).pvalue > 1e-3


@pytest.mark.parametrize('alpha', [0.6, 0.1])
def test_center_suppressed_offsets_follow_beta(alpha):
    crop = JointCrop(224, (0.2, 0.3), position='center_suppressed', alpha=alpha)
    drawn = boxes(crop, 4000, 4000, num=NUM // 2).reshape(-1, 5)
    for offset, size in ((drawn[:, 0], drawn[:, 2]), (drawn[:, 1], drawn[:, 3])):
        limit = 4000 - size
        assert (offset >= 0).all() and (offset <= limit).all()
        # Whole pixels: compare with Beta(alpha, alpha) at the edges of ten bins of offset.
        edges = np.linspace(0.1, 0.9, 9)
        got = [(offset < edge * (limit + 1)).mean() for edge in edges]
        np.testing.assert_allclose(got, stats.beta(alpha, alpha).cdf(edges), atol=0.015)


@pytest.mark.usefixtures('each_way')
@pytest.mark.parametrize('shape', [(1, 10_000), (10_000, 1), (1, 1), (2, 3), (3000, 20)])
@pytest.mark.parametrize('beta', [None, 0])
def test_odd_shapes_give_views_of_the_asked_size(shape, beta):
    img = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    crop = JointCrop((32, 24), beta=beta)
    for _ in range(20):
        for params in crop.sample(dict(img=img)):
            assert 0 <= params.x <= params.x + params.width <= shape[1]
            assert 0 <= params.y <= params.y + params.height <= shape[0]
            assert crop.apply(dict(img=img), params)['img'].shape == (24, 32, 3)


def test_image_of_another_size_is_refused():
    crop = JointCrop(32)
    params = CropParams(0, 0, 10, 10, 0.1, (100, 100))
    with pytest.raises(ValueError, match='different sizes'):
        crop.apply(dict(img=np.zeros((50, 50, 3), np.uint8)), params)


@pytest.mark.parametrize(
    'kwargs,word',
    [
        (dict(scale=0), 'scale'),
        (dict(scale=(224, 224, 3)), 'scale'),
        (dict(crop_ratio_range=(1.0, 0.2)), 'crop_ratio_range'),
        (dict(crop_ratio_range=(0.0, 1.0)), 'crop_ratio_range'),
        (dict(crop_ratio_range=(-0.1, 1.0)), 'crop_ratio_range'),
        (dict(crop_ratio_range=(float('nan'), 1.0)), 'crop_ratio_range'),
        (dict(crop_ratio_range=(0.2, 1.5)), 'crop_ratio_range'),
        (dict(crop_ratio_range=0.2), 'crop_ratio_range'),
        (dict(aspect_ratio_range=(2.0, 0.5)), 'aspect_ratio_range'),
        (dict(beta=float('inf')), 'beta'),
        (dict(position='center'), 'position'),
        (dict(position='center_suppressed', alpha=0), 'alpha'),
        (dict(interpolation='nearest'), 'interpolation'),
    ],
)
def test_bad_values(kwargs, word):
    with pytest.raises(ValueError, match=word):
        JointCrop(**kwargs)


def test_misspelt_argument():
    with pytest.raises(TypeError, match='crop_ratio_rang'):
        JointCrop(crop_ratio_rang=(0.2, 1.0))


def test_semantic_crops_are_centred_in_the_box_where_the_border_lets_them():
    """Against the limits of the ContrastiveCrop repository, from the box to the crop's offsets."""
    height, width, box = 900, 1200, (0.3, 0.5, 0.45, 0.9)
    crop = JointCrop(224, (0.05, 0.6), position='semantic', alpha=0.6, beta=0)
    results = dict(img=np.empty((height, width, 3), np.uint8), semantic_box=box)
    np.random.seed(0)
    drawn = [p for _ in range(NUM // 2) for p in crop.sample(results)]
    places, areas = [], []
    for p in drawn:
        if (p.x, p.y) == ((width - p.width) // 2, (height - p.height) // 2):
            continue  # the central fallback, or a rare chance
        x0 = min(max(int(width * box[0]) - p.width // 2, 0), width - p.width)
        x1 = min(max(int(width * box[2]) - p.width // 2, 0), width - p.width)
        y0 = min(max(int(height * box[1]) - p.height // 2, 0), height - p.height)
        y1 = min(max(int(height * box[3]) - p.height // 2, 0), height - p.height)
        assert x0 <= p.x <= x1 and y0 <= p.y <= y1
        if x1 - x0 > 100:
            places.append((p.x - x0) / (x1 - x0 + 1))
        areas.append(p.width * p.height / (width * height))
    edges = np.linspace(0.1, 0.9, 9)
    got = [np.mean(np.array(places) < edge) for edge in edges]
    np.testing.assert_allclose(got, stats.beta(0.6, 0.6).cdf(edges), atol=0.02)
    assert max(areas) > 0.55  # far larger than the box (0.06): areas are the whole image's


def test_semantic_box_leaves_joint_areas_alone():
    """The combination with JointCrop: positions by the box, areas by JC(beta)."""
    results = dict(img=np.empty((1000, 1000, 3), np.uint8), semantic_box=(0.1, 0.2, 0.3, 0.4))
    crop = JointCrop(224, (0.2, 1.0), (1.0, 1.0), beta=0, position='semantic')
    np.random.seed(0)
    areas = np.array([[p.area for p in crop.sample(results)] for _ in range(NUM)])
    t = np.log(areas[:, 1] / areas[:, 0])
    assert stats.kstest(t, stats.uniform(-math.log(5), 2 * math.log(5)).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    'box,like', [(None, 'uniform'), ((0.0, 0.0, 1.0, 1.0), 'center_suppressed')]
)
def test_semantic_crop_without_a_box_and_with_the_whole_image(box, like):
    results = dict(img=np.empty((375, 500, 3), np.uint8), semantic_box=box)
    pairs = []
    for position in ('semantic', like):
        np.random.seed(0)
        crop = JointCrop(224, position=position, beta=None)
        pairs.append([crop.sample(results) for _ in range(200)])
    assert pairs[0] == pairs[1]


def test_semantic_crop_needs_the_box():
    with pytest.raises(ValueError, match='LoadSemanticBox'):
        JointCrop(position='semantic').sample(dict(img=np.empty((9, 9, 3), np.uint8)))
