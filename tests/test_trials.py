import json
import sys
from pathlib import Path

import pytest

from mmjoint.trials import guard_folder, run_trial

RUN = dict(config='voc', options=[], data='here', init='a1b2', which='online')


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    guard_folder(tmp_path, RUN)
    (tmp_path / 'run.json').write_text(json.dumps(RUN))
    guard_folder(tmp_path, RUN)
    with pytest.raises(ValueError, match=r'another init, which \(a1b2, online\)'):
        guard_folder(tmp_path, RUN | dict(init='c3d4', which='momentum'))


def test_a_trial_runs_once(tmp_path: Path) -> None:
    result = dict(seed=0, bbox=dict(AP=1.5, AP50=3.0, AP75=1.0))
    program = (
        'import pathlib, sys; pathlib.Path(sys.argv[1], "started").open("a").write("x"); '
        'pathlib.Path(sys.argv[1], "result.json").write_text(sys.argv[2])'
    )
    command = [sys.executable, '-c', program, str(tmp_path), json.dumps(result)]
    assert run_trial(tmp_path, command) == result
    assert run_trial(tmp_path, command) == result
    assert (tmp_path / 'started').read_text() == 'x'


@pytest.mark.parametrize(('end', 'status'), [('sys.exit(3)', 3), ('os.kill(os.getpid(), 15)', 143)])
def test_a_failed_trial_ends_the_run(end: str, status: int, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as error:
        run_trial(tmp_path, [sys.executable, '-c', f'import os, sys; {end}'])
    assert error.value.code == status
