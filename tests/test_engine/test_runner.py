import os
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook

from mmjoint.engine import find_last_checkpoint, guard_run


def save(path: Path, age: int) -> str:
    path.write_bytes(b'')
    os.utime(path, (1e9 - age, 1e9 - age))
    return str(path)


def test_last_checkpoint(tmp_path: Path) -> None:
    assert find_last_checkpoint(str(tmp_path / 'nowhere')) is None
    assert find_last_checkpoint(str(tmp_path)) is None
    newest = save(tmp_path / 'epoch_10.pth', age=1)
    older = save(tmp_path / 'epoch_9.pth', age=2)
    save(tmp_path / 'best_accuracy_top1_epoch_9.pth', age=0)
    assert find_last_checkpoint(str(tmp_path)) == newest
    pointer = tmp_path / 'last_checkpoint'
    pointer.write_text(older)  # killed between the save and this note of it
    assert find_last_checkpoint(str(tmp_path)) == newest
    pointer.write_text('')  # killed between opening and writing it
    assert find_last_checkpoint(str(tmp_path)) == newest
    pointer.write_text('/moved/elsewhere/epoch_9.pth')
    assert find_last_checkpoint(str(tmp_path)) == newest
    pointer.write_text('s3://bucket/epoch_9.pth')
    assert find_last_checkpoint(str(tmp_path)) == 's3://bucket/epoch_9.pth'


@pytest.mark.parametrize(
    'given, expected',
    [
        ({}, dict(type='AtomicCheckpointHook', interval=1)),
        (
            dict(checkpoint=dict(type='CheckpointHook', interval=5, max_keep_ckpts=2)),
            dict(type='AtomicCheckpointHook', interval=5, max_keep_ckpts=2),
        ),
        (
            dict(checkpoint=dict(type=CheckpointHook)),
            dict(type='AtomicCheckpointHook'),
        ),
        (dict(checkpoint=dict(type='MyHook')), dict(type='MyHook')),
        (dict(checkpoint=None), None),
    ],
)
def test_checkpoint_hook(given: dict, expected: dict | None) -> None:
    cfg = Config(dict(default_hooks=given))
    guard_run(cfg)
    assert cfg.default_hooks.checkpoint == expected


@pytest.mark.parametrize(
    'given, expected',
    [
        (None, ['NonFiniteLossHook']),
        ([dict(type='EMAHook')], ['EMAHook', 'NonFiniteLossHook']),
        ([dict(type='NonFiniteLossHook', interval=50)], ['NonFiniteLossHook']),
    ],
)
def test_loss_hook(given: list | None, expected: list[str]) -> None:
    cfg = Config(dict(custom_hooks=given))
    guard_run(cfg)
    assert [hook['type'] for hook in cfg.custom_hooks] == expected
    assert given is None or cfg.custom_hooks[0] == given[0]
