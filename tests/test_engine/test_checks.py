"""What would end a run in its first step is found before it, for every method."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmpretrain.registry import MODELS
from torch import nn
from torch.utils.data import DataLoader

from mmjoint.engine import read_config
from mmjoint.engine.checks import check_class_folders, check_queue, check_widths

MODEL_CONFIGS = Path(__file__).resolve().parents[2] / 'configs/_base_/models'
SMALL = sorted(
    path.stem for path in MODEL_CONFIGS.glob('*_resnet18_small.py') if 'linear' not in path.stem
)


class Backbone(nn.Module):
    """Gives as many channels as it is told to."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.norm(self.conv(x)),)


def model_of(channels: int) -> nn.Module:
    model = nn.Module()
    model.backbone = Backbone(channels)
    return model


@pytest.mark.parametrize('name', SMALL)
def test_a_deeper_backbone_is_refused_with_the_option_that_belongs_to_it(name: str) -> None:
    cfg = read_config(MODEL_CONFIGS / f'{name}.py')
    cfg.model.backbone.base_channels = cfg.model.backbone.stem_channels = 8
    cfg.model.neck.in_channels = 64
    cfg.model.pop('queue_len', None)
    model = nn.Module()
    model.backbone = MODELS.build(cfg.model.backbone)
    check_widths(model, cfg)  # fits
    cfg.model.backbone.depth = 50
    model.backbone = MODELS.build(cfg.model.backbone)
    with pytest.raises(ValueError, match='--cfg-options model.neck.in_channels=256'):
        check_widths(model, cfg)


@pytest.mark.parametrize(
    ('model', 'message'),
    [
        (dict(neck=dict(in_channels=8)), 'gives 6 channels, but model.neck.in_channels is 8'),
        (
            dict(neck=dict(in_channels=8), jigsaw_neck=dict(in_channels=8)),
            '--cfg-options model.neck.in_channels=6 model.jigsaw_neck.in_channels=6',
        ),
        (
            dict(neck=dict(type='GlobalAveragePooling'), head=dict(in_channels=8)),
            '--cfg-options model.head.in_channels=6',
        ),
        (
            dict(neck=dict(in_channels=6, out_channels=4), feat_dim=5),
            'model.neck.out_channels is 4 and model.feat_dim 5',
        ),
        (
            dict(
                neck=dict(in_channels=6, out_channels=4),
                head=dict(predictor=dict(in_channels=7, out_channels=4)),
            ),
            '--cfg-options model.head.predictor.in_channels=4',
        ),
    ],
)
def test_widths_that_do_not_fit(model: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_widths(model_of(6), Config(dict(model=model)))


def test_the_check_leaves_the_backbone_and_the_random_numbers_alone() -> None:
    model = model_of(6).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    check_widths(model, Config(dict(model=dict(neck=dict(in_channels=6)))))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())


def loader_of(images: int, batch: int, drop_last: bool = True, endless: bool = False) -> DataLoader:
    data = list(range(images))
    sampler = InfiniteSampler(data) if endless else DefaultSampler(data, shuffle=False)
    return DataLoader(data, batch, sampler=sampler, drop_last=drop_last)


def runner_of(queue_len: int | None, *hooks: object) -> SimpleNamespace:
    model = nn.Module()
    if queue_len is not None:
        model.queue_len = queue_len
    return SimpleNamespace(model=model, hooks=list(hooks))


@pytest.mark.parametrize(
    ('queue', 'loader', 'processes'),
    [
        (64, loader_of(48, 16), 1),
        (64, loader_of(48, 16), 2),
        (64, loader_of(40, 16), 1),
        (64, loader_of(32, 16, drop_last=False), 1),
        (64, loader_of(40, 16, drop_last=False, endless=True), 1),
        (None, loader_of(40, 12, drop_last=False), 3),
    ],
)
def test_queues_that_fit(
    queue: int | None, loader: DataLoader, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('mmjoint.engine.checks.get_world_size', lambda: processes)
    check_queue(runner_of(queue), loader)


@pytest.mark.parametrize(
    ('queue', 'loader', 'processes', 'message'),
    [
        (64, loader_of(48, 12), 1, 'a batch of 12 images .* does not divide model.queue_len 64'),
        (
            64,
            loader_of(48, 8),
            3,
            'a batch of 24 images .3 processes of train_dataloader.batch_size 8. does not divide '
            'model.queue_len 64.*model.queue_len=72',
        ),
        (4, loader_of(48, 8), 1, 'model.queue_len=8'),
        (
            64,
            loader_of(40, 16, drop_last=False),
            2,
            'last batch of an epoch would have 16 images instead of 32.*drop_last=True',
        ),
    ],
)
def test_queues_that_do_not_fit(
    queue: int,
    loader: DataLoader,
    processes: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('mmjoint.engine.checks.get_world_size', lambda: processes)
    with pytest.raises(ValueError, match=message):
        check_queue(runner_of(queue), loader)


class SwAVHook:
    """What the check reads of mmpretrain's hook."""

    def __init__(self, batch_size: int, queue_length: int) -> None:
        self.batch_size, self.queue_length = batch_size, queue_length


def test_swav_queue_holds_a_batch() -> None:
    check_queue(runner_of(None, SwAVHook(16, 64)), loader_of(48, 16))
    check_queue(runner_of(None, SwAVHook(16, 0)), loader_of(48, 16))
    for hook in (SwAVHook(4, 12), SwAVHook(128, 64)):
        with pytest.raises(ValueError, match='set its batch_size to 16 and a queue_length of 16'):
            check_queue(runner_of(None, hook), loader_of(48, 16))


def test_a_folder_is_the_same_class_in_training_and_validation() -> None:
    def folders(**numbers: int) -> SimpleNamespace:
        return SimpleNamespace(folder_to_idx=numbers)

    check_class_folders(folders(a=0, b=1), folders(a=0, b=1))
    check_class_folders(folders(a=0, b=1), folders(a=0))
    check_class_folders(folders(a=0, b=1), SimpleNamespace())
    train = SimpleNamespace(dataset=SimpleNamespace(dataset=folders(a=0, b=1, c=2)))
    with pytest.raises(ValueError, match='the folder c is class 2 of train.* and 1 of val.* has b'):
        check_class_folders(train, folders(a=0, c=1))
