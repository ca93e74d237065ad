"""KNNHook against tools/knn.py's function, alone and in two processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmjoint.evaluation import evaluate_knn, knn_accuracy
from mmjoint.hooks import KNNHook

WORKER = Path(__file__).with_name('knn_worker.py')
SAVE = dict(
    logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook', interval=1)
)


def test_agrees_with_the_tool(tiny_run, read_log, pictures):
    hook = dict(type='KNNHook', interval=2, folder=str(pictures), k=5)
    runner = tiny_run('SimSiam', [hook], epochs=3, default_hooks=SAVE)
    runner.train()
    rows = [row for row in read_log(runner) if 'knn/top1' in row]
    assert [row['step'] for row in rows] == [12, 18]  # epoch 2, and the end of the run
    assert all('knn/top5' not in row for row in rows)  # four classes
    eval_pipeline = [
        dict(type='LoadImage'),
        dict(type='Resize', scale=(16, 16), backend='pillow'),
        dict(type='PackInputs'),
    ]
    cfg = Config(runner.cfg.to_dict())
    for name, split in (('knn_train_dataloader', 'train'), ('knn_val_dataloader', 'val')):
        cfg[name] = dict(
            batch_size=7,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
            dataset=dict(
                type='ImageFolder',
                data_root=str(pictures),
                data_prefix=split,
                with_label=True,
                pipeline=eval_pipeline,
            ),
        )
    for row, epoch in zip(rows, (2, 3), strict=True):
        expected = evaluate_knn(cfg, Path(runner.work_dir, f'epoch_{epoch}.pth'), k=5)
        assert row['knn/top1'] == pytest.approx(expected['top1'])
        assert row['knn/seconds'] > 0 and 0 < row['knn/time_share'] < 1


def test_training_does_not_notice(tiny_run, read_log, pictures):
    losses = []
    for hooks in ([], [dict(type='KNNHook', interval=1, folder=str(pictures), k=5)]):
        runner = tiny_run('BYOL', hooks, epochs=2, experiment_name=f'knn {len(hooks)}')
        runner.train()
        losses.append([row['loss'] for row in read_log(runner) if 'loss' in row])
        assert runner.model.backbone.training
    assert len(losses[0]) == 12 and losses[0] == losses[1]


def test_runs_that_count_iterations_and_few_images(tiny_run, read_log, pictures):
    hook = dict(type='KNNHook', interval=3, folder=str(pictures), k=5, max_images=10)
    runner = tiny_run('SimSiam', [hook], train_cfg=dict(by_epoch=False, max_iters=4))
    runner.train()
    rows = [row for row in read_log(runner) if 'knn/top1' in row]
    assert [row['step'] for row in rows] == [3, 4]
    (log,) = Path(runner.log_dir).glob('*.log')
    assert '10 training and 10 test images' in log.read_text()
    # 10 evenly spaced ones of 24 of 4 classes, not the first 10 of the first class or two.
    loader = next(hook for hook in runner.hooks if isinstance(hook, KNNHook))._loaders[1]
    labels = [int(sample['data_samples'].gt_label) for sample in loader.dataset]
    assert sorted(set(labels)) == [0, 1, 2, 3]


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path):
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(9, 6, generator=generator)
    labels = torch.randint(9, (86,), generator=generator)
    features = centers[labels] + torch.randn(86, 6, generator=generator)
    data = features[:61], labels[:61], features[61:], labels[61:]  # odd numbers of both
    torch.save(data, tmp_path / 'data.pt')
    done = subprocess.run(
        [sys.executable, WORKER, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    expected = knn_accuracy(*data, k=7)
    assert 20 < expected['top1'] < 90
    assert json.loads(done.stdout.splitlines()[-1]) == pytest.approx(expected)


def test_bad_settings(tiny_run, pictures, tmp_path):
    for change in (dict(interval=0), dict(k=0), dict(max_images=0.5), dict(temperature=0)):
        with pytest.raises(ValueError, match=f'KNNHook: {next(iter(change))} must be'):
            KNNHook(**change)
    for hook, message in (
        (dict(), 'no knn_train_dataloader and no knn_val_dataloader; .* folder=FOLDER'),
        (dict(folder=str(tmp_path)), 'expected a folder with train/CLASS/IMAGE'),
        (dict(folder=str(pictures), k=97), 'k is 97, but there are 96 training images'),
    ):
        runner = tiny_run('SimSiam', [dict(type='KNNHook', **hook)])
        with pytest.raises(ValueError, match=message):
            runner.train()
