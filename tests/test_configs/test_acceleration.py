"""Memory layout and compilation change how a step is computed, not what it gives."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmjoint.paper.reduced import Reduction, reduce_config

# One config of every method.
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
)
# Trained with the channels last in the quick tests.
LAID_OUT = ('simclr', 'mocov3', 'dino_vit')
SMALL_VIT = dict(
    type='VisionTransformer',
    arch=dict(embed_dims=64, num_layers=2, num_heads=2, feedforward_channels=128),
    img_size=32,
    patch_size=4,
)


class Notes(Hook):
    """The losses, and the layout of every feature map that a convolution gives."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.layouts: list[bool] = []

    def before_train(self, runner: Runner) -> None:
        for module in runner.model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(self._note)

    def _note(self, module: nn.Module, args: tuple, output: torch.Tensor) -> None:
        self.layouts.append(output.is_contiguous(memory_format=torch.channels_last))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        self.losses.append(outputs['loss'].item())


class Losses(Notes):
    """The losses alone: hooks of the model would be compiled with it."""

    def before_train(self, runner: Runner) -> None:
        pass


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 training images of smoothed noise, 48 x 40 pixels."""
    root = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for split, number in (('train', 16), ('val', 1)):
        folder = root / split / 'a'
        folder.mkdir(parents=True)
        for i in range(number):
            image = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
            image = cv2.resize(image, (48, 40), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f'{i}.png'), image)
    return root


@pytest.fixture
def train(
    load: Callable[[str], Config], photos: Path, tmp_path: Path
) -> Callable[..., tuple[Notes, Runner]]:
    """Take two steps of a reduced config with a further hook."""

    def run(name: str, hook: dict | None, notes: Notes) -> tuple[Notes, Runner]:
        reduction = Reduction(str(photos), epochs=1, batch_size=8, size=32, width=8, queue=64)
        cfg = reduce_config(load(name), reduction, seed=0)
        if 'vit' in name:
            cfg.model.backbone = SMALL_VIT
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), *([hook] if hook else [])]
        cfg.work_dir = str(tmp_path / str(hook and hook['type']))
        cfg.experiment_name, cfg.launcher, cfg.log_level = cfg.work_dir, 'none', 'ERROR'
        cfg.default_hooks.logger = cfg.visualizer = None
        runner = Runner.from_cfg(cfg)
        runner.register_hook(notes, priority='LOWEST')
        runner.train()
        return notes, runner

    return run


@pytest.mark.parametrize(
    'name',
    [
        name if name.startswith(LAID_OUT) else pytest.param(name, marks=pytest.mark.slow)
        for name in METHODS
    ],
)
def test_channels_last(name: str, train: Callable) -> None:
    plain, before = train(name, None, Notes())
    last, after = train(name, dict(type='ChannelsLastHook'), Notes())
    assert all(last.layouts) and len(last.layouts) == len(plain.layouts) > 0
    assert not all(plain.layouts)
    # BYOL's and SimSiam's are sums of cosines, which cancel: float32 rounds terms of order 1.
    assert last.losses[0] == pytest.approx(plain.losses[0], rel=1e-5, abs=1e-6)
    # Batch norm over so few values and ReLU's kink can turn rounding into more.
    assert last.losses[1] == pytest.approx(plain.losses[1], rel=1e-2)

    expected = before.model.state_dict()
    saved = torch.load(Path(after.work_dir, 'epoch_1.pth'), weights_only=False)['state_dict']
    assert list(saved) == list(expected)
    assert all(value.is_contiguous() for value in saved.values())


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
def test_compile(name: str, train: Callable) -> None:
    """As the eager backend gives it: what is traced, with gradients, names and momentum encoders.

    That inductor's kernels are right is a matter of torch's tests.
    """
    plain, before = train(name, None, Losses())
    compiled, after = train(name, dict(type='CompileHook', backend='aot_eager'), Losses())
    assert compiled.losses[0] == pytest.approx(plain.losses[0], rel=1e-5)
    assert compiled.losses[1] == pytest.approx(plain.losses[1], rel=1e-2)
    saved = torch.load(Path(after.work_dir, 'epoch_1.pth'), weights_only=False)['state_dict']
    assert list(saved) == list(before.model.state_dict())
