"""InfoMin's losses, queue and gradients against a computation written out here."""

import copy

import pytest
import torch
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmjoint.models import JigsawNeck

BATCH, DIM, QUEUE, WEIGHT, TAU = 4, 6, 12, 0.3, 0.15


def build(**kwargs) -> nn.Module:
    """In double precision and with BN in eval mode, so that nothing but the algorithm differs."""
    torch.manual_seed(0)
    config = dict(
        type='InfoMin',
        backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_eval=True),
        neck=dict(type='MoCoV2Neck', in_channels=64, hid_channels=16, out_channels=DIM),
        head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=TAU),
        jigsaw_neck=dict(type='JigsawNeck', in_channels=64, hid_channels=16, out_channels=DIM),
        jigsaw_weight=WEIGHT,
        queue_len=QUEUE,
        feat_dim=DIM,
        momentum=0.25,
    )
    return MODELS.build({**config, **kwargs}).double().eval()


def inputs(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(BATCH, 3, 64, 64), (BATCH, 3, 64, 64), (BATCH, 3, 9 * 32, 32)]
    return [torch.randn(shape, generator=generator).double() for shape in shapes]


def unit(x: Tensor) -> Tensor:
    return x / x.pow(2).sum(1, keepdim=True).sqrt()


def info_nce(query: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
    """Mean over images of -log of the positive's share, image by image."""
    terms = []
    for q, k in zip(query, keys, strict=True):
        similarities = torch.stack([q @ k, *(q @ negative for negative in queue.T)]) / TAU
        terms.append(similarities.logsumexp(0) - similarities[0])
    return torch.stack(terms).mean()


def patch_query(model: nn.Module, stacked: Tensor) -> Tensor:
    """Image by image and patch by patch."""
    rows = []
    for image in stacked:
        features = []
        for place in range(9):
            patch = image[:, place * 32 : (place + 1) * 32]
            pooled = model.backbone(patch[None])[-1].mean((2, 3))
            features.append(model.jigsaw_neck.patch(pooled)[0])
        rows.append(model.jigsaw_neck.image(torch.cat(features)))
    return unit(torch.stack(rows))


def test_losses_queue_and_gradients_over_two_steps():
    model = build()
    encoder_k = copy.deepcopy(nn.Sequential(model.backbone, model.neck))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        views = inputs(step)
        queue = model.queue.clone()
        # mmengine's EMA copies at its first step and averages from the second on.
        share = 1.0 if step == 0 else 0.25
        online = nn.Sequential(model.backbone, model.neck)
        for slow, fast in zip(encoder_k.parameters(), online.parameters(), strict=True):
            slow.data = (1 - share) * slow.data + share * fast.data
        with torch.no_grad():
            keys = unit(encoder_k(views[1])[0])
        pair = info_nce(unit(online(views[0])[0]), keys, queue)
        jigsaw = info_nce(patch_query(model, views[2]), keys, queue)
        want = (1 - WEIGHT) * pair + WEIGHT * jigsaw
        names, weights = zip(
            *((n, p) for n, p in model.named_parameters() if p.requires_grad), strict=True
        )
        gradients = torch.autograd.grad(want, weights)

        losses = model.loss(views, None)
        torch.testing.assert_close(losses['loss_pair'], (1 - WEIGHT) * pair)
        torch.testing.assert_close(losses['loss_jigsaw'], WEIGHT * jigsaw)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        for name, weight, gradient in zip(names, weights, gradients, strict=True):
            assert gradient.abs().max() > 0, name
            torch.testing.assert_close(weight.grad, gradient, msg=name)
        places = slice(step * BATCH, (step + 1) * BATCH)
        torch.testing.assert_close(model.queue[:, places], keys.T)
        rest = [i for i in range(QUEUE) if i not in range(places.start, places.stop)]
        assert torch.equal(model.queue[:, rest], queue[:, rest])
        optimizer.step()


def test_without_the_jigsaw_it_is_moco():
    model = build(jigsaw_weight=0.0)
    moco = build()
    views = inputs(0)
    losses = model.loss(views, None)
    plain = super(type(moco), moco).loss(views[:2], None)['loss']
    torch.testing.assert_close(losses['loss_pair'], plain)
    assert losses['loss_jigsaw'] == 0


def test_no_momentum_copy_of_the_jigsaw_neck():
    model = build()
    copied = {id(p) for p in model.encoder_k.parameters()}
    assert len(copied) == len(list(nn.Sequential(model.backbone, model.neck).parameters()))
    assert all(p.requires_grad for p in model.jigsaw_neck.parameters())
    assert isinstance(model.jigsaw_neck, JigsawNeck)


def test_bad_values():
    with pytest.raises(ValueError, match='jigsaw_weight'):
        build(jigsaw_weight=1.5)
    model = build()
    with pytest.raises(ValueError, match='two views and 9 square patches'):
        model.loss(inputs(0)[:2], None)
    with pytest.raises(ValueError, match='two views and 9 square patches'):
        model.loss([*inputs(0)[:2], torch.zeros(BATCH, 3, 64, 64).double()], None)
