"""Bad input ends a tool with one line that names it; bugs keep their traceback."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmjoint.utils.errors import describe, is_input_error, one_line_errors

RunTool = Callable[..., tuple[int, str, str]]


def error_line(err: str) -> str:
    """The only line of stderr that is no warning of another library."""
    assert 'Traceback' not in err
    (line,) = [line for line in err.splitlines() if line.startswith('error: ')]
    assert err.rstrip().endswith(line)
    return line


@pytest.mark.parametrize(
    'arguments, message',
    [
        (
            ['--cfg-options', 'trian_cfg.max_epochs=1'],
            'no setting trian_cfg; did you mean train_cfg',
        ),
        (
            ['--cfg-options', 'folder=/data'],
            'folder is a variable that the config file has already',
        ),
        (['--cfg-options', 'train_cfg.max_epoch=1'], 'max_epoch, .* did you mean max_epochs'),
        (
            ['--cfg-options', 'train_dataloader.batchsize=1'],
            'batchsize, .* did you mean batch_size',
        ),
        (['--cfg-options', 'model.backbone.type=ResNett'], 'ResNett is not in the'),
        (['--cfg-options', 'train_dataloader.dataset.data_root=/nowhere'], "'/nowhere/'"),
        (['--cfg-options', 'train_dataloader.dataset.data_root=empty'], 'Found 0 files .*empty'),
        (['--cfg-options', 'optim_wrapper.optimizer.lr=1e30'], 'non-finite loss in iteration 2 '),
        (
            ['--cfg-options', 'train_dataloader.batch_size=1000'],
            'images, fewer than one batch .train_dataloader.batch_size 1000',
        ),
        (['--auto-scale-lr'], 'tiny.py has no auto_scale_lr.base_batch_size'),
        (['--resume', 'none.pth'], 'none.pth: no such checkpoint'),
        (['--resume', 'cut.pth'], 'cut.pth: not a readable PyTorch checkpoint'),
        (['--resume', 'other.pth'], 'other.pth: .* DistributedSimCLR: .*missing.*1 unexpected .w'),
        (['--launcher', 'pytorch'], 'RANK, LOCAL_RANK.* not in the environment'),
        (['--launcher', 'slurm'], 'SLURM_PROCID.* not in the environment'),
    ],
)
def test_train(
    arguments: list[str],
    message: str,
    pretrain_config: Path,
    run_tool: RunTool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in os.environ:
        if name.startswith('SLURM') or name in ('RANK', 'LOCAL_RANK', 'WORLD_SIZE'):
            monkeypatch.delenv(name)
    (tmp_path / 'empty').mkdir()
    torch.save(dict(state_dict=dict(w=torch.ones(1))), tmp_path / 'other.pth')
    (tmp_path / 'cut.pth').write_bytes((tmp_path / 'other.pth').read_bytes()[:300])
    status, _, err = run_tool('train.py', pretrain_config, *arguments)
    assert status == 1
    assert re.search(message, error_line(err)), err


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'no config file config.py'),
        ('x = (', 'config config.py, line 1: SyntaxError'),
        ('x = y', "config config.py, line 1: NameError: name 'y'"),
        ("_base_ = './nothing.py'", 'config config.py: .*nothing.py'),
        ("custom_imports = dict(imports=['mmjont'])", 'config config.py: .*mmjont'),
        ('work_dir = "run"', "the config lacks the key 'model'"),
    ],
)
def test_config(content: str | None, message: str, run_tool: RunTool, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / 'config.py').write_text(content)
    status, _, err = run_tool('train.py', 'config.py')
    assert status == 1
    assert re.search(message, error_line(err)), err


def test_option_without_value(pretrain_config: Path, run_tool: RunTool) -> None:
    status, _, err = run_tool('train.py', pretrain_config, '--cfg-options', 'train_cfg')
    assert status == 1
    assert err.endswith('error: --cfg-options train_cfg: expected KEY=VALUE\n')


def test_debug_shows_the_traceback(
    run_tool: RunTool, monkeypatch: pytest.MonkeyPatch, pretrain_config: Path
) -> None:
    monkeypatch.setenv('MMJOINT_DEBUG', '1')
    with pytest.raises(ValueError, match='no config file nothing.py'):
        run_tool('train.py', 'nothing.py')


@pytest.mark.parametrize('name', ['train.py', 'test.py'])
def test_help_tells_of_debug(name: str, run_tool: RunTool) -> None:
    status, out, _ = run_tool(name, '--help')
    assert status == 0 and 'MMJOINT_DEBUG=1' in ' '.join(out.split())


def test_a_bug_is_not_hidden() -> None:
    for bug in (
        KeyError('x'),
        TypeError('x'),
        IndexError('x'),
        AttributeError('x'),
        RuntimeError(),
    ):
        with pytest.raises(type(bug)), one_line_errors():
            raise bug


def test_interrupt(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end, one_line_errors():
        raise KeyboardInterrupt
    assert end.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'


class Unreadable(Dataset):
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise self.error


@pytest.mark.parametrize(
    'error, expected, line',
    [
        (ValueError('a.jpg: truncated'), True, 'a.jpg: truncated'),
        (FileNotFoundError(2, 'No such file', 'a.jpg'), True, "[Errno 2] No such file: 'a.jpg'"),
        (Exception('no\nimage'), True, 'no image'),
        (TypeError('a bug'), False, 'TypeError: a bug'),
        (KeyError('a bug'), False, "KeyError: 'a bug'"),
    ],
)
def test_error_of_a_worker(error: Exception, expected: bool, line: str) -> None:
    with pytest.raises(type(error)) as caught:
        list(DataLoader(Unreadable(error), num_workers=1))
    assert is_input_error(caught.value) is expected
    assert describe(caught.value) == line


def test_names_that_are_no_text_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding='utf-8')
    monkeypatch.setattr(sys, 'stdout', out)
    with one_line_errors():
        print('wrote caf\udce9', flush=True)
    assert out.buffer.getvalue() == b'wrote caf\\udce9\n'


class Killed(Dataset):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)  # as the system does when memory runs out


def test_killed_worker(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as end, one_line_errors():
        list(DataLoader(Killed(), num_workers=1))
    assert end.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match('error: a data loader worker was killed.*num_workers.*DataLoader worker', line)


@pytest.mark.parametrize(
    'arguments, status, message',
    [
        (['--help'], 0, ''),
        ([], 2, 'bash tools/dist_train.sh CONFIG GPUS'),
        (['config.py'], 2, 'bash tools/dist_train.sh CONFIG GPUS'),
        (['config.py', '--resume'], 2, "error: GPUS must be a number of processes, got '--resume'"),
        pytest.param(
            ['nothing.py', '2'],
            1,
            'error: no config file nothing.py',
            marks=pytest.mark.slow,
        ),
    ],
)
def test_dist_train(
    arguments: list[str],
    status: int,
    message: str,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
) -> None:
    done = subprocess.run(
        tool_command('dist_train.sh', *arguments),
        env=tool_environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == status, done.stderr
    assert message in done.stderr
    assert done.stderr.count('error: ') <= 1 and 'Traceback' not in done.stderr
