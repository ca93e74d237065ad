"""The torchvision engine: the model, its weights, and training."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools import mask as rle
from torchvision.models import resnet18

from mmjoint.detection.metric import average_precision
from mmjoint.detection.torchvision.data import BatchSchedule, DetectionImages, collate
from mmjoint.detection.torchvision.engine import (
    Machine,
    detect,
    make_optimizer,
    precise_batch_norm,
    train,
)
from mmjoint.detection.torchvision.models import (
    ModelSettings,
    build_detector,
    load_backbone_weights,
    to_own_size,
)
from mmjoint.detection.torchvision.recipes import RECIPES, Recipe

CPU = Machine(torch.device('cpu'))
TINY_MODEL = ModelSettings(
    anchor_sizes=(8, 16, 24, 32, 64),
    fpn_channels=16,
    head_channels=32,
    rpn_batch=16,
    roi_batch=16,
    proposals=(50, 30),
    test_proposals=(50, 30),
)
TINY = Recipe(
    iterations=4,
    steps=(3,),
    warmup=2,
    short_sides=(40, 48),
    test_short_side=48,
    max_side=64,
    batch_size=2,
    precise_bn=3,
    model=TINY_MODEL,
)


@pytest.mark.parametrize('masks', [False, True])
def test_backbone_weights_are_really_used(masks):
    torch.manual_seed(0)
    source = resnet18()
    for value in source.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.01, 0.05)
    settings = dataclasses.replace(TINY_MODEL, masks=masks)
    detector = build_detector(18, 3, settings)
    assert load_backbone_weights(detector, source.state_dict(), 'file') == 120
    detector.eval(), source.eval()
    image = torch.rand(3, 64, 96)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    )
    x = ((image - mean) / std)[None]
    prepared, _ = detector.transform([image])
    torch.testing.assert_close(prepared.tensors, x)
    levels = detector.backbone.body(prepared.tensors)
    x = source.maxpool(source.relu(source.bn1(source.conv1(x))))
    for level, layer in enumerate([source.layer1, source.layer2, source.layer3, source.layer4]):
        x = layer(x)
        torch.testing.assert_close(levels[str(level)], x, rtol=1e-5, atol=0)
    assert all(parameter.requires_grad for parameter in detector.parameters())


def test_weights_that_do_not_fit_are_refused():
    detector = build_detector(18, 3, TINY_MODEL)
    weights = {k: v for k, v in resnet18().state_dict().items() if not k.startswith('fc.')}
    before = copy.deepcopy(detector.state_dict())
    faulty = {
        'layer4.1.bn2.weight is missing': {
            k: v for k, v in weights.items() if k != 'layer4.1.bn2.weight'
        },
        'head.weight is not part': {**weights, 'head.weight': torch.zeros(1)},
        r'conv1.weight has shape \(64, 3, 3, 3\)': {
            **weights,
            'conv1.weight': torch.zeros(64, 3, 3, 3),
        },
    }
    for message, wrong in faulty.items():
        with pytest.raises(ValueError, match=f'somewhere.pth: 1 weights .*{message}'):
            load_backbone_weights(detector, wrong, 'somewhere.pth')
    assert all(torch.equal(v, before[k]) for k, v in detector.state_dict().items())
    with pytest.raises(ValueError, match='depth is 20'):
        build_detector(20, 3, TINY_MODEL)


def test_the_small_stem_keeps_the_resolution():
    detector = build_detector(18, 3, TINY_MODEL, small_stem=True).eval()
    levels = detector.backbone(torch.rand(1, 3, 32, 32))
    assert [tuple(level.shape[-2:]) for level in levels.values()] == [
        (32, 32), (16, 16), (8, 8), (4, 4), (2, 2),
    ]  # fmt: skip
    weights = resnet18().state_dict() | {'conv1.weight': torch.rand(64, 3, 3, 3)}
    assert load_backbone_weights(detector, weights, 'file') == 120


def test_results_return_to_the_images_own_pixels():
    result = dict(
        boxes=torch.tensor([[10.0, 20, 30, 40], [0, 0, 48, 40]]),
        masks=torch.ones(2, 1, 28, 28),
        scores=torch.tensor([0.9, 0.8]),
    )
    own = to_own_size(result, (40, 48), (80, 144))
    assert own['boxes'].tolist() == [[30, 40, 90, 80], [0, 0, 144, 80]]
    assert own['masks'].shape == (2, 80, 144) and own['masks'].dtype == torch.bool
    ys, xs = np.nonzero(own['masks'][0].numpy())
    assert abs(xs.min() - 30) <= 1 and abs(xs.max() + 1 - 90) <= 1
    assert abs(ys.min() - 40) <= 1 and abs(ys.max() + 1 - 80) <= 1


def test_published_schedules():
    voc, coco = RECIPES['voc'], RECIPES['coco']
    assert (voc.iterations, voc.steps, voc.batch_size) == (24000, (18000, 22000), 16)
    assert (coco.iterations, coco.steps, coco.batch_size) == (90000, (60000, 80000), 16)
    assert voc.short_sides[0] == 480 and coco.short_sides[0] == 640
    assert voc.short_sides[-1] == coco.short_sides[-1] == voc.test_short_side == 800
    assert coco.model.masks and not voc.model.masks
    for iteration, lr in {
        0: 2e-5, 50: 0.01001, 100: 0.02, 17999: 0.02, 18000: 0.002, 22000: 0.0002,
    }.items():  # fmt: skip
        assert voc.lr_at(iteration) == pytest.approx(lr)


def test_batch_norm_is_not_decayed():
    model = build_detector(18, 3, TINY_MODEL)
    decayed, not_decayed = make_optimizer(model, TINY).param_groups
    assert (decayed['weight_decay'], not_decayed['weight_decay']) == (1e-4, 0)
    # 20 norms in ResNet-18 and 8 in FPN, a scale and a shift each.
    assert len(not_decayed['params']) == 2 * (20 + 8)
    assert len(decayed['params']) + len(not_decayed['params']) == len(list(model.parameters()))


class Killed(Exception):
    pass


def losses_in(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]


@pytest.mark.parametrize('masks', [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_killed_run_goes_on_as_if_it_had_not_been(coco_of, tmp_path, masks, monkeypatch):
    recipe = dataclasses.replace(TINY, model=dataclasses.replace(TINY_MODEL, masks=masks))
    coco = coco_of(tmp_path / 'images')
    data = DetectionImages(coco, recipe.short_sides, recipe.max_side, True, masks)

    def run(folder: Path, settings: dict | None = None) -> dict:
        torch.manual_seed(0)
        model = build_detector(18, 2, recipe.model)
        train(model, data, recipe, 5, folder, CPU, 2, settings or dict(seed=5))
        return model.state_dict()

    whole = run(tmp_path / 'whole')
    names = {'loss_classifier', 'loss_box_reg', 'loss_objectness', 'loss_rpn_box_reg'}
    for line in losses_in(tmp_path / 'whole'):
        parts = [line[name] for name in names | ({'loss_mask'} if masks else set())]
        assert line['loss'] == pytest.approx(sum(parts)) and line['loss'] > 0

    read = DetectionImages.__getitem__

    def dies_in_the_last_batch(self: DetectionImages, key: tuple) -> tuple:
        if key[1][1] == 3:
            raise Killed
        return read(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(DetectionImages, '__getitem__', dies_in_the_last_batch)
        with pytest.raises(Killed):
            run(tmp_path / 'killed')
    assert len(losses_in(tmp_path / 'killed')) == 3
    resumed = run(tmp_path / 'killed')
    assert losses_in(tmp_path / 'killed') == losses_in(tmp_path / 'whole')
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())
    with pytest.raises(ValueError, match='other settings, seed 5 instead of 6'):
        run(tmp_path / 'killed', settings=dict(seed=6))


@pytest.mark.slow
def test_early_tables_change_nothing(coco_of, tmp_path):
    coco = coco_of(tmp_path / 'images', count=3)
    data = DetectionImages(coco, TINY.short_sides, TINY.max_side, True)
    test = DetectionImages(coco, (48,), 64, False)
    called, states = [], []
    for eval_every in (0, 1):
        torch.manual_seed(0)
        model = build_detector(18, 2, TINY_MODEL)

        def evaluate(iteration: int, model: torch.nn.Module = model) -> None:
            called.append(iteration)
            probe = copy.deepcopy(model)
            precise_batch_norm(probe, data, TINY, 5, CPU)
            detect(probe, test, CPU)

        folder = tmp_path / str(eval_every)
        train(model, data, TINY, 5, folder, CPU, 4, {}, eval_every, evaluate)
        states.append(model.state_dict())
    assert called == [1, 2, 3]  # the last one is the result's
    assert losses_in(tmp_path / '0') == losses_in(tmp_path / '1')
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_a_loss_that_is_not_finite_ends_the_run(coco_of, tmp_path):
    coco = coco_of(tmp_path / 'images')
    data = DetectionImages(coco, TINY.short_sides, TINY.max_side, True)
    model = build_detector(18, 2, TINY_MODEL)
    torch.nn.init.constant_(model.roi_heads.box_predictor.cls_score.bias, float('inf'))
    with pytest.raises(FloatingPointError, match='at iteration 0'):
        train(model, data, TINY, 0, tmp_path / 'run', CPU, 2, {})


def test_precise_batch_norm_is_the_mean_over_batches(coco_of, tmp_path):
    coco = coco_of(tmp_path)
    data = DetectionImages(coco, TINY.short_sides, TINY.max_side, True)
    model = build_detector(18, 2, TINY_MODEL)
    precise_batch_norm(model, data, TINY, 1, CPU)
    means = []
    for batch in BatchSchedule(data.wide, 2, 1, stop=7, start=4):
        images, _ = collate([data[key] for key in batch])
        stem = model.backbone.body['conv1'](model.transform(images)[0].tensors)
        means.append(stem.mean((0, 2, 3)))
    norm = model.backbone.body['bn1']
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0).detach())
    assert norm.momentum == 0.1


def test_detections_are_in_coco_form(coco_of, tmp_path):
    coco = coco_of(tmp_path, count=3)
    settings = dataclasses.replace(TINY_MODEL, masks=True)
    torch.manual_seed(0)
    model = build_detector(18, 2, settings)
    data = DetectionImages(coco, (96,), 200, False)
    found = detect(model, data, CPU)
    assert found and {item['category_id'] for item in found} <= {7, 9}
    for item in found:
        x, y, w, h = item['bbox']
        assert -1e-3 <= x <= x + w <= 60 + 1e-3 and -1e-3 <= y <= y + h <= 48 + 1e-3
        assert rle.decode(item['segmentation']).shape == (48, 60)
    assert set(average_precision(coco, found, True)) == {'bbox', 'segm'}
