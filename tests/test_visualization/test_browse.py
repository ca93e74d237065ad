"""The browse page: what it shows is what was drawn."""

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmjoint.pairs.source import PairSource
from mmjoint.transforms import BlurParams, ColorParams, CropParams, JointCrop
from mmjoint.visualization import browse_views
from mmjoint.visualization.browse import describe_params
from mmjoint.visualization.charts import density_chart, histogram, number_ticks, ratio_ticks

CROP = dict(type='JointCrop', scale=(24, 20), beta=0)
BETAS = [{'': beta} for beta in (None, 2, 0, -2)]


def source_of(folder, *pipelines, num_views=2, kind='JointView') -> PairSource:
    views = dict(type=kind, num_views=num_views, transforms=list(pipelines))
    pipeline = [dict(type='LoadImage'), views, dict(type='PackInputs')]
    dataset = dict(type='ImageFolder', data_root=str(folder), pipeline=pipeline)
    return PairSource(Config(dict(train_dataloader=dict(dataset=dataset))))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(3):
        small = rng.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(small).resize((80, 60)).save(folder / f'<{i}>.png')
    return folder


class Reader(HTMLParser):
    """Collects pictures and boxes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.images, self.boxes = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == 'img':
            data = base64.b64decode(attrs['src'].removeprefix('data:image/jpeg;base64,'))
            self.images.append(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
        elif tag == 'rect' and attrs.get('class') is None:
            self.boxes.append([float(attrs[name]) for name in ('x', 'y', 'width', 'height')])


def test_boxes_texts_and_views_belong_together(folder):
    """Each box, cut from the photo of the page, is the view of the page; its text says the same."""
    page, broken = browse_views(source_of(folder, [CROP]), [{'': 0}], num_photos=3, num_pairs=50)
    read = Reader(page)
    assert broken == [] and len(read.boxes) == 6 and len(read.images) == 9
    crop, texts = (
        JointCrop(scale=(24, 20)),
        re.findall(r'crop (\d+) × (\d+) at \((\d+), (\d+)', page),
    )
    for number in range(3):
        photo, *views = read.images[3 * number : 3 * number + 3]
        assert photo.shape == (60, 80, 3)
        for i in (0, 1):
            x, y, w, h = (int(value) for value in read.boxes[2 * number + i])
            again = crop.apply(dict(img=photo), CropParams(x, y, w, h, 0.5, (60, 80)))['img']
            difference = np.abs(again.astype(int) - views[i])
            assert difference.mean() < 5  # what two JPEG compressions leave
            assert texts[2 * number + i] == tuple(map(str, (w, h, x, y)))
    assert '&lt;1&gt;.png' in page and '<1>.png' not in page


def test_every_beta_shows_the_same_photos(folder):
    source = source_of(folder, [CROP])
    page, _ = browse_views(source, BETAS, num_photos=2, num_pairs=300)
    read = Reader(page)
    assert len(read.images) == 2 * (1 + 4 * 2) and len(read.boxes) == 2 * 4 * 2
    assert re.findall(r'<label for="tab\d">(.*)</label>', page) == ['None', '2', '0', '−2']
    again, _ = browse_views(source, BETAS, num_photos=2, num_pairs=300)
    assert again == page
    beyond = re.findall(r'300 pairs, (\d+)% beyond 1:2', page)[1::2]  # label and caption
    assert [int(share) for share in beyond] == sorted(map(int, beyond)) and len(beyond) == 4


def test_the_configured_views_come_first(folder):
    page, _ = browse_views(source_of(folder, [CROP]), num_pairs=50)
    labels = re.findall(r'<label for="tab\d">(.*)</label>', page)
    assert labels == ['as configured', 'None', '2', '0', '−2']


def test_stock_views(folder):
    stock = [dict(type='RandomResizedCrop', scale=20), dict(type='RandomFlip', prob=0.5)]
    source = source_of(folder, stock, stock, num_views=[1, 1], kind='MultiView')
    page, _ = browse_views(source, num_photos=2, num_pairs=50)
    read = Reader(page)
    assert len(read.boxes) == 4 and len(read.images) == 6
    assert 'class="expected"' in page and '<label' not in page
    with pytest.raises(ValueError, match='they hold no joint augmentation'):
        browse_views(source, [{'': 0}])


def test_views_of_which_nothing_is_known(folder):
    source = source_of(folder, [dict(type='Resize', scale=(20, 20))], num_views=3)
    page, _ = browse_views(source, num_photos=1)
    read = Reader(page)
    assert len(read.images) == 4 and not read.boxes and '<svg class="chart"' not in page
    assert page.count('nothing recorded</li>') == 3
    assert 'Views 1 and 2: nothing recorded to compare' in page


def test_multi_crop(folder):
    local = dict(CROP, crop_ratio_range=(0.05, 0.2))
    source = source_of(folder, [CROP], [local], num_views=[2, 4])
    page, _ = browse_views(source, [{'': 0}], num_photos=1, num_pairs=50)
    read = Reader(page)
    assert len(read.images) == 7 and len(read.boxes) == 6
    assert re.findall(r'Views \d and \d', page) == [
        'Views 1 and 2',
        'Views 3 and 4',
        'Views 5 and 6',
    ]
    assert 'What pairs draw: views 3 and 4' in page


def test_many_large_photos_stay_below_the_limit(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(20):  # noise is what JPEG compresses worst
        image = rng.integers(0, 256, (360, 480, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f'{i}.png'), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    source = source_of(tmp_path, [dict(CROP, scale=224)])
    page, _ = browse_views(source, BETAS[::2], num_photos=20, num_pairs=50)
    assert 2e6 < len(page.encode()) < 5e6 and len(Reader(page).images) == 20 * 5


def test_broken_photos_are_left_out_and_told(folder):
    (folder / '<1>.png').write_bytes(b'')
    page, broken = browse_views(source_of(folder, [CROP]), [{'': 0}], num_photos=3, num_pairs=50)
    assert len(broken) == 1 and '<1>.png' in broken[0]
    assert len(Reader(page).images) == 6 and 'cannot be read' in page
    for path in folder.iterdir():
        path.write_bytes(b'no photo')
    with pytest.raises(ValueError, match='no photo can be read, of 3; the first: .*png'):
        browse_views(source_of(folder, [CROP]), [{'': 0}])


@pytest.mark.parametrize('name', ['num_photos', 'num_pairs'])
def test_bad_numbers(folder, name):
    with pytest.raises(ValueError, match=f'{name} must be at least 1, got 0'):
        browse_views(source_of(folder, [CROP]), **{name: 0})


@pytest.mark.parametrize(
    'params,text',
    [
        (
            CropParams(3, 4, 50, 30, 0.25, (60, 100)),
            'crop 50 × 30 at (3, 4): 25.0% of the photo',
        ),
        (
            CropParams(0, 0, 100, 60, 0.9, (60, 100)),
            'crop 100 × 60 at (0, 0): 100.0% of the photo; 90.0% drawn, which did not fit',
        ),
        (BlurParams(1.234, True), 'blur σ 1.23 px'),
        (BlurParams(1.234, False), 'no blur'),
        (ColorParams(()), 'no color jitter'),
        (
            ColorParams(('hue', 'contrast'), contrast=1.5, hue=-0.1),
            'hue -0.100, contrast\xa0×\xa01.50',
        ),
        (3, 'int: 3'),
    ],
)
def test_what_is_said_of_a_view(params, text):
    assert describe_params(params) == text


def test_histogram_is_a_density():
    values = np.array([-2.0, -0.5, 0.1, 0.2, 0.9, 5.0])
    np.testing.assert_allclose(histogram(values, (-1, 1), 4), np.array([1, 1, 2, 2]) / 6 / 0.5)
    assert histogram(np.array([]), (-1, 1), 4).tolist() == [0] * 4


def test_chart_draws_to_scale():
    svg = density_chart(
        'a < b', (0, 2), 4.0, np.array([1.0, 3.0]), curves=[('c', [0, 2], [0, 4])], ticks=[(1, '1')]
    )
    assert 'aria-label="a &lt; b"' in svg
    (points,) = re.findall(r'points="(.*?)"', svg)
    (x0, y0), (x1, y1) = (map(float, point.split(',')) for point in points.split())
    (path,) = re.findall(r'class="bars" d="(.*?)"', svg)
    corners = np.array(re.findall(r'([\d.]+) ([\d.]+)', path), float)
    np.testing.assert_allclose(corners[:, 0], [x0, x0, (x0 + x1) / 2, (x0 + x1) / 2, x1, x1])
    heights = (y0 - corners[:, 1]) / (y0 - y1) * 4
    np.testing.assert_allclose(heights, [0, 1, 1, 3, 3, 0], atol=0.01)


def test_ticks_are_ratios():
    ticks = dict((text, place) for place, text in ratio_ticks(-np.log(5), np.log(5)))
    assert ticks == pytest.approx(
        {'1:1': 0, '1:2': np.log(2), '2:1': -np.log(2), '1:5': np.log(5), '5:1': -np.log(5)}
    )


@pytest.mark.parametrize(
    'limits,texts',
    [
        ((-0.2, 0.2), ['−0.2', '−0.1', '0', '0.1', '0.2']),
        ((0.0, 1.37), ['0', '0.2', '0.4', '0.6', '0.8', '1', '1.2']),
        ((-60.0, 60.0), ['−60', '−40', '−20', '0', '20', '40', '60']),
    ],
)
def test_ticks_are_round_numbers(limits, texts):
    ticks = number_ticks(*limits)
    assert [text for _, text in ticks] == texts
    assert [place for place, _ in ticks] == pytest.approx(
        [float(text.replace('−', '-')) for text in texts]
    )
