"""DINO against its definition: a training run by hand, in plain torch, of the same networks."""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from mmjoint.hooks import DINOHook

EPOCHS, LENGTH, BATCH = 6, 2, 4
SIZES = [16, 16, 8, 8, 8]  # two global and three local views
PROTOTYPES = 20
TEMPERATURES = [0.04, 0.05, 0.06, 0.07, 0.07, 0.07]
CLIP, FROZEN = 0.05, 2
BACKBONES = {
    'ResNet': (dict(type='ResNet', depth=18, base_channels=4), 32),
    'VisionTransformer': (
        dict(
            type='VisionTransformer',
            arch=dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32),
            img_size=16,
            patch_size=4,
        ),
        16,
    ),
}


def build(backbone: str = 'ResNet', drop_path_rate: float | None = None, **neck) -> nn.Module:
    config, channels = BACKBONES[backbone]
    if drop_path_rate is not None:
        config = dict(config, drop_path_rate=drop_path_rate)
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='DINO',
            base_momentum=0.1,
            data_preprocessor=dict(type='mmengine.BaseDataPreprocessor'),
            backbone=config,
            neck=dict(
                type='DINONeck',
                in_channels=channels,
                hid_channels=24,
                bottleneck_channels=12,
                out_channels=PROTOTYPES,
                **neck,
            ),
            head=dict(
                type='DINOHead',
                out_channels=PROTOTYPES,
                warmup_teacher_temperature=0.04,
                teacher_temperature=0.07,
                warmup_epochs=4,
            ),
        )
    )
    model.init_weights()
    return model.double()


def batches() -> list[dict]:
    torch.manual_seed(1)
    views = [
        [torch.randn(3, size, size, dtype=torch.double) for size in SIZES]
        for _ in range(LENGTH * BATCH)
    ]
    return [dict(inputs=image) for image in views]


class Recorder(Hook):
    """Notes what every iteration had."""

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.losses, self.centers, self.decays, self.prototypes = [], [], [], []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        self.losses.append(outputs['loss'].item())
        self.centers.append(runner.model.head.center.clone())
        self.prototypes.append(runner.model.neck.last_layer.weight_v.detach().clone())

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        groups = runner.optim_wrapper.optimizer.param_groups
        self.decays.append(sorted({group['weight_decay'] for group in groups}))


def train(
    model: nn.Module,
    optimizer: dict,
    work_dir: Path,
    load_from: str | None = None,
    **optim_wrapper,
) -> tuple[Recorder, Runner]:
    recorder = Recorder()
    both = dict(by_epoch=True, convert_to_iter_based=True)
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=BATCH,
            dataset=batches(),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=EPOCHS),
        optim_wrapper=dict(
            optimizer=optimizer, paramwise_cfg=dict(flat_decay_mult=0.0), **optim_wrapper
        ),
        param_scheduler=[
            dict(type='LinearLR', start_factor=1e-4, begin=0, end=2, **both),
            dict(type='CosineAnnealingLR', T_max=4, eta_min=1e-6, begin=2, end=EPOCHS, **both),
            dict(
                type='CosineAnnealingParamScheduler',
                param_name='weight_decay',
                T_max=EPOCHS,
                eta_min_ratio=10,
                begin=0,
                end=EPOCHS,
                **both,
            ),
        ],
        default_hooks=dict(logger=None, checkpoint=dict(type='CheckpointHook', interval=3)),
        custom_hooks=[DINOHook(freeze_last_layer=FROZEN, clip_grad=CLIP), recorder],
        default_scope='mmpretrain',
        experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
        log_level='ERROR',
        load_from=load_from,
        resume=load_from is not None,
    )
    runner.train()
    return recorder, runner


def project(backbone: nn.Module, neck: nn.Module, views: list[Tensor]) -> list[Tensor]:
    """The logits of each view: a backbone pass a resolution, then the projection by hand."""
    features = []
    for size in (16, 8):
        group = [view for view in views if view.shape[-1] == size]
        if group:
            output = backbone(torch.cat(group))[-1]
            features.append(output.flatten(2).mean(2) if output.ndim == 4 else output)
    x = torch.cat(features)
    weights = dict(neck.named_parameters())
    for layer in (0, 2, 4):
        x = x @ weights[f'mlp.{layer}.weight'].T + weights[f'mlp.{layer}.bias']
        if layer < 4:
            x = x * (1 + torch.erf(x / math.sqrt(2))) / 2
    x = x / x.norm(dim=1, keepdim=True)
    direction = weights['last_layer.weight_v']
    prototypes = direction / direction.norm(dim=1, keepdim=True) * weights['last_layer.weight_g']
    return list((x @ prototypes.T).split(BATCH))


def by_hand(model: nn.Module, make_optimizer: Callable) -> dict:
    """Train copies of the model's networks as DINO's repository does."""
    student = nn.ModuleList([copy.deepcopy(model.backbone), copy.deepcopy(model.neck)]).train()
    teacher = copy.deepcopy(student).requires_grad_(False)
    trained = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = make_optimizer(
        [
            dict(params=[weight for weight in trained if weight.ndim > 1]),
            dict(params=[weight for weight in trained if weight.ndim == 1], weight_decay=0.0),
        ]
    )
    peak, decay = (optimizer.param_groups[0][key] for key in ('lr', 'weight_decay'))
    total, warmup = EPOCHS * LENGTH, 2 * LENGTH
    progress = np.arange(total) / total
    decays = 10 * decay + (decay - 10 * decay) * (1 + np.cos(np.pi * progress)) / 2
    momenta = 1 + (0.9 - 1) * (1 + np.cos(np.pi * progress)) / 2
    progress = np.arange(total - warmup) / (total - warmup)
    rates = np.concatenate(
        [
            np.linspace(1e-4 * peak, peak, warmup),
            1e-6 + (peak - 1e-6) * (1 + np.cos(np.pi * progress)) / 2,
        ]
    )
    data = [image['inputs'] for image in batches()]
    center = torch.zeros(1, PROTOTYPES, dtype=torch.double)
    losses, centers = [], []
    for i in range(total):
        epoch, start = i // LENGTH, i % LENGTH * BATCH
        views = [torch.stack(view) for view in zip(*data[start : start + BATCH], strict=True)]
        for group in optimizer.param_groups:
            group['lr'] = rates[i]
        optimizer.param_groups[0]['weight_decay'] = decays[i]
        teacher_logits = project(*teacher, views[:2])
        student_logits = project(*student, views)
        loss, terms = 0, 0
        for first, of_teacher in enumerate(teacher_logits):
            target = torch.exp((of_teacher - center) / TEMPERATURES[epoch])
            target = target / target.sum(1, keepdim=True)
            for second, of_student in enumerate(student_logits):
                if second != first:
                    logits = of_student / 0.1
                    log_probability = logits - torch.logsumexp(logits, 1, keepdim=True)
                    loss = loss - (target * log_probability).sum(1).mean()
                    terms += 1
        loss = loss / terms
        assert terms == 2 * (len(SIZES) - 1)
        center = 0.9 * center + 0.1 * torch.cat(teacher_logits).mean(0, keepdim=True)
        optimizer.zero_grad()
        loss.backward()
        for name, weight in student.named_parameters():
            if weight.grad is None:
                continue
            norm = weight.grad.norm()
            if norm > CLIP:
                weight.grad *= CLIP / (norm + 1e-6)
            if epoch < FROZEN and 'last_layer' in name:
                weight.grad = None
        optimizer.step()
        with torch.no_grad():
            for averaged, weight in zip(teacher.parameters(), student.parameters(), strict=True):
                averaged.copy_(momenta[i] * averaged + (1 - momenta[i]) * weight)
        losses.append(loss.item())
        centers.append(center)
    return dict(
        losses=losses,
        centers=centers,
        decays=decays,
        student=dict(student.named_parameters()),
        teacher=dict(teacher.named_parameters()),
        teacher_buffers=dict(teacher.named_buffers()),
    )


def assert_same_weights(module: nn.Module, expected: dict[str, Tensor], atol: float) -> None:
    found = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    names = {'backbone': '0.', 'neck': '1.'}
    compared = 0
    for name, value in found.items():
        top, _, rest = name.partition('.')
        if top in names and names[top] + rest in expected:
            torch.testing.assert_close(value, expected[names[top] + rest], rtol=1e-7, atol=atol)
            compared += 1
    assert compared == len(expected)


@pytest.mark.parametrize(
    ('backbone', 'optimizer', 'make_optimizer', 'norm_last_layer'),
    [
        (
            'ResNet',
            dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-3),
            lambda groups: torch.optim.SGD(groups, lr=0.2, momentum=0.9, weight_decay=1e-3),
            True,
        ),
        (
            'VisionTransformer',
            dict(type='AdamW', lr=0.01, weight_decay=0.04),
            lambda groups: torch.optim.AdamW(groups, lr=0.01, weight_decay=0.04),
            False,
        ),
    ],
)
def test_run_by_hand(
    backbone: str,
    optimizer: dict,
    make_optimizer: Callable,
    norm_last_layer: bool,
    tmp_path: Path,
) -> None:
    model = build(backbone, norm_last_layer=norm_last_layer)
    expected = by_hand(model, make_optimizer)
    start = model.neck.last_layer.weight_v.detach().clone()
    recorder, _ = train(model, optimizer, tmp_path / 'run')
    np.testing.assert_allclose(recorder.losses, expected['losses'], rtol=1e-9)
    for center, by_definition in zip(recorder.centers, expected['centers'], strict=True):
        torch.testing.assert_close(center, by_definition, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose([decays[-1] for decays in recorder.decays], expected['decays'])
    assert {decays[0] for decays in recorder.decays} == {0.0}
    assert_same_weights(model, expected['student'], atol=1e-9)
    model.update_teacher()  # what belongs to the last step
    assert_same_weights(
        model.teacher, {**expected['teacher'], **expected['teacher_buffers']}, atol=1e-9
    )
    moved = [not torch.equal(value, start) for value in recorder.prototypes]
    assert moved == [False] * FROZEN * LENGTH + [True] * (EPOCHS - FROZEN) * LENGTH
    lengths = model.neck.last_layer.weight_g
    assert bool((lengths == 1).all()) is norm_last_layer


def test_resume_goes_on_with_everything(tmp_path: Path) -> None:
    optimizer = dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-3)
    model = build()
    whole, _ = train(model, optimizer, tmp_path / 'whole')
    resumed_model = build()
    for weight in resumed_model.parameters():
        weight.data.mul_(2)
    resumed, _ = train(
        resumed_model, optimizer, tmp_path / 'resumed', str(tmp_path / 'whole' / 'epoch_3.pth')
    )
    rest = 3 * LENGTH
    assert resumed.losses == whole.losses[rest:]
    assert resumed.decays == whole.decays[rest:]
    assert all(map(torch.equal, resumed.centers, whole.centers[rest:]))
    state, expected = resumed_model.state_dict(), model.state_dict()
    assert {'head.center', 'teacher_steps', 'teacher.backbone.conv1.weight'} <= expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_teacher_of_its_own_batch_norm_and_without_stochastic_depth() -> None:
    model = build('VisionTransformer', drop_path_rate=0.5).train()
    rates = [m.drop_prob for m in model.teacher.modules() if type(m).__name__ == 'DropPath']
    assert max(rates) == 0.5
    views = [torch.randn(BATCH, 3, 16, 16, dtype=torch.double) for _ in range(2)]
    model.update_teacher()
    once, twice = (model.teacher['backbone'](views[0])[-1] for _ in range(2))
    assert torch.equal(once, twice)
    assert not torch.equal(model.backbone(views[0])[-1], model.backbone(views[0])[-1])
    model = build().train()
    model.update_teacher()
    student, teacher = model.backbone.bn1, model.teacher['backbone'].bn1
    assert torch.equal(student.running_mean, teacher.running_mean)
    views += [torch.randn(BATCH, 3, 8, 8, dtype=torch.double) + 1 for _ in range(2)]
    model(views, mode='loss')
    # One pass of the global views for the teacher; for the student one more, of the local ones.
    assert (teacher.num_batches_tracked, student.num_batches_tracked) == (1, 2)
    mean = model.teacher['backbone'].conv1(torch.cat(views[:2])).mean((0, 2, 3))
    torch.testing.assert_close(teacher.running_mean, 0.1 * mean)


def test_evaluating_the_loss_moves_nothing() -> None:
    model = build().eval()
    before = copy.deepcopy(model.state_dict())
    views = [torch.randn(BATCH, 3, 16, 16, dtype=torch.double) for _ in range(2)]
    MessageHub.get_current_instance().update_info('epoch', 0)
    model(views, mode='loss')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_two_ways_of_clipping(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='both optim_wrapper.clip_grad and the clip_grad of this'):
        train(build(), dict(type='SGD', lr=0.1), tmp_path / 'run', clip_grad=dict(max_norm=1.0))


def test_one_view() -> None:
    with pytest.raises(ValueError, match='at least two views'):
        build().loss([torch.randn(2, 3, 16, 16)])
