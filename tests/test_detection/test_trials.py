import json
import runpy
import sys
from pathlib import Path

import pytest

from mmjoint.detection.trials import find_config, guard_folder, run_trial

TRANSFER = Path(__file__).resolve().parents[2] / 'transfer'
RUN = dict(config='voc', options=[], data='here', init='a1b2', which='online')


@pytest.mark.parametrize(
    ('name', 'voc', 'fpn', 'wrong'),
    [
        ('detectron2', 'voc_r50_c4_24k.yaml', 'coco_mask_r50_fpn_1x', 'coco_mask_r50_c4_3x'),
        (
            'mmdet',
            'faster-rcnn_r50-c4_24k_voc0712.py',
            'mask-rcnn_r50-fpn_1x_coco',
            'mask-rcnn_r50-c4_3x_coco',
        ),
    ],
)
def test_config_by_name_or_file(name: str, voc: str, fpn: str, wrong: str, tmp_path: Path) -> None:
    engine = runpy.run_path(str(TRANSFER / name / 'run.py'))['ENGINE']
    configs = TRANSFER / name / 'configs'
    assert find_config(engine, 'voc', None) == configs / voc
    assert find_config(engine, 'coco', fpn).parent == configs
    (tmp_path / 'mine').touch()
    assert find_config(engine, 'coco', str(tmp_path / 'mine')) == tmp_path / 'mine'
    with pytest.raises(FileNotFoundError, match=f'neither a file nor one of .*{fpn}'):
        find_config(engine, 'coco', wrong)
    for task in ('voc', 'coco'):
        assert (configs / (engine.configs[task] + engine.suffix)).is_file()


def test_a_folder_holds_one_run(tmp_path: Path) -> None:
    guard_folder(tmp_path, RUN)
    (tmp_path / 'run.json').write_text(json.dumps(RUN))
    guard_folder(tmp_path, RUN | dict(init='c3d4'))  # that command failed: no trial has started
    (tmp_path / 'seed_0').mkdir()
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
