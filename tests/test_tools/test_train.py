import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

RunTool = Callable[..., tuple[int, str, str]]
TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def logged(work_dir: Path, key: str) -> list:
    """What the runs in a folder logged under a key in each iteration, in the order of the runs."""
    # Runs that start within one second share a file: mmengine names the folders by the second.
    paths = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line)[key] for path in paths for line in path.read_text().splitlines()]


def test_trains_and_resumes(pretrain_config: Path, run_tool: RunTool, tmp_path: Path) -> None:
    status, out, err = run_tool('train.py', pretrain_config, '--work-dir', 'run')
    assert status == 0, err
    lines = re.findall(r'Epoch\(train\).*', out)
    assert len(lines) == 12
    for word in (r'lr: \d', r'eta: \d', r'data_time: \d', r'loss: \d'):
        assert all(re.search(word, line) for line in lines), word
    assert 'SyncBatchNorm' in out and 'reverted' in out

    longer = ['--cfg-options', 'train_cfg.max_epochs=3']
    status, out, err = run_tool(
        'train.py', pretrain_config, '--work-dir', 'run', '--resume', *longer
    )
    assert status == 0, err
    assert logged(tmp_path / 'run', 'step') == list(range(1, 19))
    checkpoint = torch.load(tmp_path / 'run/epoch_3.pth', weights_only=False)
    assert (checkpoint['meta']['epoch'], checkpoint['meta']['iter']) == (3, 18)


def test_resume_with_nothing_to_resume_starts(
    pretrain_config: Path, run_tool: RunTool, tmp_path: Path
) -> None:
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'new', '--resume')
    assert status == 0, err
    assert logged(tmp_path / 'new', 'step')[0] == 1


def test_default_work_dir(pretrain_config: Path, run_tool: RunTool, tmp_path: Path) -> None:
    assert run_tool('train.py', pretrain_config)[0] == 0
    assert (tmp_path / 'work_dirs/tiny/epoch_2.pth').is_file()


def test_tensorboard(pretrain_config: Path, run_tool: RunTool, tmp_path: Path) -> None:
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'run', '--tensorboard')
    assert status == 0, err
    (events,) = (tmp_path / 'run').glob('*/vis_data/events*')
    reader = accumulator.EventAccumulator(str(events))
    reader.Reload()
    written = [event.value for event in reader.Scalars('loss')]
    assert written == pytest.approx(logged(tmp_path / 'run', 'loss'), rel=1e-6)


def test_auto_scale_lr(pretrain_config: Path, run_tool: RunTool, tmp_path: Path) -> None:
    options = ['--auto-scale-lr', '--cfg-options', 'auto_scale_lr.base_batch_size=32']
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'run', *options)
    assert status == 0, err
    assert logged(tmp_path / 'run', 'lr')[0] == pytest.approx(0.01 * 8 / 32)


@pytest.mark.parametrize('base, factor', [(16, None), (256, '0.0625')])
def test_a_rate_for_another_batch_is_told(
    base: int, factor: str | None, pretrain_config: Path, run_tool: RunTool, tmp_path: Path
) -> None:
    options = [f'auto_scale_lr.base_batch_size={base}', 'optim_wrapper.accumulative_counts=2']
    options += ['train_cfg.max_epochs=1']
    status, out, err = run_tool(
        'train.py', pretrain_config, '--work-dir', 'run', '--cfg-options', *options
    )
    assert status == 0, err
    told = re.findall(r'for a batch of (\d+) images .* (\d+) \(8 x 1 .* x 2 .*by ([\d.]+)', out)
    assert told == ([('256', '16', factor)] if factor else [])
    assert out.count('--auto-scale-lr') == len(told)
    assert logged(tmp_path / 'run', 'lr') == [0.01] * 6


def test_amp_on_the_cpu_is_bfloat16(
    pretrain_config: Path, run_tool: RunTool, tmp_path: Path
) -> None:
    """The first loss differs from float32's, by no more than bfloat16's precision explains."""
    losses = {}
    for flag in ([], ['--amp']):
        folder = f'run{"".join(flag)}'
        status, _, err = run_tool('train.py', pretrain_config, '--work-dir', folder, *flag)
        assert status == 0, err
        losses[bool(flag)] = logged(tmp_path / folder, 'loss')[0]
    assert 0 < abs(losses[True] / losses[False] - 1) < 2**-6


def test_inherits_from_mmpretrain(image_folder: Path, tmp_path: Path, run_tool: RunTool) -> None:
    """mmengine alone fails on the `_scope_` that such a config has in its collate_fn."""
    config = tmp_path / 'inherited.py'
    config.write_text(f"""
_base_ = 'mmpretrain::simclr/simclr_resnet50_8xb32-coslr-200e_in1k.py'
custom_imports = dict(imports=['mmjoint'])
model = dict(
    backbone=dict(depth=18, base_channels=8, stem_channels=8),
    neck=dict(in_channels=64, hid_channels=16, out_channels=8))
train_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(
    _delete_=True, type='CustomDataset', data_root={str(image_folder)!r}, with_label=False,
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='JointView', num_views=2, transforms=[[dict(type='JointCrop', scale=32)]]),
        dict(type='PackInputs')]))
train_cfg = dict(max_epochs=1)
""")
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        status, _, err = run_tool('train.py', config)
    assert status == 0, err
    assert (tmp_path / 'work_dirs/inherited/epoch_1.pth').is_file()


@pytest.mark.slow
def test_two_processes_agree_with_one(
    pretrain_config: Path,
    run_tool: RunTool,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """Same global batches, views without chance, BN with fixed statistics: the same losses.

    The sampler gives process r the indices r, r + 2, ... of the shuffled list, so two processes
    with half the batch size see together what one sees. Left is the order of float32's sums.
    """
    exact = tmp_path / 'exact.py'
    exact.write_text("""
_base_ = './tiny.py'
model = dict(backbone=dict(norm_eval=True))
optim_wrapper = dict(optimizer=dict(lr=0.3))
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1], transforms=[
        [dict(type='CenterCrop', crop_size=32)], [dict(type='Resize', scale=(32, 32))]]),
    dict(type='PackInputs'),
]))
""")
    status, _, err = run_tool('train.py', exact, '--work-dir', 'one')
    assert status == 0, err
    command = tool_command('dist_train.sh', exact, 2, '--work-dir', tmp_path / 'two')
    command += ['--cfg-options', 'train_dataloader.batch_size=8']
    done = subprocess.run(
        command, env=tool_environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert '20 SyncBatchNorm layers are reverted to BatchNorm' in done.stdout
    one, two = logged(tmp_path / 'one', 'loss'), logged(tmp_path / 'two', 'loss')
    assert len(one) == 6 and max(one) - min(one) > 1e-2  # it does move
    assert two == pytest.approx(one, rel=2e-6)


@pytest.mark.slow
def test_two_processes_tell_each_fault_once(
    pretrain_config: Path,
    image_folder: Path,
    tool_command: Callable[..., list[str]],
    tool_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """A broken photo is told by the process that meets it, an error by the first."""
    shutil.copytree(image_folder, tmp_path / 'photos')
    broken = [f'class_{i % 3}/broken_{i}.png' for i in range(12)]
    for name in broken:
        (tmp_path / 'photos' / name).write_bytes(b'no photo')

    def run(*options: str) -> subprocess.CompletedProcess:
        command = tool_command('dist_train.sh', pretrain_config, 2, '--work-dir', tmp_path / 'run')
        photos = f'train_dataloader.dataset.data_root={tmp_path / "photos"}'
        options = ('--cfg-options', photos, 'train_dataloader.batch_size=5', *options)
        return subprocess.run(
            [*command, *options], env=tool_environment, capture_output=True, text=True, timeout=300
        )

    done = run('model.neck.in_channels=32')
    assert done.returncode == 1 and 'model.neck.in_channels' in done.stderr
    assert done.stderr.count('error: ') == 1 and 'Traceback' not in done.stderr

    done = run()
    assert done.returncode == 0, done.stderr
    (listed,) = (tmp_path / 'run').glob('*/broken_images.txt')
    for text in (listed.read_text(), done.stdout + done.stderr):
        lines = [line for line in text.splitlines() if 'broken image ' in line]
        assert len(lines) == 12
        assert all(sum(f'/{name}: ' in line for line in lines) == 1 for name in broken)


@pytest.mark.parametrize(
    'flags, hooks',
    [
        ([], {'ChannelsLastHook'}),
        (['--channels-last'], {'ChannelsLastHook'}),
        (['--no-channels-last'], set()),
    ],
)
def test_memory_layout(
    flags: list[str], hooks: set[str], pretrain_config: Path, run_tool: RunTool, tmp_path: Path
) -> None:
    """The hook stands in the config that a run saves."""
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'run', *flags)
    assert status == 0, err
    saved = Config.fromfile(tmp_path / 'run/tiny.py')
    assert {hook['type'] for hook in saved.custom_hooks} - {'NonFiniteLossHook'} == hooks


@pytest.mark.slow
def test_resumes_in_another_memory_layout(
    pretrain_config: Path, run_tool: RunTool, tmp_path: Path
) -> None:
    """One epoch with the channels last and one without give what two of a kind give."""
    exact = tmp_path / 'exact.py'
    exact.write_text("_base_ = './tiny.py'\nmodel = dict(backbone=dict(norm_eval=True))\n")
    assert run_tool('train.py', exact, '--work-dir', 'whole', '--no-channels-last')[0] == 0
    for epochs, flag in ((1, '--channels-last'), (2, '--no-channels-last')):
        options = ['--resume', flag, '--cfg-options', f'train_cfg.max_epochs={epochs}']
        status, _, err = run_tool('train.py', exact, '--work-dir', 'parts', *options)
        assert status == 0, err
    whole, parts = (logged(tmp_path / name, 'loss') for name in ('whole', 'parts'))
    # Later losses drift apart, as sums of the two layouts round differently.
    assert parts[:6] == pytest.approx(whole[:6], rel=1e-5)
    assert len(parts) == 12


@pytest.mark.slow
def test_compiles(pretrain_config: Path, run_tool: RunTool, tmp_path: Path) -> None:
    """Losses, names and values are those of an uncompiled run, in training and after resuming."""
    if not shutil.which('g++'):
        pytest.skip('no g++')
    exact = tmp_path / 'exact.py'
    exact.write_text("_base_ = './tiny.py'\nmodel = dict(backbone=dict(norm_eval=True))\n")
    for name, flags in (('plain', []), ('compiled', ['--compile'])):
        status, _, err = run_tool('train.py', exact, '--work-dir', name, *flags)
        assert status == 0, err
    plain, compiled = (logged(tmp_path / name, 'loss') for name in ('plain', 'compiled'))
    assert compiled == pytest.approx(plain, rel=1e-5)
    plain, compiled = (
        torch.load(tmp_path / name / 'epoch_2.pth', weights_only=False)['state_dict']
        for name in ('plain', 'compiled')
    )
    torch.testing.assert_close(compiled, plain, rtol=1e-3, atol=1e-5)
    longer = ['--resume', '--cfg-options', 'train_cfg.max_epochs=3']
    status, _, err = run_tool('train.py', exact, '--work-dir', 'compiled', *longer)
    assert status == 0, err


@pytest.mark.slow
def test_compile_without_a_compiler(
    pretrain_config: Path, tool_environment: dict, tmp_path: Path
) -> None:
    """In a process of its own: one that has compiled before remembers how."""
    done = subprocess.run(
        [sys.executable, TOOLS / 'train.py', pretrain_config, '--work-dir', 'run', '--compile'],
        env={
            **tool_environment,
            'CXX': str(tmp_path / 'no-compiler'),
            'TORCHINDUCTOR_CACHE_DIR': str(tmp_path / 'cache'),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        'error: torch.compile does not work here: it needs a C++'
    )


def test_compile_twice(pretrain_config: Path, run_tool: RunTool) -> None:
    options = ['--compile', '--cfg-options', 'compile=True']
    status, _, err = run_tool('train.py', pretrain_config, '--work-dir', 'run', *options)
    assert status == 1
    assert err.splitlines()[-1].startswith("error: --compile: the config sets mmengine's compile")


@pytest.mark.parametrize(
    'words,message',
    [
        (['JointBlur=0'], r'the views hold no JointBlur .*; they hold JointCrop \(area\)'),
        (['0', '1'], 'a run has one setting, got 2: 0, 1'),
        (['inf'], 'beta must be finite'),
    ],
)
def test_beta_that_cannot_be(pretrain_config, run_tool, tmp_path, words, message):
    status, out, err = run_tool('train.py', pretrain_config, '--work-dir', 'run', '--beta', *words)
    assert status == 1 and out == '' and re.search(f'error: .*{message}', err), err
    assert not (tmp_path / 'run').exists()
