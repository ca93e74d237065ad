import json
import multiprocessing
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from view_benchmark import (
    benchmark_loader,
    benchmark_views,
    plot_benchmark,
    profile_views,
    time_rounds,
)

import mmjoint  # noqa: F401  registers what the configs name

ROOT = Path(__file__).resolve().parents[3]
MAKERS = [
    'decode only',
    'mmjoint',
    'mmjoint joint',
    'mmpretrain',
    'torchvision v1, PIL',
    'torchvision v2, tensors',
]


@pytest.fixture
def small() -> list[dict]:
    return Config.fromfile(ROOT / 'configs/_base_/views/small.py').train_pipeline


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(3):
        image = np.random.randint(0, 256, (60, 80, 3), np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), image)
    return folder


def test_all_take_their_turn_on_the_same_photos():
    calls: list[tuple[str, str]] = []
    names = ['a', 'b', 'c', 'd']
    functions = {name: lambda photo, name=name: calls.append((name, photo)) for name in names}
    rounds = time_rounds(functions, ['1', '2', '3', '4', '5'], seconds=0, photos_per_round=2)
    assert len(rounds) == 3 and all(list(times) == names for times in rounds)
    assert all(time >= 0 for times in rounds for time in times.values())
    # Before the first round all run once; the first function reads the photos of every round; each
    # has one photo more than is timed.
    calls = calls[2 + 4 * 3 :]
    orders, photos = [], []
    for _ in range(3):
        turn, calls = calls[: 4 * 3], calls[4 * 3 + 2 :]
        orders.append([name for name, _ in turn[::3]])
        assert all(name == orders[-1][i // 3] for i, (name, _) in enumerate(turn))
        assert sorted(orders[-1]) == names
        ((extra, *seen),) = {tuple(photo for _, photo in turn[i : i + 3]) for i in range(0, 12, 3)}
        assert extra == seen[-1]
        photos.extend(seen)
    assert not calls
    assert len({tuple(order) for order in orders}) > 1
    assert len(set(photos[:5])) == 5 and photos[5] == photos[0]


def test_bad_arguments_are_errors(small, tmp_path):
    with pytest.raises(ValueError, match='at least one photo'):
        benchmark_views([], 'small', small)
    with pytest.raises(ValueError, match="one of simclr, .*, got 'byol'"):
        benchmark_views(['photo.jpg'], 'byol', small)
    for workers in ([], [1, -1]):
        with pytest.raises(ValueError, match='workers must be'):
            benchmark_loader(tmp_path, small, {}, workers)


def test_a_profile_has_every_step(folder, small):
    files = sorted(map(str, folder.iterdir()))
    profile = profile_views(files, small, seconds=0, photos_per_round=2)
    steps = [step['type'] for step in small[1]['transforms'][0]]
    assert list(profile) == ['LoadImage', *steps, 'PackInputs']
    assert profile['LoadImage']['median'] > 0


def test_the_plot_shows_the_medians():
    def row(median: float) -> dict:
        return dict(median=median, quartiles=[median - 1, median + 2])

    speeds = {'decode only': row(100), 'mmjoint': row(60), 'kornia': row(10)}
    loader = dict(recipe='simclr', pairs_per_second={'0': row(50), '2': row(90)})
    figure = plot_benchmark({'simclr': dict(pairs_per_second=speeds)}, loader)
    views, workers = figure.axes
    assert [bar.get_width() for bar in views.patches] == [60, 10]
    assert views.lines[-1].get_xdata()[0] == 100
    assert [bar.get_width() for bar in workers.patches] == [50, 90]
    assert [text.get_text() for text in workers.get_yticklabels()] == ['main process', '2 workers']


@pytest.mark.slow
def test_the_tool_writes_what_it_prints(folder, tmp_path):
    out, plot = tmp_path / 'out.json', tmp_path / 'out.png'
    tool = ROOT / 'tools/benchmarks/views.py'
    other = folder.rename(tmp_path / 'others')
    folder.mkdir()
    (other / '0.png').rename(folder / '0.png')
    options = (
        '--recipe small=others simclr --seconds 0 --photos-per-round 1 --workers 0 1 --profile'
    )
    options += f' --loader-seconds 0 --batch-size 2 --json {out} --plot {plot}'
    done = subprocess.run(
        [sys.executable, tool, folder, *options.split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert list(result['recipes']) == ['small', 'simclr']
    assert [recipe['photos'] for recipe in result['recipes'].values()] == [2, 1]
    for recipe in result['recipes'].values():
        assert len(recipe['rounds']) == 3
        for name in MAKERS:
            speed = recipe['pairs_per_second'][name]
            assert speed['median'] == sorted(times[name] for times in recipe['rounds'])[1]
            ratio = sorted(times['mmjoint joint'] / times[name] for times in recipe['rounds'])[1]
            assert recipe['joint_times'][name]['median'] == ratio
            assert recipe['about'][name] and name in done.stdout
        assert set(recipe['missing']) | set(recipe['rounds'][0]) >= {
            'albumentations',
            'lightly',
            'kornia',
        }
        assert {'LoadImage', 'JointCrop', 'PackInputs'} <= set(recipe['profile'])
    loader = result['loader']
    assert loader['recipe'] == 'small' and loader['batch_size'] == 2
    assert [list(speeds) for speeds in loader['rounds']] == [['0', '1']] * 3
    assert loader['times_one_worker']['1'] == dict(median=1.0, quartiles=[1.0, 1.0])
    assert loader['workers']['0'] is None
    if used := loader['workers']['1']:  # no /proc, no figures
        assert 0 < used['uss'] <= used['pss'] <= used['rss']
    assert plot.read_bytes().startswith(b'\x89PNG')
    assert not list(tmp_path.glob('*.partial')) and not multiprocessing.active_children()


@pytest.mark.parametrize(
    'options, message',
    [
        (['nowhere'], 'nowhere: no such folder of photos'),
        (['empty'], 'empty: no photo in it'),
        (['photos', '--recipe', 'small=nowhere'], 'nowhere: no such folder of photos'),
        (['photos', '--json', 'none/out.json'], 'no folder none'),
        (['photos', '--recipe', 'small', '--seconds', '0'], 'broken.jpg'),
    ],
)
def test_bad_input_is_one_line(folder, tmp_path, run_tool, options, message):
    (tmp_path / 'empty').mkdir()
    (folder / 'broken.jpg').touch()
    status, _, err = run_tool('benchmarks/views.py', *options)
    assert status == 1
    assert err.splitlines()[-1].startswith('error: ') and message in err.splitlines()[-1]


@pytest.mark.parametrize(
    'options, message',
    [
        (['--recipe', 'byol'], "'byol' is none of simclr, mocov2, mocov3, multicrop, small"),
        (['--workers', '-1'], 'whole number of at least 0'),
        (['--photos-per-round', '0'], 'whole number of at least 1'),
        (['--seconds', '-1'], "'-1' is not a number of seconds"),
        (['--recipe', 'small', 'small=photos'], 'small small: each may be named once'),
        (['--batch-size', '2'], 'are for --workers, which is not given'),
        (['--plot', 'out.gif'], 'must end with one of .pdf, .png, .svg'),
    ],
)
def test_bad_options_are_named(run_tool, options, message):
    status, _, err = run_tool('benchmarks/views.py', '.', *options)
    assert status == 2 and message in err.splitlines()[-1]
