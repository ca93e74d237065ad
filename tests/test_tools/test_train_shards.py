"""Runs on shards: what a run on the folder gives, and resumed in its order."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmjoint.datasets import write_shards

pytest.importorskip('webdataset')
RunTool = Callable[..., tuple[int, str, str]]
SHARDS = """
_base_ = './tiny.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='WebDatasetShards',
        data_root={folder!r},
        shards='*.tar',
        pipeline={{{{_base_.train_dataloader.dataset.pipeline}}}},
    ),
)
"""


@pytest.fixture
def shard_config(pretrain_config: Path, image_folder: Path, tmp_path: Path) -> Path:
    """`pretrain_config` with its 48 images in shards of 20, 20 and 8, as a user would write it."""
    write_shards(image_folder, tmp_path / 'shards', images_per_shard=20)
    path = tmp_path / 'shards.py'
    path.write_text(SHARDS.format(folder=str(tmp_path / 'shards')))
    return path


@pytest.fixture
def order() -> Iterator[list[list[int]]]:
    """The images of each batch of the runs of a test, by their numbers."""
    batches = []

    class Recorder(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
            batches.append([sample.sample_idx for sample in data_batch['data_samples']])

    HOOKS.register_module(name='Recorder', module=Recorder, force=True)
    yield batches
    HOOKS._module_dict.pop('Recorder')


def losses(work_dir: Path) -> list[float]:
    paths = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line)['loss'] for path in paths for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_trains_as_on_the_folder(
    pretrain_config: Path, shard_config: Path, run_tool: RunTool, tmp_path: Path
) -> None:
    for config in (pretrain_config, shard_config):
        # Workers that outlive a run in this process are waited for, for many seconds, at the next.
        options = ['--work-dir', config.stem, '--no-persistent-workers']
        options += ['--cfg-options', 'train_dataloader.num_workers=2']
        status, _, err = run_tool('train.py', config, *options)
        assert status == 0, err
    assert len(losses(tmp_path / 'tiny')) == 12
    assert losses(tmp_path / 'tiny') == losses(tmp_path / 'shards')


@pytest.mark.slow
def test_trains_as_on_the_folder_in_two_processes(
    pretrain_config: Path, shard_config: Path, tool_command, tool_environment, tmp_path: Path
) -> None:
    for config in (pretrain_config, shard_config):
        command = tool_command('dist_train.sh', config, 2, '--work-dir', tmp_path / config.stem)
        options = ['train_dataloader.num_workers=2', 'train_dataloader.batch_size=4']
        subprocess.run([*command, '--cfg-options', *options], env=tool_environment, check=True)
    assert len(losses(tmp_path / 'tiny')) == 12
    assert losses(tmp_path / 'tiny') == losses(tmp_path / 'shards')


EPOCHS = """
train_cfg = dict(max_epochs={end})
"""
ITERATIONS = """
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters={end})
train_dataloader.update(sampler=dict(type='InfiniteSampler'))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4))
log_processor = dict(by_epoch=False)
"""


@pytest.mark.parametrize('seed', [7, None])
@pytest.mark.parametrize('loop, first, last, batches', [(EPOCHS, 1, 2, 12), (ITERATIONS, 4, 9, 9)])
def test_resumed_run_goes_on_in_the_same_order(
    shard_config: Path,
    run_tool: RunTool,
    order: list,
    seed: int | None,
    loop: str,
    first: int,
    last: int,
    batches: int,
) -> None:
    """At an epoch's end, or, with an InfiniteSampler, in the middle of one; seeded or not."""
    base = shard_config.read_text()

    def run(work_dir: str, end: int, *arguments: str) -> list:
        order.clear()
        hooks = "custom_hooks = [dict(type='Recorder')]\n"
        randomness = f'randomness = dict(seed={seed})\n'
        shard_config.write_text(base + loop.format(end=end) + hooks + randomness)
        status, _, err = run_tool('train.py', shard_config, '--work-dir', work_dir, *arguments)
        assert status == 0, err
        return order.copy()

    seen = run('cut', first) + run('cut', last, '--resume')
    assert len(seen) == batches
    # In six batches of 8 no image comes twice, and none is left out.
    images = [image for batch in seen for image in batch]
    for epoch in range(0, len(images), 48):
        part = images[epoch : epoch + 48]
        assert len(set(part)) == len(part)
    if seed is not None:
        assert seen == run('whole', last)
