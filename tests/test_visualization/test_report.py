"""The report page: what it reads, what it says, and how it looks in a browser."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmjoint.visualization import Run, read_run, read_scalars, write_report
from mmjoint.visualization.charts import line_chart, round_numbers
from mmjoint.visualization.embedding import draw_points, tsne
from mmjoint.visualization.report import detection_table, results_table, sdf_table
from mmjoint.visualization.runs import config_differences


def write_log(folder, start: str, rows: list[dict], cut_off: str = ''):
    path = folder / start / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows) + cut_off)
    return path


def test_curves_of_a_resumed_run_join(tmp_path):
    write_log(tmp_path, '20260101_000000', [dict(loss=9 - s, step=s) for s in (1, 2, 3, 4)])
    write_log(tmp_path, '20260101_000100', [dict(loss=0.5, step=3), dict(accuracy=1.0, step=3)])
    assert read_scalars(tmp_path) == ([1, 2, 3], [8, 7, 0.5])
    assert read_scalars(tmp_path, 'accuracy') == ([3], [1.0])
    with pytest.raises(FileNotFoundError, match='no lr'):
        read_scalars(tmp_path, 'lr')


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    path = write_log(tmp_path, '20260101_000000', [dict(loss=1.5, step=1)], '{"loss": 0.')
    assert read_scalars(tmp_path) == ([1], [1.5])
    path.write_text('{"loss": 0.\n{"loss": 1.5, "step": 2}\n')
    with pytest.raises(ValueError, match='scalars.json: line 1 is not valid JSON'):
        read_scalars(tmp_path)


def make_run(folder: Path, beta: float | None, loss: float) -> Path:
    """A work directory with all that a report can show."""
    rows = [
        dict(step=s, loss=loss + 1 / s, lr=0.1, time=0.2 + s / 1000, data_time=0.05)
        for s in range(10, 510, 10)
    ]
    rows += [{'step': s, 'knn/top1': 20 + s / 50} for s in (100, 300, 500)]
    log = write_log(folder, '20260101_000000', rows)
    crop = dict(type='JointCrop', scale=64, beta=beta)
    dataset = dict(
        type='ImageFolder',
        data_root='absent',
        pipeline=[dict(type='JointView', num_views=2, transforms=[[crop]])],
    )
    Config(dict(work_dir=str(folder), train_dataloader=dict(dataset=dataset), seed=3)).dump(
        log.with_name('config.py')
    )
    few = dict(top1=31.25, std=1.5, draws=[30.0, 32.5], num_train=20)
    evaluation = dict(
        checkpoint='epoch_9.pth',
        sha256='ab' * 32,
        epoch=9,
        data=['data/train', 'data/val'],
        results={'knn': dict(top1=41.5), 'linear': dict(top1=50.25), 'few-shot': {'1%': few}},
    )
    (folder / 'evaluation.json').write_text(json.dumps(evaluation))
    sdf = [dict(setting=s, sdf=v, standard_error=0.004, views=[1, 2]) for s, v in (('1:1', 0.9),)]
    (folder / 'sdf.json').write_text(json.dumps(dict(layer='backbone', rows=sdf)))
    (folder / 'detection').mkdir()
    detection = dict(
        engine='torchvision',
        task='voc',
        init='x.pth',
        trials=[{}, {}],
        mean=dict(bbox=dict(AP=12.34, AP50=30.0, AP75=None)),
        std=dict(bbox=dict(AP=0.2, AP50=0.3, AP75=None)),
    )
    (folder / 'detection/results.json').write_text(json.dumps(detection))
    cv2.imwrite(str(folder / 'detection/predictions.png'), np.full((60, 90, 3), 120, np.uint8))
    return folder


def test_a_work_directory_is_read(tmp_path):
    run = read_run(make_run(tmp_path / 'one', 0, 2.0))
    assert run.name == 'one'
    assert run.curves['loss'][0][-1] == 500 and run.curves['loss'][1][-1] == 2 + 1 / 500
    assert run.curves['knn/top1'] == ([100, 300, 500], [22, 26, 30])
    assert run.step_time == pytest.approx(0.2 + 0.26) and run.data_time == 0.05
    assert run.cfg.train_dataloader.dataset.pipeline[0].transforms[0][0].beta == 0
    row = dict(results_table([run])[0])
    assert row == {
        'run': 'one',
        'kNN': '41.50 %',
        'linear': '50.25 %',
        '1% labels': '31.25 ± 1.50 %',
        'kNN while training': '30.00 %',
        'last loss': '2.0020',
        'iterations': '500',
        'ms per step': '460',
        'ms for data': '50',
    }
    assert detection_table([run]) == [
        {
            'run': 'one',
            'engine': 'torchvision',
            'task': 'voc',
            'trials': '2',
            'box AP': '12.3 ± 0.2',
            'box AP50': '30.0 ± 0.3',
        }
    ]
    assert sdf_table([run]) == [{'pairs': '1:1 (views 1-2)', 'one': '0.9000 ± 0.0040'}]


def test_runs_with_different_numbers_share_columns(tmp_path):
    full, bare = read_run(make_run(tmp_path / 'one', 0, 2.0)), Run('random')
    rows = results_table([full, bare])
    assert list(rows[0]) == list(rows[1]) and set(rows[1].values()) == {'random', '–'}


def test_bad_work_directories(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere: no such work directory'):
        read_run(tmp_path / 'nowhere')
    with pytest.raises(FileNotFoundError, match='no loss was logged there'):
        read_run(tmp_path)
    (make_run(tmp_path / 'one', 0, 2.0) / 'sdf.json').write_text('{')
    with pytest.raises(ValueError, match='sdf.json: not valid JSON'):
        read_run(tmp_path / 'one')


def test_differences_between_configs():
    def cfg(**changes):
        steps = [dict(type='A', scale=(64, 64)), dict(type='B', beta=None)]
        return Config(dict(model=dict(steps=steps, depth=18), work_dir='x') | changes)

    joint = cfg(work_dir='y', randomness=dict(seed=1))
    joint.model.steps[1].beta = 0
    # The variables of a config file are told by what they are used for.
    same = cfg(work_dir='z', views=dict(crop=dict(beta=0)), custom_imports=dict(imports=['one']))
    assert config_differences([cfg(), same]) == {}
    assert config_differences([cfg(), joint, None]) == {
        'model.steps.1.beta': ['None', '0', ''],
        'randomness.seed': ['', '1', ''],
    }
    # Hooks are compared by type, not by their place in the list.
    knn, other = dict(type='KNNHook', interval=5), dict(type='CollapseHook')
    hooks = [dict(type='FixedLRHook'), knn, other], [other, dict(knn, interval=9), knn]
    assert config_differences([cfg(custom_hooks=list(h)) for h in hooks]) == {
        'custom_hooks.FixedLRHook.type': ["'FixedLRHook'", ''],
        'custom_hooks.KNNHook#2.interval': ['', '5'],
        'custom_hooks.KNNHook#2.type': ['', "'KNNHook'"],
        'custom_hooks.KNNHook.interval': ['5', '9'],
    }


@pytest.mark.parametrize(
    'low, high, expected',
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0.13, 0.42, [0.2, 0.3, 0.4]),
        (-0.9, -0.01, [-0.8, -0.6, -0.4, -0.2]),
        (3, 3, [3]),
        (0, 31250, [0, 10000, 20000, 30000]),
    ],
)
def test_ticks_are_round(low, high, expected):
    assert round_numbers(low, high) == pytest.approx(expected)


def test_a_chart_shows_the_values():
    """The polyline's points, taken back to values by the ticks' places, are the curve."""
    chart = str(line_chart('loss', 'loss', [(2, [0, 10, 20], [1.0, 3.0, math.nan])]))
    (points,) = [p.split('"')[0] for p in chart.split('<polyline class="run2" points="')[1:]]
    (x0, y0), (x1, y1) = [tuple(map(float, point.split(','))) for point in points.split(' ')]
    assert x0 < x1 and y0 > y1  # later is to the right, more is higher up
    assert 'nan' not in chart
    many = str(
        line_chart('l', 'l', [(0, list(range(10000)), [float(i % 7) for i in range(10000)])])
    )
    assert len(many) < 10_000
    assert line_chart('loss', 'loss', [(0, [1], [math.nan])]) == ''


def test_labels_of_one_point_are_not_cut():
    """A label of 13 px system font is narrower than 8.3 px a character, DejaVu's; it ends at x."""
    for step, value in ((1, -0.00021), (100000, 4.8828e-05), (12, 4.87)):
        chart = str(line_chart('l', 'l', [(0, [step], [value])]))
        labels = re.findall(r'<text (class="left" )?x="([\d.]+)" y="[\d.]+">([^<]+)<', chart)
        assert len(labels) >= 5
        for left, x, text in labels:
            width = 8.3 * len(text)
            assert float(x) - width * (1 if left else 0.5) >= 0
            assert float(x) + (0 if left else width / 2) <= 440


def test_same_images_are_said_to_be_the_same_only_if_they_are(tmp_path):
    picture = np.zeros((20, 30, 3), np.uint8)
    for folder, same in (('absent', True), ('elsewhere', False)):
        runs = [read_run(make_run(tmp_path / folder / name, 0, 2.0)) for name in 'ab']
        runs[1].cfg.train_dataloader.dataset.data_root = folder
        for run in runs:
            run.pairs = [picture]
        write_report(tmp_path / 'report.html', runs=runs)
        assert ('The same images for each run' in (tmp_path / 'report.html').read_text()) == same


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sources, self.tags = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ('src', 'href') and value]


def test_the_page_holds_everything_itself(tmp_path):
    picture = np.zeros((20, 30, 3), np.uint8)
    path = tmp_path / 'out/report.html'
    runs = [
        Run('one', curves={'loss': ([1, 2], [3.0, 2.0])}, pairs=[picture, picture]),
        Run('<two>', curves={'loss': ([1, 2], [3.0, 1.0])}, pairs=[picture]),
    ]
    write_report(path, 'A <run> & another', 'read this first', {'images': 'some'}, runs)
    page = path.read_text()
    links = Links(page)
    assert links.tags.count('img') == 3 and links.tags.count('svg') == 1
    assert all(source.startswith('data:') for source in links.sources)
    assert 'A &lt;run&gt; &amp; another' in page and '&lt;two&gt;' in page and '<two>' not in page
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ValueError, match='runs of one name: one, one'):
        write_report(path, runs=[runs[0], runs[0]])
    assert path.read_text() == page


@pytest.fixture
def report(tmp_path) -> Path:
    """A page of two runs with all sections."""
    rng = np.random.default_rng(0)
    runs = [
        read_run(make_run(tmp_path / name, beta, loss))
        for name, beta, loss in (
            ('a_baseline_with_a_rather_long_name', None, 2.0),
            ('joint', 0, 2.5),
        )
    ]
    for run in runs:
        run.pairs = [rng.integers(0, 256, (180, 620, 3), dtype=np.uint8) for _ in range(2)]
        run.embedding = rng.integers(0, 256, (400, 400, 4), dtype=np.uint8)
    runs[0].notes.append('no pairs: ' + 'x' * 150)
    write_report(tmp_path / 'report.html', 'Two runs', 'Read this.', {'images': 'some'}, runs)
    return tmp_path / 'report.html'


@pytest.mark.parametrize(
    'settings',
    [
        dict(),
        dict(dark=True),
        dict(width=390, height=844),
        dict(width=390, dark=True),
        dict(media='print'),
    ],
    ids=['light', 'dark', 'phone', 'phone-dark', 'print'],
)
def test_in_a_browser(open_page, report, settings):
    page = open_page(report, **settings)
    assert page.errors == [] and page.requests == [report.as_uri()]
    assert page.broken_images() == [] and page.overflow == 0
    text = page.evaluate('document.body.innerText')
    for words in (
        *(
            '41.50 %',
            '12.3 ± 0.2',
            '0.9000',
            'train_dataloader.dataset.pipeline.0.transforms.0.0.beta',
        ),
        *(
            'Training loss',
            'kNN top-1',
            'Detection',
            'Pairs',
            'Features',
            'a_baseline_with_a_rather',
        ),
    ):
        assert words in text, words
    # Every picture is at most as wide as the window; curves have the color of their run's dot.
    assert page.evaluate(
        '[...document.images].every(i => i.getBoundingClientRect().right <= innerWidth)'
    )
    colors = page.evaluate(
        "['0', '1'].map(i => [getComputedStyle(document.querySelector('polyline.run' + i)).stroke,"
        "getComputedStyle(document.querySelector('.dot.run' + i)).backgroundColor])"
    )
    assert all(line == dot for line, dot in colors) and colors[0] != colors[1]
    # Text against its background, as WCAG counts contrast.
    for selector in ('p', 'td', 'thead th', 'dt', 'figcaption small'):
        assert contrast(page, selector) > 4.5, selector


def contrast(page, selector: str) -> float:
    colors = page.evaluate(
        f"[getComputedStyle(document.querySelector('{selector}')).color,"
        'getComputedStyle(document.body).backgroundColor]'
    )

    def luminance(color: str) -> float:
        levels = [float(v) / 255 for v in color[color.index('(') + 1 : -1].split(',')[:3]]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted(luminance(color) for color in colors)
    return (high + 0.05) / (low + 0.05)


def test_points_have_the_colors_of_their_classes():
    points = np.array([[0.0, 0.0]] * 5 + [[1.0, 1.0]] * 5)
    picture = draw_points(points, np.array([3] * 5 + [8] * 5))
    colored = picture[picture[..., 3] == 255]
    assert len(np.unique(colored // 64, axis=0)) >= 2 and picture.shape[0] == picture.shape[1]


def test_tsne_keeps_clusters_together():
    pytest.importorskip('sklearn', reason='the extra mmjoint[embedding]')
    generator = torch.Generator().manual_seed(0)
    centers = 5 * torch.randn(3, 16, generator=generator)
    labels = torch.arange(60) % 3
    points = tsne(centers[labels] + torch.randn(60, 16, generator=generator))
    assert points.shape == (60, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.eye(60) * 1e9
    assert (labels[distances.argmin(1)] == labels).all()
    with pytest.raises(ValueError, match='at least 4'):
        tsne(torch.randn(3, 4))
