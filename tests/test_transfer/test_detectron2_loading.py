"""The detectron2 engine's check that all of a converted backbone is in the detector."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2_engine import load

from mmjoint.checkpoints import CheckpointError

DATA = Path(__file__).with_name('data')
check = load('backbone_check')


def detector_shapes(model):
    return json.loads((DATA / f'detectron2_r50_{model}.json').read_text())


def random_state(model):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator)
        for name, shape in detector_shapes(model).items()
        # The wide layers of the FPN's head are of no interest here.
        if 'fc1' not in name
    }


@pytest.fixture(params=['c4', 'fpn'])
def loaded(request):
    """State of a detector, and the file's weights that are all in it."""
    state = random_state(request.param)
    return state, {name: state[in_model] for name, in_model in check.backbone_names(state).items()}


def test_backbone_is_all_of_a_resnet50(loaded):
    state, weights = loaded
    assert len(weights) == 53 * 5
    assert {name.split('.')[0] for name in weights} == {'stem', 'res2', 'res3', 'res4', 'res5'}
    check.check_fits({name: value.shape for name, value in state.items()}, weights)
    assert check.check_loaded(state, weights) == 53 * 5


@pytest.mark.parametrize(
    'name', ['stem.conv1.weight', 'res5.0.shortcut.norm.running_var', 'res5.2.conv3.norm.bias']
)
def test_a_weight_that_did_not_arrive_is_named(loaded, name):
    state, weights = loaded
    in_model = check.backbone_names(state)[name]
    state[in_model] = state[in_model].clone()
    state[in_model].view(-1)[-1] += 1e-3
    with pytest.raises(CheckpointError, match=rf"^1 of the detector's 265 .*\({in_model}\)$"):
        check.check_loaded(state, weights)


def test_a_file_without_res5_or_with_a_prefix_is_refused(loaded):
    state, weights = loaded
    shapes = {name: value.shape for name, value in state.items()}
    headless = {name: value for name, value in weights.items() if not name.startswith('res5')}
    with pytest.raises(CheckpointError, match=r'50 missing \(res5\.0\.[\w.]+, .*3-4-6-0 blocks'):
        check.check_fits(shapes, headless)
    with pytest.raises(CheckpointError, match='265 of the detector'):
        check.check_loaded(state, {f'module.{name}': value for name, value in weights.items()})
    reshaped = weights | {'stem.conv1.weight': torch.rand(64, 3, 3, 3)}
    with pytest.raises(
        CheckpointError, match=r'stem.conv1.weight \(64, 3, 3, 3\) instead of \(64, 3, 7, 7\)'
    ):
        check.check_fits(shapes, reshaped)


def test_another_depth_is_refused():
    shapes = detector_shapes('c4')
    weights = {
        name: torch.zeros(shapes[in_model])
        for name, in_model in check.backbone_names(shapes).items()
    }
    for block in range(6, 23):  # ResNet-101's res4
        weights |= {
            name.replace('res4.1.', f'res4.{block}.'): value
            for name, value in list(weights.items())
            if name.startswith('res4.1.')
        }
    with pytest.raises(CheckpointError, match=r'3-4-23-3 blocks, those of the config 3-4-6-3'):
        check.check_fits(shapes, weights)


def test_only_a_converted_file_is_read(tmp_path):
    (tmp_path / 'raw.pkl').write_bytes(pickle.dumps({'model': {'conv1.weight': np.zeros(3)}}))
    with pytest.raises(CheckpointError, match='transfer/convert.py --to detectron2 makes one'):
        check.read_weights(tmp_path / 'raw.pkl')
