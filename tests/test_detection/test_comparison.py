import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from mmjoint.detection.comparison import compare, read_results

TOOL = Path(__file__).resolve().parents[2] / 'transfer/compare.py'


def run(values: dict[int, float], **changes: object) -> dict:
    trials = [
        dict(seed=seed, bbox=dict(AP=ap, AP50=ap + 20, AP75=None)) for seed, ap in values.items()
    ]
    return dict(engine='torchvision', task='voc', config='r50', trials=trials) | changes


def test_difference_and_interval_over_paired_trials() -> None:
    rows = compare(run({0: 40.0, 1: 44.0, 2: 48.0, 7: 1.0}), run({2: 49.5, 1: 45.0, 0: 40.5}))
    ap, ap50 = rows
    assert (ap['kind'], ap['metric'], ap['trials']) == ('bbox', 'AP', 3)
    assert ap['first'] == 44 and ap['second'] == 45 and ap['difference'] == 1
    # The differences are 0.5, 1 and 1.5: standard deviation 0.5, t of two degrees 4.303.
    assert ap['interval'] == pytest.approx(4.303 * 0.5 / math.sqrt(3))
    assert ap50['difference'] == 1
    assert compare(run({0: 40.0}), run({0: 41.0}))[0]['interval'] is None


@pytest.mark.parametrize(
    ('second', 'words'),
    [
        (run({0: 1.0}, engine='mmdet'), 'engine torchvision and mmdet'),
        (run({0: 1.0}, config='r18'), 'config r50 and r18'),
        (run({5: 1.0}), r'no seed is in both runs: \[0\] and \[5\]'),
        (run({0: 1.0}, data=dict(classes=dict(cat={}))), 'other classes'),
    ],
)
def test_runs_that_cannot_be_compared(second: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compare(run({0: 40.0}), second)


def test_files_that_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'results\.json: no such results'):
        read_results(tmp_path)
    for text in ('[1]', '{"a": 1}', '{"engine"'):
        (tmp_path / 'results.json').write_text(text)
        with pytest.raises(ValueError, match=r'results\.json: not the results'):
            read_results(tmp_path)


@pytest.mark.slow
def test_the_tool_prints_a_table(tmp_path: Path) -> None:
    for name, ap in (('a', 40.0), ('b', 41.25)):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'results.json').write_text(json.dumps(run({0: ap, 1: ap + 1})))
    done = subprocess.run(
        [sys.executable, TOOL, tmp_path / 'a', tmp_path / 'b'], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith('| box AP |'))
    assert row == '| box AP | 40.5 | 41.8 | +1.25 | +1.25 to +1.25 | 2 |'
