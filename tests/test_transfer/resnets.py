"""ResNets like trained ones, their checkpoints, and comparisons, for the tests of conversions."""

import torch
import torchvision
from mmpretrain.models import ResNet
from torch import nn

STAGES = ('layer1', 'layer2', 'layer3', 'layer4')


def randomise(model, seed=0):
    """Give batch norms the statistics and factors of a trained network, not 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name, value in module.state_dict().items():
                if name == 'num_batches_tracked':
                    value.fill_(1234 + seed)
                elif name in ('weight', 'running_var'):
                    value.uniform_(0.5, 1.5, generator=generator)
                else:
                    value.normal_(0, 0.2, generator=generator)
    model.eval()  # which returns nothing in mmpretrain
    return model


def mm_resnet(depth, seed=0):
    torch.manual_seed(seed)
    return randomise(ResNet(depth, out_indices=(0, 1, 2, 3), zero_init_residual=False), seed)


def save_mm(path, backbone, **more):
    """Write a checkpoint as mmengine does: the backbone among other weights, and what is known."""
    weights = {f'backbone.{key}': value for key, value in backbone.state_dict().items()}
    weights |= {'neck.fc0.weight': torch.ones(4, 4), 'queue': torch.ones(8, 16)}
    config = "default_scope = 'mmpretrain'\nmodel = dict(\n    neck=dict(type='A'), type='MoCo')\n"
    meta = {'epoch': 200, 'iter': 1000, 'cfg': config}
    torch.save({'meta': meta, 'state_dict': weights} | more, path)
    return path


def without_weights(name):
    """Build a network of torchvision's of names and shapes alone."""
    with torch.device('meta'):
        return getattr(torchvision.models, name)()


def stage_outputs(model, images):
    """Outputs of layer1 to layer4 of torchvision's or timm's ResNet."""
    outputs = []
    hooks = [
        getattr(model, stage).register_forward_hook(lambda *args: outputs.append(args[2]))
        for stage in STAGES
    ]
    model.eval()
    model(images)
    for hook in hooks:
        hook.remove()
    return outputs


def assert_same_features(outputs, expected):
    assert len(outputs) == len(expected) == 4
    for output, reference in zip(outputs, expected, strict=True):
        assert output.shape == reference.shape
        assert reference.std() > 0.1
        assert (output - reference).abs().max() <= 1e-5 * reference.abs().max()


def assert_same_weights(weights, reference):
    assert weights.keys() == reference.keys()
    for key, value in reference.items():
        assert weights[key].dtype == value.dtype, key
        assert torch.equal(weights[key], value), key
