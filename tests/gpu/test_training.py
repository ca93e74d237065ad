"""Every method takes two steps in mixed precision; resuming, compilation, moved checkpoints."""

import json
import math
import warnings
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.models.utils import SelfSupDataPreprocessor
from mmpretrain.structures import DataSample

from mmjoint.checkpoints import read_checkpoint
from mmjoint.models.stock_fixes import mend_stock_parts
from mmjoint.paper.reduced import Reduction, reduce_config
from mmjoint.utils.device import choose_device

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
METHODS = (
    'simclr_resnet50_8xb64-coslr-100e_in1k',
    'byol_resnet50_16xb256-coslr-200e_in1k',
    'mocov1_resnet50_8xb32-steplr-200e_in1k',
    'mocov2_resnet50_8xb32-coslr-200e_in1k',
    'mocov3_resnet50_16xb256-coslr-100e_in1k',
    'simsiam_resnet50_8xb32-coslr-100e_in1k',
    'dino_resnet50_8xb64-coslr-100e_in1k',
    'dino_vit-small_8xb64-coslr-100e_in1k',
    'leoclr_resnet50_8xb32-coslr-200e_in1k',
    'swav_resnet50_8xb32-coslr-200e_in1k',
    'infomin_resnet50_8xb32-coslr-100e_in1k',
    'mocov1_resnet50_contrastivecrop-8xb32-steplr-100e_in1k',
)


def logged(work_dir: Path, name: str = 'loss') -> list[float]:
    """What a run's starts wrote for a name, one after the other."""
    lines = [
        json.loads(line)
        for path in sorted(work_dir.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    return [line[name] for line in lines if name in line]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)['state_dict']


@pytest.mark.parametrize('name', METHODS)
def test_two_steps_in_mixed_precision(name, labelled, run_tool, tmp_path):
    (path,) = CONFIGS.glob(f'*/{name}.py')
    small = Reduction(str(labelled), epochs=2, batch_size=12, size=32, width=8, queue=48)
    cfg = reduce_config(Config(Config.fromfile(path).to_dict()), small, seed=0)
    cfg.train_dataloader.batch_size = 24  # an epoch is a step
    cfg.default_hooks.logger.interval = 1
    cfg.dump(tmp_path / 'config.py')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        status, _, err = run_tool('train.py', 'config.py', '--amp', '--work-dir', 'run')
    assert status == 0, err
    losses = logged(tmp_path / 'run')
    assert len(losses) == 2 and all(map(math.isfinite, losses))
    saved = weights(tmp_path / 'run/epoch_2.pth')
    assert all(value.isfinite().all() for value in saved.values() if value.is_floating_point())


@pytest.fixture
def seeded(pretrain_config, tmp_path) -> Path:
    """A config whose arithmetic is the same each time, on a GPU too; one thread loads."""
    path = tmp_path / 'seeded.py'
    path.write_text(
        "_base_ = './tiny.py'\nrandomness = dict(seed=0, deterministic=True)\n"
        'env_cfg = dict(cudnn_benchmark=False)\n'
        'train_cfg = dict(max_epochs=3)\n'
    )
    return path


def test_a_resumed_run_is_the_uninterrupted_one(seeded, run_tool, tmp_path, monkeypatch):
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    assert run_tool('train.py', seeded, '--work-dir', 'whole')[0] == 0
    half = ['--cfg-options', 'train_cfg.max_epochs=2']
    assert run_tool('train.py', seeded, '--work-dir', 'parts', *half)[0] == 0
    status, _, err = run_tool('train.py', seeded, '--work-dir', 'parts', '--resume')
    assert status == 0, err
    whole, parts = (weights(tmp_path / name / 'epoch_3.pth') for name in ('whole', 'parts'))
    torch.testing.assert_close(parts, whole, rtol=0, atol=0)
    torch.use_deterministic_algorithms(False)


def test_compiled_steps_are_the_plain_ones(seeded, run_tool, tmp_path, device):
    if device == 'cpu':
        pytest.skip('test_tools/test_train.py compiles on the CPU')
    frozen = tmp_path / 'frozen.py'
    frozen.write_text("_base_ = './tiny.py'\nmodel = dict(backbone=dict(norm_eval=True))\n")
    for name, flags in (('plain', []), ('compiled', ['--compile'])):
        status, _, err = run_tool('train.py', frozen, '--work-dir', name, *flags)
        assert status == 0, err
    plain, compiled = logged(tmp_path / 'plain'), logged(tmp_path / 'compiled')
    assert compiled == pytest.approx(plain, rel=1e-3)


def test_a_pinned_batch_is_copied_behind_the_host(device):
    """The copy waits its turn on the GPU, the host does not, and all bytes arrive."""
    if device != 'cuda':
        pytest.skip('there is no pinned memory without a GPU')
    place = choose_device()
    preprocessor = SelfSupDataPreprocessor(mean=[0] * 3, std=[1] * 3).to(place)
    mend_stock_parts(preprocessor)
    views = [torch.randint(0, 256, (64, 3, 64, 64), dtype=torch.uint8) for _ in range(2)]
    pinned = [view.pin_memory() for view in views]
    preprocessor(dict(inputs=pinned, data_samples=[DataSample()]))  # kernels are loaded
    torch.cuda.synchronize()
    torch.cuda._sleep(10**9)  # clock ticks, half a second
    busy = torch.cuda.Event()
    busy.record()
    batch = preprocessor(dict(inputs=pinned, data_samples=[DataSample()]))
    assert not busy.query()
    del pinned  # torch keeps the memory until it is copied
    for found, view in zip(batch['inputs'], views, strict=True):
        assert torch.equal(found.cpu(), view.float())


def test_a_checkpoint_goes_to_the_cpu_and_back(seeded, run_tool, tmp_path, monkeypatch):
    """An epoch on the device, one on the CPU, one on the device: weights and momentum move."""

    def train(epochs: int, *flags: str) -> None:
        options = [*flags, '--cfg-options', f'train_cfg.max_epochs={epochs}']
        status, _, err = run_tool('train.py', seeded, '--work-dir', 'run', *options)
        assert status == 0, err

    train(1)
    with monkeypatch.context() as patch:
        # As far as these are asked, there is no GPU.
        patch.setattr(torch.cuda, 'is_available', lambda: False)
        for module in ('mmengine.device.utils', 'mmengine.optim.optimizer.amp_optimizer_wrapper'):
            patch.setattr(f'{module}.is_cuda_available', lambda: False, raising=False)
        patch.setattr('mmengine.device.utils.DEVICE', 'cpu')
        patch.setattr('mmengine.device.get_device', lambda: 'cpu')
        for module in ('mmengine.runner.runner', 'mmjoint.engine.machine'):
            patch.setattr(f'{module}.get_device', lambda: 'cpu')
        train(2, '--resume')
    train(3, '--resume')
    losses = logged(tmp_path / 'run')
    assert len(losses) == 18 and all(map(math.isfinite, losses))
    momentum = read_checkpoint(tmp_path / 'run/epoch_3.pth')['optimizer']['state']
    assert momentum and all(
        state['momentum_buffer'].isfinite().all() for state in momentum.values()
    )
