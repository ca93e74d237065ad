"""The torchvision engine: from random weights to a metric, and going on after a kill."""

import dataclasses
import json

import pytest
import torch

from mmjoint.detection.torchvision.data import DetectionImages
from mmjoint.detection.torchvision.engine import Machine, detect, precise_batch_norm, train
from mmjoint.detection.torchvision.models import build_detector
from mmjoint.utils.device import choose_device

from ..test_detection.conftest import coco_of  # noqa: F401
from ..test_detection.test_torchvision_training import TINY, Killed


def run(coco, folder, amp, iterations, masks=False):
    recipe = dataclasses.replace(
        TINY,
        iterations=iterations,
        steps=(iterations,),
        model=dataclasses.replace(TINY.model, masks=masks),
    )
    data = DetectionImages(coco, recipe.short_sides, recipe.max_side, True, masks)
    machine = Machine(choose_device(), amp)
    torch.manual_seed(0)
    model = build_detector(18, len(coco['categories']), recipe.model).to(machine.device)
    train(model, data, recipe, 0, folder, machine, 5, {})
    precise_batch_norm(model, data, recipe, 0, machine)
    return model, data, machine


def losses(folder):
    return [json.loads(line)['loss'] for line in (folder / 'log.jsonl').read_text().splitlines()]


@pytest.mark.parametrize('amp', [False, True])
def test_losses_fall_and_boxes_are_found(amp, coco_of, tmp_path):  # noqa: F811
    coco = coco_of(tmp_path / 'images')
    model, _, machine = run(coco, tmp_path / 'run', amp, 30, masks=True)
    values = losses(tmp_path / 'run')
    assert sum(values[-5:]) < 0.9 * sum(values[:5])
    test = DetectionImages(coco, (48,), 64, False)
    for item in detect(model, test, machine):
        assert {'image_id', 'category_id', 'bbox', 'score', 'segmentation'} <= item.keys()


@pytest.mark.parametrize('amp', [False, True])
def test_a_resumed_run_goes_on(amp, coco_of, tmp_path):  # noqa: F811
    coco = coco_of(tmp_path / 'images')
    run(coco, tmp_path / 'whole', amp, 10)
    read = DetectionImages.__getitem__

    def dies_in_the_eighth_iteration(self, key):
        if key[1][1] == 7:
            raise Killed
        return read(self, key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DetectionImages, '__getitem__', dies_in_the_eighth_iteration)
        with pytest.raises(Killed):
            run(coco, tmp_path / 'parts', amp, 10)
    assert len(losses(tmp_path / 'parts')) == 7
    run(coco, tmp_path / 'parts', amp, 10)
    whole, parts = losses(tmp_path / 'whole'), losses(tmp_path / 'parts')
    # Scatters of gradients add up in any order on a GPU.
    assert parts == pytest.approx(whole, rel=2e-2)
