"""The compiled loops against Pillow, torchvision and exact arithmetic, and life without numba."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import functional as F

from mmjoint.pixels import compiled, operations, plain, tolerances
from mmjoint.transforms import JointView

pytest.importorskip('numba')

VIEWS = [
    dict(type='JointCrop', scale=96, crop_ratio_range=(0.08, 1.0), beta=0),
    dict(type='HorizontalFlip', prob=0.5),
    dict(type='JointColor', brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, prob=0.8),
    dict(type='ToGray', prob=0.2),
    dict(type='JointBlur', prob=0.5, beta=0),
    dict(type='PerView', transforms=[[], [dict(type='Solarization', prob=0.5)]]),
]


def as_planes(img: np.ndarray) -> np.ndarray:
    return compiled.planes(img).transpose(1, 2, 0)


def antialiased(rows: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    """Resample axis 0 with the stretched filter in double precision; round, ties up."""
    scale = max(len(rows) / size, 1)
    centers = (np.arange(size)[:, None] + 0.5) * len(rows) / size
    t = np.abs(np.arange(len(rows)) + 0.5 - centers) / scale
    if interpolation == 'bilinear':
        weights = np.maximum(0, 1 - t)
    else:  # Keys' kernel with a = -0.5
        inner, outer = (1.5 * t - 2.5) * t * t + 1, ((-0.5 * t + 2.5) * t - 4) * t + 2
        weights = np.where(t < 1, inner, np.where(t < 2, outer, 0))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.floor(np.clip(np.tensordot(weights, rows, 1), 0, 255) + 0.5 + 1e-9)


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('shape', [(32, 6), (33, 500), (96, 40), (150, 300), (500, 333)])
@pytest.mark.parametrize('size', [(96, 96), (224, 224), (64, 33), (32, 5), (61, 97)])
def test_resize_is_pillows(interpolation, shape, size):
    """Pillow's within a level, and exact arithmetic's but for one value in a hundred.

    Pillow's own distance from exact arithmetic is up to 2 in 100, where a value lies just between
    two levels. Noise is the hardest case.
    """
    img = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    got = compiled.resize(img, size, interpolation).astype(int)
    filters = dict(bilinear=Image.BILINEAR, bicubic=Image.BICUBIC)
    # Horizontally first, as the paper's Pillow did.
    pillow = Image.fromarray(img).resize((size[0], shape[0]), filters[interpolation])
    pillow = np.asarray(pillow.resize(size, filters[interpolation]))
    assert np.abs(got - pillow).max() <= 1
    exact = antialiased(img.swapaxes(0, 1), size[0], interpolation).swapaxes(0, 1)
    error = np.abs(got - antialiased(exact, size[1], interpolation))
    assert error.max() <= 1 and (error > 0).mean() < 0.01


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('shape', [(32, 40), (64, 64), (180, 233)])
def test_any_box_of_an_image(interpolation, shape):
    """Boxes of every size and place, those too that a strip of 32 rows reaches over; mirrored."""
    rng = np.random.default_rng(0)
    img = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    wrong = []
    for _ in range(40):
        columns, rows = int(rng.integers(6, shape[1] + 1)), int(rng.integers(1, shape[0] + 1))
        x, y = rng.integers(0, shape[1] - columns + 1), rng.integers(0, shape[0] - rows + 1)
        size = (int(rng.integers(32, 100)), int(rng.integers(1, 100)))
        view = compiled.Deferred(img)
        view.crop((int(x), int(y), columns, rows), size, interpolation)
        view.mirror()
        box = img[y : y + rows, x : x + columns].swapaxes(0, 1)
        exact = antialiased(box, size[0], interpolation).swapaxes(0, 1)
        error = np.abs(view.array()[:, ::-1] - antialiased(exact, size[1], interpolation))
        assert error.max() <= 1
        wrong.append((error > 0).mean())
    assert np.mean(wrong) < 0.01


def test_boxes_that_the_loops_do_not_take_are_refused(images):
    height, width = images[0].shape[:2]
    boxes = [(-1, 0, 50, 50), (0, 5, 50, height), (width - 9, 0, 10, 50)]
    for box in boxes:
        with pytest.raises(ValueError, match=r'box \('):
            compiled.Deferred(images[0]).crop(box, (64, 64), 'bilinear')
    view = compiled.Deferred(images[0])
    assert not view.crop((0, 0, 5, 50), (64, 64), 'bilinear')
    assert not view.crop((0, 0, 50, 50), (31, 64), 'bilinear') and view.shape == images[0].shape
    assert view.crop((0, 0, 50, 50), (64, 48), 'bilinear') and view.shape == (48, 64, 3)
    assert not view.crop((0, 0, 50, 48), (64, 64), 'bilinear')  # it has been cropped


def test_no_index_leaves_its_array(monkeypatch):
    """What the vectors read and write, looked at call by call, since nothing else checks it."""
    from mmjoint.pixels.kernels import blur, resize

    lanes = blur.vectors.LANES
    calls = []

    def inside(array, start, length):
        calls.append(start)
        assert int(start) >= 0 and int(start) + length <= array.size

    def transpose_tile(src, start, step, dst, to, dst_step):
        inside(src, start, 15 * int(step) + 16)
        inside(dst, to, 15 * int(dst_step) + 16)

    def weigh(vectors):
        def check(src, start, step, weights, first, count, dst, to):
            inside(src, start, int(step) * (int(count) - 1) + lanes * vectors)
            inside(weights, first, int(count))
            inside(dst, to, lanes * vectors)

        return check

    def weigh_pairs(vectors):
        def check(src, center, step, weights, count, dst, to):
            reach = int(step) * (int(count) - 1)
            inside(src, int(center) - reach, 2 * reach + lanes * vectors)
            inside(weights, 0, int(count))
            inside(dst, to, lanes * vectors)

        return check

    made = dict(transpose_tile=transpose_tile)
    for n in (1, 3, 4):
        made |= {f'weigh_{n}': weigh(n), f'weigh_float_{n}': weigh(n)}
        made |= {f'weigh_pairs_{n}': weigh_pairs(n), f'weigh_pairs_last_{n}': weigh_pairs(n)}
    for module in (resize, blur):
        monkeypatch.setattr(module, 'vectors', SimpleNamespace(**made))
    monkeypatch.setattr(blur, 'shl', lambda value, bits: value)
    for module, name in (
        (resize, '_narrow'),
        (resize, '_weigh_rows'),
        (blur, '_mirrored'),
        (blur, '_mirror_ends'),
    ):
        monkeypatch.setattr(module, name, getattr(module, name).py_func)

    boxes = [(0, 0, 60, 50), (54, 48, 6, 2), (7, 9, 33, 32), (3, 1, 41, 33), (0, 0, 6, 50)]
    img = np.zeros((50, 60, 3), np.uint8)
    for box in boxes:
        for height, width in [(32, 32), (1, 129), (97, 63), (224, 160)]:
            for cubic in (False, True):
                out = np.zeros((3, height, width), np.uint8)
                resize.resize.py_func(img, *box, out, cubic, False)
    for height, width, sigma in [(3, 2, 2.0), (9, 40, 1.0), (5, 130, 0.4), (1, 1, 0.5)]:
        blur.blur.py_func(np.zeros(3 * height * width, np.uint8), width, height, sigma)
    assert len(calls) > 1000


@pytest.mark.parametrize('shift', [-0.5, -0.2, -0.01, 0.0, 0.1, 0.37, 0.5])
def test_hue_is_torchvisions(images, shift):
    """Exact HSV, where OpenCV and Pillow cut it to 8 bits."""
    for img in images[:3]:
        rgb = torch.from_numpy(img[..., ::-1].copy()).permute(2, 0, 1)
        want = F.adjust_hue(rgb, shift).permute(1, 2, 0).numpy()[..., ::-1].astype(int)
        got = compiled.apply(img, [('hue', shift)])
        assert np.abs(got - want).max() <= tolerances.COMPILED
        if shift == 0:
            np.testing.assert_array_equal(got, img)


@pytest.mark.parametrize('factor', [1.99999, 3.99999, 7.99999, 15.99999, 16.0])
def test_factors_at_the_edge_of_sixteen_bits(images, factor):
    """Where one bit of the fraction more would not fit: brightness within a level of exact."""
    for img in images[:2]:
        got = compiled.apply(img, [('brightness', factor)])
        assert np.abs(got - np.floor(np.minimum(factor * img, 255))).max() <= tolerances.COMPILED


def test_views_are_those_of_the_plain_way(images, monkeypatch):
    """The same parameters, whatever makes the pixels, and pixels that nobody can tell apart."""
    view = JointView([VIEWS], num_views=2)
    levels, errors = [], []
    for seed, img in enumerate(images * 4):
        made = {}
        for enabled in (True, False):
            monkeypatch.setattr(compiled, 'ENABLED', enabled)
            np.random.seed(seed)
            made[enabled] = view(dict(img=img))
        assert made[True]['view_params'] == made[False]['view_params']
        for fast, slow in zip(made[True]['img'], made[False]['img'], strict=True):
            assert fast.shape == slow.shape and fast.strides == slow.strides
            difference = fast.astype(float) - slow
            levels.append(difference.mean())
            errors.append((difference**2).mean())
    assert abs(np.mean(levels)) < tolerances.VIEWS_MEAN
    assert 10 * np.log10(255**2 / np.mean(errors)) > tolerances.VIEWS_PSNR  # PSNR, dB


@pytest.mark.parametrize('make', [np.ascontiguousarray, as_planes, lambda img: img[5:-7, 3:-2]])
def test_the_given_image_is_left_alone(images, make):
    img = make(images[0])
    before = img.copy()
    compiled.resize(img, (40, 30))
    operations = dict(
        brightness=0.5, contrast=1.2, saturation=2, hue=0.1, blur=1, solarize=99, gray=0
    )
    compiled.apply(img, operations.items())
    np.testing.assert_array_equal(img, before)


def test_planes(images):
    """Every layout gives the same three planes, without a copy where they are there already."""
    img = images[0]
    want = np.ascontiguousarray(img.transpose(2, 0, 1))
    for same in (img, as_planes(img), np.asfortranarray(img)):
        got = compiled.planes(same)
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(compiled.planes(as_planes(img)[:, ::-1]), want[..., ::-1])
    np.testing.assert_array_equal(compiled.planes(as_planes(img)[::-1]), want[:, ::-1])
    planar = as_planes(img)
    assert np.shares_memory(compiled.planes(planar), planar)


@pytest.mark.parametrize(
    'img', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), 'u1')]
)
def test_other_images_are_left_to_opencv(img):
    assert not compiled.fits(img)


@pytest.mark.slow
def test_without_numba(tmp_path):
    """The same script runs where numba cannot be imported, and says what would be quicker."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((40, 50, 3), 90, np.uint8))
    code = (
        'import sys, logging\n'
        'sys.modules["numba"] = None\n'
        'from mmengine.logging import MMLogger\n'
        'MMLogger.get_instance("run", log_level="INFO")\n'
        'import cv2, mmjoint\n'
        'from mmjoint.pixels import compiled\n'
        'from mmjoint.transforms import JointView\n'
        f'view = JointView([{VIEWS!r}], num_views=2)\n'
        f'made = view(dict(img=cv2.imread({str(tmp_path / "a.png")!r})))\n'
        'assert [v.shape for v in made["img"]] == [(96, 96, 3)] * 2 and not compiled.ENABLED\n'
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "pip install 'mmjoint[fast]'" in run.stdout + run.stderr


@pytest.mark.parametrize('error', [ImportError('NumPy 9'), RuntimeError('LLVM: no such CPU')])
def test_loops_that_do_not_compile(monkeypatch, error):
    """Whatever fails, the plain way makes the views, and one line of the log says so."""
    told = []

    def fail():
        raise error

    monkeypatch.setattr(compiled, 'ENABLED', True)
    monkeypatch.setattr(compiled, '_prepared', False)
    monkeypatch.setattr(compiled, '_loops', fail)
    monkeypatch.setattr(compiled, 'print_log', lambda text, **_: told.append(text))
    img = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    got = operations.apply(img, [('brightness', 0.5)])
    np.testing.assert_array_equal(got, plain.brightness(img, 0.5))
    view = JointView([VIEWS], num_views=2)(dict(img=img))
    assert [made.shape for made in view['img']] == [(96, 96, 3)] * 2
    (line,) = told
    assert str(error) in line and 'without compiled loops' in line


def test_a_stale_cache_is_dropped(tmp_path):
    """numba compares its index with one source file only; ours are several."""
    source, index, newer = (tmp_path / name for name in ('loop.py', 'old.nbi', 'new.nbi'))
    for seconds, file in enumerate((index, source, newer)):
        file.touch()
        os.utime(file, (seconds, seconds))
    compiled._drop_stale_cache(SimpleNamespace(__file__=str(source)), str(tmp_path))
    assert not index.exists() and newer.exists()


REPORT = """
import sys
from mmjoint.pixels import compiled
compiled.prepare()
stats = [loop.stats for loop in (compiled._loops().draw, compiled._loops().apply)]
print(*(sum(getattr(s, kind).values()) for s in stats for kind in ('cache_hits', 'cache_misses')))
print(stats[0].cache_path)
"""


def start_process(folder: Path, **environment: str) -> subprocess.Popen:
    # Not in the current folder, in which Python would look for the package first.
    return subprocess.Popen(
        [sys.executable, '-c', REPORT],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.slow
def test_processes_that_start_at_once_compile_once(tmp_path):
    processes = [start_process(tmp_path, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(3)]
    told = [process.communicate(timeout=500)[0].splitlines()[-2:] for process in processes]
    # Hits and misses of `draw`, then of `apply`.
    assert sorted(counts for counts, _ in told) == ['0 1 0 1', '1 0 1 0', '1 0 1 0']
    assert all(path.startswith(str(tmp_path)) for _, path in told)


@pytest.mark.slow
def test_installation_that_cannot_be_written_to(tmp_path):
    """A file in the cache folder's place keeps root out too."""
    package = tmp_path / 'site/mmjoint'
    source = Path(compiled.__file__).parents[1]
    shutil.copytree(source, package, ignore=shutil.ignore_patterns('__pycache__', '.mim'))
    (package / 'pixels/kernels/__pycache__').write_text('')
    search = dict(PYTHONPATH=str(package.parent), NUMBA_CACHE_DIR='')
    first, second = (
        start_process(tmp_path, **search, XDG_CACHE_HOME=str(tmp_path / 'cache')).communicate(
            timeout=500
        )[0]
        for _ in range(2)
    )
    assert first.splitlines()[-2] == '0 1 0 1' and second.splitlines()[-2] == '1 0 1 0'
    assert second.splitlines()[-1].startswith(str(tmp_path / 'cache/numba'))
    nowhere, _ = start_process(tmp_path, **search, XDG_CACHE_HOME='/dev/null/none').communicate(
        timeout=500
    )
    assert 'the compiled loops cannot be kept' in nowhere
    assert nowhere.splitlines()[-1] == 'None'
