import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmjoint.engine import enter_work_dir, save_config
from mmjoint.utils.guard import unlock_folder


@pytest.fixture
def work_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / 'run'
    unlock_folder(tmp_path / 'run')


def enter(work_dir: Path, names: str, *args: object, **kwargs: object) -> Config:
    work_dir.mkdir()
    for name in names.split():
        torch.save(
            dict(meta=dict(iter=int(name[-5]) if name[-5].isdigit() else 0)), work_dir / name
        )
    cfg = Config(dict(work_dir=str(work_dir), launcher='none', **kwargs))
    enter_work_dir(cfg, *args)
    return cfg


def removed(cfg: Config) -> list[str]:
    return [Path(f).name for hook in cfg.get('custom_hooks', []) for f in hook['files']]


@pytest.mark.parametrize(
    'names, resume, chosen',
    [
        ('', None, None),
        ('tiny.py', None, None),
        ('', 'auto', None),
        ('epoch_1.pth epoch_2.pth best_acc_epoch_1.pth', 'auto', 'epoch_2.pth'),
        ('epoch_3.pth iter_5.pth', 'auto', 'iter_5.pth'),
        ('epoch_5.pth iter_3.pth', 'auto', 'epoch_5.pth'),
        ('epoch_1.pth epoch_2.pth', 'epoch_2.pth', 'epoch_2.pth'),
        ('', '../elsewhere.pth', '../elsewhere.pth'),
    ],
)
def test_enters(names: str, resume: str | None, chosen: str | None, work_dir: Path) -> None:
    given = str(work_dir / resume) if resume not in (None, 'auto') else resume
    cfg = enter(work_dir, names, given)
    assert cfg.resume == (chosen is not None)
    assert cfg.get('load_from') == (chosen and str(work_dir / chosen))
    assert not removed(cfg)


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='--work-dir .*r\udce9n: its path is not UTF-8'):
        enter(tmp_path / os.fsdecode(b'r\xe9n'), '')


@pytest.mark.parametrize(
    'names, resume, files',
    [
        ('epoch_1.pth', None, 'epoch_1.pth'),
        ('iter_1.pth last_checkpoint', None, 'iter_1.pth last_checkpoint'),
        ('queue.pth', None, 'queue.pth'),
        ('best_a_top1_epoch_1.pth', None, 'best_a_top1_epoch_1.pth'),
        ('epoch_1.pth epoch_2.pth epoch_3.pth', 'epoch_1.pth', 'epoch_2.pth epoch_3.pth'),
        ('epoch_1.pth', '../other/epoch_1.pth', 'epoch_1.pth'),
    ],
)
def test_another_run_stays(names: str, resume: str | None, files: str, work_dir: Path) -> None:
    given = None if resume is None else str(work_dir / resume)
    with pytest.raises(ValueError, match='give another --work-dir.*--overwrite') as error:
        enter(work_dir, names, given)
    assert all(name in str(error.value) for name in files.split())
    cfg = Config(dict(work_dir=str(work_dir), launcher='none'))
    enter_work_dir(cfg, given, overwrite=True)
    assert sorted(removed(cfg)) == sorted(files.split())
    assert (work_dir / files.split()[0]).exists()  # until the new run is built


def test_start_by_resume_drops_an_old_queue(work_dir: Path) -> None:
    assert removed(enter(work_dir, 'queue0.pth queue1.pth', 'auto')) == ['queue0.pth', 'queue1.pth']


def test_folder_of_checkpoints(work_dir: Path, tmp_path: Path) -> None:
    (tmp_path / 'disk' / 'run').mkdir(parents=True)
    torch.save({}, tmp_path / 'disk/run/snap_7.pth')
    hook = dict(type='CheckpointHook', out_dir=str(tmp_path / 'disk'), filename_tmpl='snap_{}.pth')
    cfg = enter(work_dir, '', 'auto', default_hooks=dict(checkpoint=hook))
    assert cfg.load_from == str(tmp_path / 'disk/run/snap_7.pth')
    unlock_folder(tmp_path / 'disk' / 'run')


def test_saved_config(tmp_path: Path) -> None:
    path = tmp_path / 'run' / 'config.py'
    save_config(Config(dict(a=1, b=dict(c=2))), path, '--out')
    save_config(Config(dict(a=1, b=dict(c=2))), path, '--out')
    with pytest.raises(ValueError, match='a 1 instead of .*--out'):
        save_config(Config(dict(a=3, b=dict(c=2))), path, '--out')
    assert Config.fromfile(path).to_dict() == dict(a=1, b=dict(c=2))
