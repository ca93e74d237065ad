"""Every pretraining config takes two optimisation steps, at a size that a CPU does in a second.

The pipeline, method, loss, optimizer and hooks are the config's own; by default the backbone and
the width are cut down (mmjoint.paper.reduced), with -m slow the models are those of the
configs, and variants are run too.
"""

import math
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import ExponentialMovingAverage
from mmengine.runner import Runner

from mmjoint.paper.reduced import Reduction, reduce_config

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
NAMES = sorted(
    path.stem
    for path in CONFIGS.rglob('*.py')
    if '_base_' not in path.parts and '-linear-' not in path.stem
)
# Two epochs of ContrastiveCrop are its warm-up and one with boxes.
CONTRASTIVE_CROP = 'mocov1_resnet50_contrastivecrop-8xb32-steplr-100e_in1k'
# Equal models, optimizers and hooks need one run.
SAME = re.compile('(_in100|_coco|_stl10|_folder|_scenes)$|-300e_|8xb32-steplr-100e_')
DISTINCT = [name for name in NAMES if not re.search('_(joint|contrastive)', name)]
DISTINCT = [name for name in DISTINCT if not SAME.search(name)] + [CONTRASTIVE_CROP]
# Left to the slow tests: those that take long, and a second size of a method.
SEEN_OTHERWISE = re.compile('infomin|contrastivecrop|vit-small|resnet18')
# A bias right before a batch norm changes nothing: its gradient is 0 but for rounding.
WITHOUT_GRADIENT = {'BYOL': {'neck.fc0.bias', 'head.predictor.fc0.bias'}}
# What a recipe freezes in its first epoch or iterations.
FROZEN = {'DINO': 'neck.last_layer', 'SwAV': 'head.loss_module.prototypes'}
MOMENTUM_PARTS = {
    'MoCo': 'encoder_k',
    'InfoMin': 'encoder_k',
    'LeOCLR': 'encoder_k',
    'BYOL': 'target_net',
    'MoCoV3': 'momentum_encoder',
    'DINO': 'teacher',
}


class Notes(Hook):
    """The weights before each iteration, the losses after it, and whether weights are trained."""

    def __init__(self):
        self.weights, self.losses, self.trained = [], [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.weights.append(parameters(runner.model))
        self.trained.append(
            {name for name, value in runner.model.named_parameters() if value.requires_grad}
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append({key: float(value) for key, value in outputs.items()})


def parameters(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    """16 training and 2 validation images of two classes: smoothed noise, 48 x 40 pixels."""
    root = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for split, number in (('train', 8), ('val', 1)):
        for label in ('a', 'b'):
            folder = root / split / label
            folder.mkdir(parents=True)
            for i in range(number):
                image = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
                image = cv2.resize(image, (48, 40), interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(folder / f'{i}.png'), image)
    return root


def train(cfg, work_dir):
    cfg.work_dir, cfg.launcher, cfg.log_level = str(work_dir), 'none', 'ERROR'
    cfg.experiment_name = str(work_dir)
    cfg.default_hooks.checkpoint = cfg.default_hooks.logger = None
    cfg.visualizer = None
    runner = Runner.from_cfg(cfg)
    notes = Notes()
    runner.register_hook(notes, priority='LOWEST')
    runner.train()
    return runner.model, notes


def check_steps(model, notes):
    kind = type(model).__name__
    assert len(notes.losses) == 2
    assert all(math.isfinite(loss) for losses in notes.losses for loss in losses.values())

    before, after = notes.weights[0], parameters(model)
    frozen = {name for name in before if name.startswith(FROZEN.get(kind, '-'))}
    assert bool(frozen) is (kind in FROZEN)
    trained = notes.trained[0] - frozen - WITHOUT_GRADIENT.get(kind, set())
    averaged = {name for name in before if name.startswith(MOMENTUM_PARTS.get(kind, '-') + '.')}
    assert not averaged & notes.trained[0]
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert trained <= moved, sorted(trained - moved)
    if kind == 'SwAV':  # its prototypes are brought to length 1 in every iteration
        for name in frozen:
            unit = torch.nn.functional.normalize(before[name], dim=1)
            torch.testing.assert_close(after[name], unit, rtol=0, atol=1e-6)
        moved -= frozen
    assert not frozen & moved
    assert moved <= trained | averaged | WITHOUT_GRADIENT.get(kind, set())
    check_average(model, kind, notes, after)


def check_average(model, kind, notes, after):
    """The momentum encoder: first a copy, then a share of what the first step gave is added."""
    if kind not in MOMENTUM_PARTS:
        assert not any(isinstance(module, ExponentialMovingAverage) for module in model.modules())
        return
    part = MOMENTUM_PARTS[kind]
    if kind == 'DINO':
        # The first update belongs to the first iteration: the cosine is at its start.
        share, places = model.base_momentum, {'backbone': 'backbone', 'neck': 'neck'}
    else:
        average = getattr(model, part)
        share, places = average.momentum, {'module.0': 'backbone', 'module.1': 'neck'}
        if kind in ('BYOL', 'MoCoV3'):
            share *= (math.cos(math.pi * 1 / 2) + 1) / 2  # one of two iterations is done
    first, second = notes.weights
    compared = 0
    for inner, outer in places.items():
        for name in [name for name in first if name.startswith(f'{outer}.')]:
            expected = (1 - share) * first[name].double() + share * second[name].double()
            found = after[f'{part}.{inner}.{name.removeprefix(outer + ".")}'].double()
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
            compared += 1
    assert compared == sum(name.startswith(f'{part}.') for name in first)


def reduction(photos, epochs=1):
    return Reduction(str(photos), epochs=epochs, batch_size=8, size=32, width=8, queue=64)


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=pytest.mark.slow) if SEEN_OTHERWISE.search(name) else name
        for name in DISTINCT
    ],
)
def test_two_steps(load, name, photos, tmp_path):
    epochs = 2 if name == CONTRASTIVE_CROP else 1
    cfg = reduce_config(load(name), reduction(photos, epochs), seed=0)
    # One iteration an epoch there, so that the second has the boxes.
    cfg.train_dataloader.batch_size = 8 * epochs
    model, notes = train(cfg, tmp_path)
    check_steps(model, notes)


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_two_steps_of_the_whole_model(load, name, photos, tmp_path):
    small = reduce_config(load(name), reduction(photos), seed=0)
    small.model = Config(load(name).to_dict()).model
    # Behind batch norms that start at 0 (zero_init_residual) gradients are small: the rate of a
    # small batch would move some weights by less than float32 can tell.
    small.optim_wrapper.optimizer.lr = load(name).optim_wrapper.optimizer.lr
    if 'queue_len' in small.model:
        small.model.queue_len = 64
    model, notes = train(small, tmp_path)
    check_steps(model, notes)
