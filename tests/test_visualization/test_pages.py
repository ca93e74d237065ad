"""The browse page in a browser."""

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmjoint.pairs.source import PairSource
from mmjoint.visualization import browse_views

LUMINANCE = """(() => {
  const light = css => css.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const back = light(getComputedStyle(document.body).backgroundColor);
  const seen = [...document.querySelectorAll('p, li, dt, dd, h1, h2, h3, small, figcaption')];
  const ratio = e => { const l = light(getComputedStyle(e).color);
    return (Math.max(l, back) + 0.05) / (Math.min(l, back) + 0.05) };
  return [back, Math.min(...seen.map(ratio))] })()"""
SHOWN = """[...document.querySelectorAll('.tab')].filter(e => e.getClientRects().length)
  .map(e => [...e.classList].find(name => /^tab\\d/.test(name)))
  .filter((name, i, all) => all.indexOf(name) === i)"""


@pytest.fixture(scope='module')
def page_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp('browse')
    (folder / 'photos').mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate([(320, 240), (200, 300), (500, 120)]):
        small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size).save(folder / f'photos/a_rather_long_name_{i}.png')
    views = [
        dict(type='JointCrop', scale=96, beta=None),
        dict(type='JointColor', brightness=0.4, hue=0.1, prob=0.8),
        dict(type='JointBlur', prob=0.5, beta=None),
    ]
    groups = [views, [dict(type='JointCrop', scale=48, crop_ratio_range=(0.05, 0.4))]]
    pipeline = [
        dict(type='LoadImage'),
        dict(type='JointView', num_views=[2, 4], transforms=groups),
        dict(type='PackInputs'),
    ]
    dataset = dict(type='ImageFolder', data_root=str(folder / 'photos'), pipeline=pipeline)
    source = PairSource(Config(dict(train_dataloader=dict(dataset=dataset))))
    page, _ = browse_views(
        source, [{'': beta} for beta in (None, 2, 0, -2)], num_photos=3, num_pairs=400
    )
    path = folder / 'page.html'
    path.write_text(page)
    return path


@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('width', [390, 1200])
def test_it_looks_as_it_should(open_page, page_path, dark, width):
    page = open_page(page_path, width=width, dark=dark)
    assert page.errors == [] and page.requests == [page_path.as_uri()]
    assert page.broken_images() == [] and page.overflow == 0
    background, contrast = page.evaluate(LUMINANCE)
    assert background < 0.05 if dark else background > 0.9
    assert contrast > 4.5  # WCAG's AA


def test_tabs_by_mouse_and_keyboard(open_page, page_path):
    page = open_page(page_path)
    assert page.evaluate(SHOWN) == ['tab0']
    page.click('label[for=tab3]')
    assert page.evaluate(SHOWN) == ['tab3']
    page.press('ArrowRight')
    assert page.evaluate(SHOWN) == ['tab0']
    page = open_page(page_path)
    page.press('Tab')
    page.press('ArrowRight')
    assert page.evaluate(SHOWN) == ['tab1']
    outline = 'getComputedStyle(document.querySelector("label[for=tab1]")).outlineStyle'
    assert page.evaluate(outline) == 'solid'
    page.press('ArrowLeft')
    assert page.evaluate(SHOWN) == ['tab0']
    assert page.errors == []


def test_boxes_lie_on_the_photo(open_page, page_path):
    """At a phone's width, where the photo is shown smaller than it is."""
    page = open_page(page_path, width=390)
    inside = page.evaluate(
        """[...document.querySelectorAll('.source')].every(source => {
          const photo = source.querySelector('img').getBoundingClientRect();
          const boxes = [...source.querySelectorAll('svg.tab0 rect')];
          return boxes.length == 6 * 3 && photo.width < 391 && boxes.every(e => {
            const box = e.getBoundingClientRect();
            return box.left > photo.left - 4 && box.right < photo.right + 4
              && box.top > photo.top - 4 && box.bottom < photo.bottom + 4 }) })"""
    )
    assert inside is True


def test_print_is_dark_on_white(open_page, page_path):
    page = open_page(page_path, media='print', dark=True, width=794)
    background, contrast = page.evaluate(LUMINANCE)
    assert background == 1 and contrast > 7 and page.overflow == 0
    assert page.evaluate('getComputedStyle(document.querySelector(".tabs")).position') == 'static'
