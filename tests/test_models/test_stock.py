"""mmpretrain's MoCo v3, BYOL and SimSiam against their papers: steps by hand, in plain torch."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.model import revert_sync_batchnorm
from mmpretrain.registry import MODELS
from torch import Tensor, nn

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'models'
BATCH, STEPS, MAX_ITERS = 8, 4, 6
Losses = Callable[[list[Tensor], list[Tensor], list[Tensor]], Tensor]


def normalize(x: Tensor) -> Tensor:
    return x / x.norm(dim=1, keepdim=True)


def mocov3(projected: list[Tensor], predicted: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Both orders of InfoNCE over the batch at temperature 1, times twice the temperature."""
    loss = 0
    for query, key in zip(predicted, reversed(targets), strict=True):
        logits = normalize(query) @ normalize(key).T
        loss = loss - 2 * (logits.diag() - torch.logsumexp(logits, 1)).mean()
    return loss


def byol(projected: list[Tensor], predicted: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Squared distances of the normalized vectors, in both orders; mmpretrain leaves out the 4."""
    distances = [
        (normalize(p) - normalize(t)).square().sum(1).mean()
        for p, t in zip(predicted, reversed(targets), strict=True)
    ]
    return sum(distances) - 4


def simsiam(projected: list[Tensor], predicted: list[Tensor], targets: list[Tensor]) -> Tensor:
    """The mean negative cosine to the other view's own projection, without gradient."""
    cosines = [
        (normalize(p) * normalize(z.detach())).sum(1).mean()
        for p, z in zip(predicted, reversed(projected), strict=True)
    ]
    return -sum(cosines) / 2


def build(name: str) -> nn.Module:
    """The model of a base config, with a small backbone and narrow heads."""
    cfg = Config.fromfile(CONFIGS / f'{name}_resnet50.py').model
    cfg.backbone.update(depth=18, base_channels=4)
    cfg.neck.update(in_channels=32, hid_channels=16, out_channels=8)
    cfg.head.predictor.update(in_channels=8, hid_channels=16, out_channels=8)
    torch.manual_seed(0)
    return revert_sync_batchnorm(MODELS.build(cfg)).double().train()


def mlp(neck: nn.Module) -> nn.Sequential:
    """The layers of a NonLinearNeck as they should follow each other."""
    layers = []
    for i in range(3):
        if hasattr(neck, f'fc{i}'):
            layers += [nn.ReLU()] * bool(layers) + [getattr(neck, f'fc{i}')]
            layers += [getattr(neck, f'bn{i}')] if hasattr(neck, f'bn{i}') else []
    return nn.Sequential(*layers)


@pytest.mark.parametrize(
    ('name', 'loss_of', 'base', 'target_name'),
    [
        ('mocov3', mocov3, 0.01, 'momentum_encoder'),
        # One update later on the cosine than in the paper, which is nothing over a run.
        ('byol', byol, 0.01, 'target_net'),
        ('simsiam', simsiam, None, None),
    ],
)
def test_steps_by_hand(
    name: str, loss_of: Losses, base: float | None, target_name: str | None
) -> None:
    MessageHub.get_current_instance().update_info('max_iters', MAX_ITERS)
    model = build(name)
    by_hand = copy.deepcopy(model)
    encode = nn.Sequential(by_hand.backbone, mlp(by_hand.neck))
    target = copy.deepcopy(encode)
    optimizers = [
        torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9)
        for m in (model, nn.ModuleList([encode, by_hand.head]))
    ]

    def project(encoder: nn.Sequential, view: Tensor) -> Tensor:
        return encoder[1](encoder[0](view)[0].mean((2, 3)))

    for step in range(STEPS):
        views = [torch.randn(BATCH, 3, 64, 64, dtype=torch.double) for _ in range(2)]
        loss = model(views, None, mode='loss')['loss']
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()

        projected = [project(encode, view) for view in views]
        predict = mlp(by_hand.head.predictor)
        predicted = [predict(z) for z in projected]
        targets = []
        if base is not None:
            angle = math.pi * torch.tensor(step) / MAX_ITERS  # single precision, as mmpretrain's
            momentum = base * (1 + math.cos(angle)) / 2
            with torch.no_grad():
                for slow, weight in zip(target.parameters(), encode.parameters(), strict=True):
                    slow.copy_((1 - momentum) * slow + momentum * weight)
                targets = [project(target, view) for view in views]
        expected = loss_of(projected, predicted, targets)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
        optimizers[1].zero_grad()
        expected.backward()
        optimizers[1].step()
    for weight, other in zip(
        model.backbone.parameters(), by_hand.backbone.parameters(), strict=True
    ):
        torch.testing.assert_close(weight, other, rtol=1e-7, atol=1e-9)
    if target_name is not None:
        slow = dict(getattr(model, target_name).module.named_parameters())
        assert not any(weight.requires_grad for weight in slow.values())
        for weight, other in zip(slow.values(), target.parameters(), strict=True):
            torch.testing.assert_close(weight, other, rtol=1e-7, atol=1e-9)


def layers(neck: nn.Module) -> list[str]:
    """What a neck is made of, in words: +b for a bias, +a for batch norm's weight and bias."""
    words = []
    for layer in mlp(neck):
        word = type(layer).__name__.replace('SyncBatchNorm', 'BN')
        if isinstance(layer, nn.Linear):
            word = f'{layer.in_features}-{layer.out_features}' + '+b' * (layer.bias is not None)
        elif word == 'BN':
            word += '+a' * layer.affine
        words.append(word)
    return words


# Of the authors' repositories: facebookresearch/moco-v3, google-deepmind's byol, simsiam.
@pytest.mark.parametrize(
    ('name', 'projection', 'prediction', 'zero_init_residual'),
    [
        (
            'mocov3',
            '2048-4096 BN+a ReLU 4096-256 BN',
            '256-4096 BN+a ReLU 4096-256',
            True,
        ),
        (
            'byol',
            '2048-4096+b BN+a ReLU 4096-256',
            '256-4096+b BN+a ReLU 4096-256',
            False,
        ),
        (
            'simsiam',
            '2048-2048 BN+a ReLU 2048-2048 BN+a ReLU 2048-2048 BN',
            '2048-512 BN+a ReLU 512-2048+b',
            True,
        ),
    ],
)
def test_layers_of_the_heads(
    name: str, projection: str, prediction: str, zero_init_residual: bool
) -> None:
    cfg = Config.fromfile(CONFIGS / f'{name}_resnet50.py').model
    assert ' '.join(layers(MODELS.build(cfg.neck))) == projection
    assert ' '.join(layers(MODELS.build(cfg.head.predictor))) == prediction
    cfg.backbone.update(depth=18, norm_cfg=dict(type='BN'))
    backbone = MODELS.build(cfg.backbone)
    backbone.init_weights()
    assert (not backbone.layer1[0].bn2.weight.any()) is zero_init_residual
