"""The learning rate of every iteration of a run against its closed form."""

import math

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner

from .probes import PROBES
from .recipes import RECIPES


class Toy(BaseModel):
    """One weight, so that a whole schedule runs in a second; notes the learning rates."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.rates = []

    def forward(self, value, mode):
        return dict(loss=self.weight.sum())

    def train_step(self, data, optim_wrapper):
        self.rates.append(optim_wrapper.get_lr()['lr'][0])
        return super().train_step(data, optim_wrapper)


def expected_rate(name, iteration, length):
    """The learning rate in closed form; ``length`` is the number of iterations of an epoch."""
    recipe = RECIPES.get(name) or PROBES[name]
    peak, epoch = recipe['optimizer']['lr'], iteration // length
    if recipe.get('steps'):
        return peak * 0.1 ** sum(epoch >= step for step in recipe['steps'])
    warmup, final = recipe.get('warmup', 0), recipe.get('final', 0.0)
    if epoch < warmup:
        return peak * (1e-4 + (1 - 1e-4) * iteration / (warmup * length - 1))
    if recipe.get('by_iteration'):
        progress = (iteration / length - warmup) / (recipe['epochs'] - warmup)
    else:
        progress = (epoch - warmup) / (recipe['epochs'] - warmup)
    return peak * (final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2)


@pytest.mark.parametrize(
    'name',
    [
        'simclr_resnet50_8xb64-coslr-100e_in1k',
        'simclr_resnet18_4xb128-coslr-500e_stl10',
        'simclr_resnet18_1xb256-coslr-200e_folder',
        'simclr_resnet18_1xb32-coslr-10e_scenes',
        'mocov2_resnet50_8xb32-coslr-200e_in1k',
        'mocov1_resnet50_8xb32-steplr-200e_in1k',
        'mocov1_resnet50_8xb32-steplr-100e_in1k',
        'mocov3_resnet50_16xb256-coslr-100e_in1k',
        'mocov3_resnet50_16xb256-coslr-300e_in1k',
        'byol_resnet50_16xb256-coslr-200e_in1k',
        'simsiam_resnet50_8xb32-coslr-100e_in1k',
        'dino_resnet50_8xb64-coslr-100e_in1k',
        'dino_resnet18_4xb128-coslr-500e_tiny-imagenet',
        'infomin_resnet50_8xb32-coslr-100e_in1k',
        'swav_resnet50_8xb32-coslr-200e_in1k',
        *PROBES,
    ],
)
def test_learning_rates_of_a_run(load, name, tmp_path):
    length = 2
    cfg = load(name)
    model = Toy()
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=dict(
            batch_size=1,
            dataset=[dict(value=torch.ones(1))] * length,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=cfg.train_cfg.max_epochs),
        optim_wrapper=dict(optimizer=cfg.optim_wrapper.optimizer),
        param_scheduler=cfg.param_scheduler,
        default_hooks=dict(logger=None, checkpoint=None),
        default_scope='mmpretrain',
        experiment_name=name,
        log_level='ERROR',
    )
    runner.train()
    expected = [expected_rate(name, i, length) for i in range(len(model.rates))]
    assert len(expected) == cfg.train_cfg.max_epochs * length
    np.testing.assert_allclose(model.rates, expected, rtol=1e-6)
