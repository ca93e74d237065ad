"""mmdet's recipes, and what ``transfer/mmdet`` adds to mmdet.

What needs mmdet runs where ``transfer/mmdet/install.sh`` has installed it.
"""

import argparse
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmjoint.detection.masks import decode_mask
from mmjoint.detection.sources import add_arguments, read_data

FOLDER = Path(__file__).resolve().parents[2] / 'transfer' / 'mmdet'
VOC = 'faster-rcnn_r50-c4_24k_voc0712.py'
C4, C4_2X, FPN = (f'mask-rcnn_r50-{name}_coco.py' for name in ('c4_1x', 'c4_2x', 'fpn_1x'))

# MoCo's detection recipes: iterations, steps, warm-up, range of the short side, RPN test sizes.
RECIPES = {
    VOC: (24000, [18000, 22000], 100, (480, 800), (6000, 1000)),
    C4: (90000, [60000, 80000], 1000, (640, 800), (6000, 1000)),
    C4_2X: (180000, [120000, 160000], 1000, (640, 800), (6000, 1000)),
    FPN: (90000, [60000, 80000], 1000, (640, 800), (1000, 1000)),
}


def read(name: str) -> Config:
    return Config.fromfile(FOLDER / 'configs' / name, import_custom_modules=False)


def test_every_recipe_is_in_the_table() -> None:
    assert {path.name for path in (FOLDER / 'configs').glob('*.py')} == set(RECIPES)


@pytest.mark.parametrize('name', RECIPES)
def test_recipe(name: str) -> None:
    cfg = read(name)
    iterations, steps, warm_up, (low, high), rpn = RECIPES[name]
    assert cfg.train_cfg.max_iters == iterations
    linear, multi_step = cfg.param_scheduler
    assert (linear.start_factor, linear.end, linear.by_epoch) == (1e-3, warm_up, False)
    assert (multi_step.milestones, multi_step.gamma, multi_step.by_epoch) == (steps, 0.1, False)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', 0.02, 0.9)
    assert optimizer.weight_decay == 1e-4
    assert cfg.optim_wrapper.paramwise_cfg.norm_decay_mult == 0
    assert 8 * cfg.train_dataloader.batch_size == 16 == cfg.auto_scale_lr.base_batch_size
    resize = cfg.train_pipeline[2]
    assert resize.scales == [(1333, short) for short in range(low, high + 1, 32)]
    assert cfg.test_pipeline[1].scale == (1333, 800)
    test_rpn = cfg.model.test_cfg.rpn
    assert (test_rpn.nms_pre, test_rpn.max_per_img) == rpn
    assert cfg.custom_hooks[0] == dict(
        type='FinalPreciseBNHook', num_iters=200, priority='ABOVE_NORMAL'
    )


@pytest.mark.parametrize('name', RECIPES)
def test_input_and_norms(name: str) -> None:
    model = read(name).model
    inputs = model.data_preprocessor
    assert inputs.bgr_to_rgb and inputs.mean == [123.675, 116.28, 103.53]
    assert inputs.std == [58.395, 57.12, 57.375]
    norms = [model.backbone, model.neck if name == FPN else model.roi_head.shared_head]
    assert all(part.norm_cfg == dict(type='SyncBN', requires_grad=True) for part in norms)
    assert (model.backbone.style, model.backbone.depth) == ('pytorch', 50)
    assert (model.backbone.frozen_stages, model.backbone.norm_eval) == (-1, False)
    if name != FPN:
        head = model.roi_head.shared_head
        assert (head.type, head.style, head.norm_eval) == ('ResLayerExtraNorm', 'pytorch', False)
        assert model.backbone.num_stages == 3 and 'neck' not in model
    assert ('norm_cfg' in model.roi_head.bbox_head) is False


def test_voc_is_measured_over_all_thresholds() -> None:
    metric = read(VOC).test_evaluator
    assert metric.iou_thrs == pytest.approx([0.5 + 0.05 * i for i in range(10)])
    assert metric.eval_mode == '11points'


@pytest.fixture
def mmdet_module(monkeypatch: pytest.MonkeyPatch) -> object:
    """The module of ``transfer/mmdet`` that the configs import."""
    pytest.importorskip('mmdet', reason='needs mmdet: transfer/mmdet/install.sh')
    monkeypatch.syspath_prepend(str(FOLDER))
    import mmdet_extras

    return mmdet_extras


@pytest.fixture
def torchvision_ops(monkeypatch: pytest.MonkeyPatch) -> object:
    """What stands for mmcv's compiled operations; mmcv itself stays as it is."""
    monkeypatch.setitem(sys.modules, 'mmcv._ext', object())
    content = runpy.run_path(str(FOLDER / 'mmcv_ops.py'))
    return content['TorchvisionOps']('mmcv._ext')


def test_regions_of_a_linear_image(torchvision_ops: object) -> None:
    """The average over a cell of a linear image is its value in the middle of the cell."""
    y, x = torch.meshgrid(torch.arange(20.0), torch.arange(30.0), indexing='ij')
    image = (3 * x + 5 * y)[None, None].double()
    regions = torch.tensor([[0, 4.0, 6, 16, 12], [0, 2.0, 2, 8, 8]]).double()
    out, none = torch.empty(2, 1, 3, 4).double(), torch.empty(0)
    options = dict(
        aligned_height=3, aligned_width=4, spatial_scale=0.5, sampling_ratio=2, pool_mode=1,
        aligned=True,
    )  # fmt: skip
    torchvision_ops.roi_align_forward(image, regions, out, none, none, **options)
    for region, values in zip(regions / 2, out, strict=True):
        left, top, right, bottom = (region[1:] - 0.25).tolist()
        xs = left - 0.25 + (right - left) * (torch.arange(4) + 0.5) / 4
        ys = top - 0.25 + (bottom - top) * (torch.arange(3) + 0.5) / 3
        assert torch.allclose(values[0], (3 * xs + 5 * ys[:, None]).double(), atol=1e-9)
    # The gradient of a sum of averages has as much in it as there are cells.
    grad = torch.full_like(image, 7.0)
    torchvision_ops.roi_align_backward(torch.ones_like(out), regions, none, none, grad, **options)
    assert grad.sum() == pytest.approx(out.numel())
    with pytest.raises(NotImplementedError, match='averages only'):
        torchvision_ops.roi_align_forward(
            image, regions, out, none, none, **dict(options, pool_mode=0)
        )


def test_boxes_that_a_better_one_overlaps(torchvision_ops: object) -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 5]])
    scores = torch.tensor([0.5, 0.9, 0.7, 0.1])
    # The second covers 9 / 10 of the first and 5 / 9 of the last.
    assert torchvision_ops.nms(boxes, scores, iou_threshold=0.6, offset=0).tolist() == [1, 2, 3]
    assert torchvision_ops.nms(boxes, scores, iou_threshold=0.5, offset=0).tolist() == [1, 2]
    with pytest.raises(NotImplementedError, match='offset 1'):
        torchvision_ops.nms(boxes, scores, iou_threshold=0.5, offset=1)
    with pytest.raises(NotImplementedError, match=r'carafe.*compiled'):
        torchvision_ops.carafe(boxes)


@pytest.fixture
def detector(mmdet_module: object) -> Callable[[str], torch.nn.Module]:
    """Builds the detector of a config on the CPU."""
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules
    from mmengine.model import revert_sync_batchnorm

    register_all_modules()

    def build(name: str) -> torch.nn.Module:
        return revert_sync_batchnorm(MODELS.build(read(name).model))

    return build


def resnet50(seed: int = 0) -> dict[str, torch.Tensor]:
    """A random ResNet-50 with distinct statistics, as a converted file holds it."""
    import torchvision

    torch.manual_seed(seed)
    model = torchvision.models.resnet50(weights=None)
    state = {name: value for name, value in model.state_dict().items() if 'fc.' not in name}
    for value in state.values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return {f'backbone.{name}': value for name, value in state.items()}


@pytest.mark.parametrize('name', [VOC, FPN])
def test_whole_backbone_arrives(
    name: str, detector: Callable, mmdet_module: object, tmp_path: Path
) -> None:
    weights = resnet50()
    torch.save({'state_dict': weights}, tmp_path / 'r50.pth')
    model = detector(name)
    assert mmdet_module.load_backbone(model, tmp_path / 'r50.pth') == len(weights)
    state = model.state_dict()
    inner = 'backbone.layer4' if name == FPN else 'roi_head.shared_head.layer4'
    assert torch.equal(state['backbone.conv1.weight'], weights['backbone.conv1.weight'])
    assert torch.equal(
        state[f'{inner}.2.bn3.running_var'], weights['backbone.layer4.2.bn3.running_var']
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda w: {k: v for k, v in w.items() if 'layer4' not in k}, 'missing'),
        (lambda w: {f'module.{k}': v for k, v in w.items()}, 'missing.*unexpected'),
        (lambda w: w | {'backbone.conv1.weight': torch.zeros(64, 3, 3, 3)}, 'of another shape'),
        (lambda w: w | {'backbone.layer3.6.bn1.weight': torch.zeros(256)}, 'unexpected'),
    ],
)
def test_what_does_not_fit_is_refused(
    change: Callable, message: str, detector: Callable, mmdet_module: object, tmp_path: Path
) -> None:
    torch.save({'state_dict': change(resnet50())}, tmp_path / 'r50.pth')
    model = detector(VOC)
    before = model.backbone.conv1.weight.clone()
    with pytest.raises(ValueError, match=message):
        mmdet_module.load_backbone(model, tmp_path / 'r50.pth')
    assert torch.equal(model.backbone.conv1.weight, before)


def test_extra_norm(detector: Callable) -> None:
    head = detector(VOC).roi_head.shared_head
    head.train()
    regions = torch.randn(4, 1024, 14, 14)
    out = head(regions)
    assert out.shape == (4, 2048, 7, 7)
    assert torch.allclose(out.mean((0, 2, 3)), torch.zeros(2048), atol=1e-5)
    features = head.layer4(regions)
    expected = torch.nn.functional.batch_norm(features, None, None, training=True)
    assert torch.allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize('form', ['coco', 'voc'])
def test_perfect_detector_on_what_mmdet_reads(
    form: str, mmdet_module: object, shared_data: Path, tmp_path: Path
) -> None:
    """The objects that mmdet's data set returns are all that the metric looks for."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = [f'--{form}-root', str(shared_data / f'{form}_mini'), '--classes', 'dog', 'bus']
    if form == 'voc':
        arguments += ['--train-split', 'VOC2007/trainval', '--test-split', 'VOC2007/test']
    data = read_data(parser.parse_args(arguments), form)
    data.write(tmp_path)
    options = dict(data_prefix=dict(img=''), metainfo=dict(classes=data.classes), pipeline=[])
    train, test = (
        mmdet_module.WrittenSet(ann_file=str(tmp_path / f'{name}.npz'), **options, **more)
        for name, more in (
            ('train', dict(filter_cfg=dict(filter_empty_gt=True))),
            ('test', dict(test_mode=True)),
        )
    )
    objects = [item for item in data.train['annotations'] if not item['iscrowd']]
    assert len(train) == len({item['image_id'] for item in objects}) > 0
    assert len(test) == len(data.test['images'])
    samples = []
    for info in map(test.get_data_info, range(len(test))):
        items = [item for item in info['instances'] if not item['ignore_flag']]
        size = info['height'], info['width']
        found = dict(
            labels=torch.tensor([item['bbox_label'] for item in items], dtype=torch.int64),
            bboxes=torch.tensor([item['bbox'] for item in items]).reshape(-1, 4),
            scores=torch.ones(len(items)),
        )
        if form == 'coco':
            masks = [decode_mask(dict(segmentation=item['mask']), *size) for item in items]
            found['masks'] = torch.from_numpy(np.array(masks, dtype=bool).reshape(-1, *size))
        samples.append(dict(img_id=info['img_id'], pred_instances=found))
    metric = mmdet_module.WrittenSetMetric(str(tmp_path), str(tmp_path / 'out'))
    metric.process(None, samples)
    metric.compute_metrics(metric.results)
    kinds = dict(coco=['bbox', 'segm'], voc=['bbox'])[form]
    for kind in kinds:
        assert metric.outcome[kind] == pytest.approx(dict(AP=100, AP50=100, AP75=100))
    assert metric.outcome['per_class']['dog'] == pytest.approx(dict.fromkeys(kinds, 100))
    assert set(metric.outcome) == {*kinds, 'per_class'}
