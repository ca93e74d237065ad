"""LeOCLR against its definition: several steps by hand, in plain torch, of the same networks."""

import copy

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from torch import nn

import mmjoint.models  # noqa: F401  registers LeOCLR

TEMPERATURE, MOMENTUM, QUEUE, BATCH, STEPS = 0.2, 0.1, 16, 4, 6


def build(kind: str = 'LeOCLR') -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type=kind,
            queue_len=QUEUE,
            feat_dim=8,
            momentum=MOMENTUM,
            backbone=dict(type='ResNet', depth=18, base_channels=4),
            neck=dict(type='MoCoV2Neck', in_channels=32, hid_channels=16, out_channels=8),
            head=dict(
                type='ContrastiveHead',
                loss=dict(type='CrossEntropyLoss'),
                temperature=TEMPERATURE,
            ),
        )
    )
    return model.double()


def test_steps_by_hand() -> None:
    model = build()
    student = nn.Sequential(copy.deepcopy(model.backbone), copy.deepcopy(model.neck))
    teacher = copy.deepcopy(student)
    queue = model.queue.T.numpy().copy()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.5, momentum=0.9) for m in (model, student)]
    position = 0
    for _ in range(STEPS):
        views = [torch.randn(BATCH, 3, 16, 16, dtype=torch.double) for _ in range(3)]
        loss = model(views, None, mode='loss')['loss']
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()

        with torch.no_grad():
            for averaged, weight in zip(teacher.parameters(), student.parameters(), strict=True):
                averaged.copy_((1 - MOMENTUM) * averaged + MOMENTUM * weight)
            keys = [teacher(view)[0] for view in views[1:]]
            keys = [key / key.norm(dim=1, keepdim=True) for key in keys]
        query = student(views[0])[0]
        query = query / query.norm(dim=1, keepdim=True)
        negative = torch.exp(query @ torch.from_numpy(queue).T / TEMPERATURE).sum(1)
        expected = 0
        for key in keys:
            positive = torch.exp((query * key).sum(1) / TEMPERATURE)
            expected = expected - torch.log(positive / (positive + negative)).mean()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
        optimizers[1].zero_grad()
        expected.backward()
        optimizers[1].step()

        queue[position : position + BATCH] = keys[0].numpy()
        position = (position + BATCH) % QUEUE
        np.testing.assert_allclose(model.queue.T.numpy(), queue, rtol=1e-8, atol=1e-10)
        assert model.queue_ptr.item() == position
    assert STEPS * BATCH > QUEUE  # it went round
    for found, by_hand in ((model.backbone, student[0]), (model.encoder_k.module, teacher)):
        for (name, weight), other in zip(
            found.named_parameters(), by_hand.parameters(), strict=True
        ):
            torch.testing.assert_close(weight, other, rtol=1e-7, atol=1e-9, msg=name)
    assert not any(weight.requires_grad for weight in model.encoder_k.parameters())


def test_checkpoints_are_those_of_moco() -> None:
    state = build('MoCo').state_dict()
    model = build()
    assert model.state_dict().keys() == state.keys()
    model.load_state_dict(state)


def test_other_numbers_of_views() -> None:
    views = [torch.randn(2, 3, 16, 16, dtype=torch.double)] * 2
    with pytest.raises(ValueError, match='needs three views, the original image and two crops'):
        build().loss(views)
