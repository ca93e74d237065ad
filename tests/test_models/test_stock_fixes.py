"""What stands in for mmpretrain's parts computes what they compute."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage
from mmpretrain.models.heads import ContrastiveHead
from mmpretrain.models.selfsup import SimCLR
from mmpretrain.models.utils import CosineEMA, SelfSupDataPreprocessor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mmjoint.models import stock_fixes
from mmjoint.models.stock_fixes import mend_stock_parts, split_pairs

CROSS_ENTROPY = dict(type='CrossEntropyLoss')
MLP = dict(hid_channels=16, out_channels=8)
NECK = dict(type='MoCoV2Neck', in_channels=32, with_avg_pool=True, **MLP)
NORMED = dict(type='NonLinearNeck', norm_cfg=dict(type='BN1d'), **MLP)
PREDICTOR = dict(NORMED, in_channels=8, with_avg_pool=False)
CONTRAST = dict(type='ContrastiveHead', loss=CROSS_ENTROPY, temperature=0.2)
MODELS_OF = {
    'SimCLR': dict(neck=NECK, head=CONTRAST),
    'MoCo': dict(neck=NECK, head=CONTRAST, queue_len=16, feat_dim=8),
    'BYOL': dict(
        neck=dict(NORMED, in_channels=32),
        head=dict(
            type='LatentPredictHead', loss=dict(type='CosineSimilarityLoss'), predictor=PREDICTOR
        ),
    ),
    'MoCoV3': dict(
        neck=dict(NORMED, in_channels=32),
        head=dict(type='MoCoV3Head', loss=CROSS_ENTROPY, predictor=PREDICTOR),
    ),
    'SwAV': dict(
        neck=dict(type='SwAVNeck', in_channels=32, norm_cfg=dict(type='BN1d'), **MLP),
        head=dict(
            type='SwAVHead',
            loss=dict(type='DistributedSwAVLoss', feat_dim=8, num_crops=[2, 2], num_prototypes=12),
        ),
    ),
}


def build(kind: str) -> nn.Module:
    torch.manual_seed(0)
    backbone = dict(type='ResNet', depth=18, base_channels=4)
    preprocessor = dict(mean=[120.0, 110.0, 100.0], std=[50.0, 60.0, 70.0], to_rgb=True)
    cfg = dict(MODELS_OF[kind], type=kind, backbone=backbone, data_preprocessor=preprocessor)
    return MODELS.build(cfg).double().train()


def train(model: nn.Module, kind: str, steps: range) -> list[float]:
    """Take steps; those of equal numbers have equal batches."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for step in steps:
        torch.manual_seed(step)
        sizes = [32, 32, 16, 16] if kind == 'SwAV' else [32, 32]
        views = [torch.randn(4, 3, size, size, dtype=torch.double) for size in sizes]
        loss = model(views, None, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize('kind', MODELS_OF)
def test_steps_are_those_of_mmpretrain(kind: str) -> None:
    """Losses, weights, averages and queues, also after the checkpoint of a stock run is loaded."""
    MessageHub.get_current_instance().update_info('max_iters', 6)
    # BYOL's loss is a sum of cosines, which cancel: terms of order 1.
    atol = 1e-7
    stock, ours = build(kind), build(kind)
    mend_stock_parts(ours)
    assert type(ours) is not type(stock) or kind in ('BYOL', 'MoCoV3')
    assert train(ours, kind, range(3)) == pytest.approx(
        train(stock, kind, range(3)), rel=1e-6, abs=atol
    )
    other = build(kind)
    mend_stock_parts(other)
    other.load_state_dict(copy.deepcopy(stock.state_dict()))
    expected = train(stock, kind, range(3, 5))
    for model in (ours, other):
        assert train(model, kind, range(3, 5)) == pytest.approx(expected, rel=1e-6, abs=atol)
        for name, value in stock.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-5, atol=atol)
    ours.load_state_dict(stock.state_dict())  # in the middle of a run: its counts go along
    expected = train(stock, kind, range(5, 6))
    assert train(ours, kind, range(5, 6)) == pytest.approx(expected, rel=1e-6, abs=atol)


def test_parts_of_a_users_own_stay() -> None:
    class Own(ContrastiveHead):
        pass

    model = nn.ModuleList([Own(CROSS_ENTROPY), ContrastiveHead(CROSS_ENTROPY), nn.Linear(2, 2)])
    mend_stock_parts(model)
    kinds = [type(module) for module in model]
    assert kinds == [Own, stock_fixes.HostFreeContrastiveHead, nn.Linear]


@pytest.mark.parametrize('num', [1, 2, 5])
def test_split_pairs(num: int) -> None:
    similarity = torch.rand(2 * num, 2 * num)
    mask, places, negatives = SimCLR._create_buffer(num, similarity.device)
    rest = similarity[mask == 1].view(2 * num, -1)
    positive, negative = split_pairs(similarity)
    assert torch.equal(positive, rest[places][:, None])
    assert torch.equal(negative, rest[negatives == 1].view(2 * num, -1))


@pytest.mark.parametrize('views', [1, 2])
@pytest.mark.parametrize(
    'settings', [dict(to_rgb=True), dict(), dict(to_rgb=True, mean=None, std=None)]
)
def test_preprocessor(settings: dict, views: int) -> None:
    settings = dict(dict(mean=[120.5, 110, 100], std=[50, 60.5, 70]), **settings)
    stock, ours = (SelfSupDataPreprocessor(**settings) for _ in range(2))
    mend_stock_parts(ours)
    images = torch.randint(0, 256, (views, 4, 3, 6, 5), dtype=torch.uint8)
    samples = [DataSample(metainfo=dict(sample_idx=i)) for i in range(3)]
    samples.append(DataSample().set_gt_label(1))
    batch = dict(inputs=list(images) if views > 1 else images[0], data_samples=samples)
    found, expected = ours(batch, True), stock(batch, True)
    for one, other in zip(found['inputs'], expected['inputs'], strict=True):
        assert one.dtype is torch.float32 and torch.equal(one, other)
    # The last one has a label, which goes to the device.
    unmoved = [found['data_samples'][i] is sample for i, sample in enumerate(samples)]
    assert unmoved == [True, True, True, False]
    assert found['data_samples'][3].gt_label.item() == 1


class SentTensor(torch.Tensor):
    """Says whether it is pinned and keeps how it was sent, instead of going to a GPU."""

    pinned = False

    def is_pinned(self) -> bool:
        return self.pinned

    def to(self, device: torch.device, non_blocking: bool = False) -> tuple:
        return str(device), non_blocking


@pytest.mark.parametrize('pinned', [False, True])
@pytest.mark.parametrize('set_by_user', [False, True])
def test_only_pinned_batches_are_not_waited_for(pinned: bool, set_by_user: bool) -> None:
    """tests/gpu looks at the copies themselves."""
    preprocessor = SelfSupDataPreprocessor(non_blocking=set_by_user)
    mend_stock_parts(preprocessor)
    preprocessor._device = torch.device('cuda:1')
    view = torch.zeros(2).as_subclass(SentTensor)
    view.pinned = pinned
    assert preprocessor.cast_data([view]) == [('cuda:1', pinned or set_by_user)]


@pytest.mark.parametrize('interval', [1, 2])
@pytest.mark.parametrize('kind', [ExponentialMovingAverage, CosineEMA])
def test_average(kind: type, interval: int) -> None:
    """Of weights of several types, with an interval."""
    MessageHub.get_current_instance().update_info('max_iters', 6)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3).double())
    stock, ours = (kind(model, momentum=0.3, interval=interval) for _ in range(2))
    mend_stock_parts(ours)
    for _ in range(5):
        with torch.no_grad():
            for value in (*model.parameters(), *model.buffers()):
                value.add_(1 if not value.is_floating_point() else torch.randn_like(value))
        for average in (stock, ours):
            average.update_parameters(model)
    for name, value in stock.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-6, atol=1e-6)
