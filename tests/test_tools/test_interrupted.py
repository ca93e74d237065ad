"""Runs that are ended in the middle of an epoch and resumed."""

import json
import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

EPOCHS, ITERATIONS = 4, 24


def steps(work_dir: Path) -> list[int]:
    """The iterations that the last run in a folder has logged."""
    (*_, path) = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line)['step'] for line in path.read_text().splitlines()]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f'/proc/{pid}/task/{pid}/children').read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    'processes, victim, name, status, message',
    [
        (1, 'main', 'SIGINT', 130, 'interrupted'),
        (1, 'main', 'SIGKILL', -signal.SIGKILL, ''),
        (2, 'main', 'SIGINT', 130, 'interrupted'),
        (2, 'main', 'SIGKILL', -signal.SIGKILL, ''),
        (2, 'worker', 'SIGKILL', 128 + signal.SIGKILL, 'error: process 1 was killed by signal 9'),
    ],
)
def test_resumes_from_the_last_checkpoint(
    processes: int,
    victim: str,
    name: str,
    status: int,
    message: str,
    pretrain_config: Path,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    work_dir = tmp_path / 'run'
    arguments = ['--work-dir', work_dir, '--cfg-options', f'train_cfg.max_epochs={EPOCHS}']
    arguments += ['train_dataloader.num_workers=1', f'train_dataloader.batch_size={2 // processes}']
    command = (
        tool_command('train.py', pretrain_config, *arguments)
        if processes == 1
        else tool_command('dist_train.sh', pretrain_config, processes, *arguments)
    )
    out, err = tmp_path / 'out', tmp_path / 'err'
    with open(out, 'w') as out_file, open(err, 'w') as err_file:
        run = subprocess.Popen(
            command, env=tool_environment, stdout=out_file, stderr=err_file, start_new_session=True
        )
    deadline = time.monotonic() + 300
    while f'Epoch(train)  [3][ 3/{ITERATIONS}]' not in re.sub(r'\) +', ')  ', out.read_text()):
        assert run.poll() is None and time.monotonic() < deadline, err.read_text()
        time.sleep(0.01)
    workers = children(run.pid) if processes > 1 else []
    if victim == 'worker':
        os.kill(workers[1], signal.Signals[name])
    elif name == 'SIGINT':
        os.killpg(run.pid, signal.SIGINT)  # as the terminal does
    else:
        os.kill(run.pid, signal.SIGKILL)
    assert run.wait(timeout=300) == status, err.read_text()
    assert message in err.read_text() and 'Traceback' not in err.read_text()
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert steps(work_dir)[-1] % ITERATIONS, 'the run was not in the middle of an epoch'

    saved = torch.load((work_dir / 'last_checkpoint').read_text(), weights_only=False)['meta'][
        'iter'
    ]
    assert saved == steps(work_dir)[-1] // ITERATIONS * ITERATIONS
    subprocess.run([*command, '--resume'], env=tool_environment, check=True, timeout=300)
    assert steps(work_dir) == list(range(saved + 1, EPOCHS * ITERATIONS + 1))
    meta = torch.load(work_dir / f'epoch_{EPOCHS}.pth', weights_only=False)['meta']
    assert (meta['epoch'], meta['iter']) == (EPOCHS, EPOCHS * ITERATIONS)


@pytest.mark.slow
def test_goes_on_in_two_processes_at_the_rates_of_its_epochs(
    pretrain_config: Path,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    cosine = dict(
        type='CosineAnnealingLR', T_max=4, end=4, by_epoch=True, convert_to_iter_based=True
    )
    pretrain_config.write_text(f'{pretrain_config.read_text()}\nparam_scheduler = [{cosine!r}]\n')
    options = ['--work-dir', tmp_path / 'run', '--cfg-options']
    first = tool_command('train.py', pretrain_config, *options, 'train_cfg.max_epochs=2')
    second = tool_command(
        'dist_train.sh', pretrain_config, 2, '--resume', *options, 'train_cfg.max_epochs=4'
    )
    for command in (first, second):
        subprocess.run(command, env=tool_environment, check=True, timeout=300)
    (*_, log) = sorted((tmp_path / 'run').glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    # 48 images: 6 iterations an epoch before, 3 now.
    assert [row['step'] for row in rows] == list(range(7, 13))
    expected = [0.01 * (1 + math.cos(math.pi * step / 12)) / 2 for step in range(6, 12)]
    assert [row['lr'] for row in rows] == pytest.approx(expected, rel=1e-5)
