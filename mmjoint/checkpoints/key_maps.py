"""Names and shapes of a ResNet's weights in every format, as one table read in both directions.

mm, torchvision and timm share their names; detectron2 has its own. This file deals only with names
and shapes: ``reading.py`` reads files, ``conversion.py`` writes them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .fitting import COUNTER, abridge, describe_faults, without_wrappers
from .reading import CheckpointError

# Number of blocks per stage; 18 and 34 have basic blocks, the others bottlenecks.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
# The second stem is for small images: stride 1, and no max-pooling after it.
STEMS = {'7x7': (64, 3, 7, 7), '3x3': (64, 3, 3, 3)}

# The name of each module in torchvision, mm and timm next to its name in detectron2. Stages count
# from 1 on the left and from 2 on the right; {conv} is the number of a convolution in its block.
MODULE_NAMES = {
    'stem': ('conv1', 'stem.conv1'),
    'stem norm': ('bn1', 'stem.conv1.norm'),
    'conv': ('layer{stage}.{block}.conv{conv}', 'res{res}.{block}.conv{conv}'),
    'norm': ('layer{stage}.{block}.bn{conv}', 'res{res}.{block}.conv{conv}.norm'),
    'shortcut': ('layer{stage}.{block}.downsample.0', 'res{res}.{block}.shortcut'),
    'shortcut norm': ('layer{stage}.{block}.downsample.1', 'res{res}.{block}.shortcut.norm'),
}
_BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var', COUNTER)
# Children of torchvision's ResNet by index, as nn.Sequential(*model.children()) names them.
_CHILDREN = {
    '0': 'conv1', '1': 'bn1', '4': 'layer1', '5': 'layer2', '6': 'layer3', '7': 'layer4',
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where a backbone lies in the checkpoints of a program.

    Attributes:
        format (str): The program that writes the checkpoints.
        which (str): ``'online'``, the network trained by gradients, or ``'momentum'``, its moving
            average.
        prefix (str): The prefix of the backbone's keys.
        container (str): The entry of the file that holds the weights, with dots between nested
            entries; ``''`` for ``state_dict``, ``model`` or the file itself, whichever exists.
        aside (tuple[str]): The beginnings, after the prefix, of other keys with the prefix: heads.
        names (str): ``'torchvision'``, ``'detectron2'`` or ``'sequential'``, the children's
            indices. Defaults to ``'torchvision'``.
        beside (str): An entry that the file must have too. Defaults to ``''``, none.
    """

    format: str
    which: str
    prefix: str
    container: str = ''
    aside: tuple[str, ...] = ()
    names: str = 'torchvision'
    beside: str = ''

    @property
    def place(self) -> str:
        """Describe where the weights lie."""
        return f'{self.prefix or "no prefix"}{f" of {self.container!r}" * bool(self.container)}'


_FC = ('fc.',)
# Where mmengine's EMAHook puts the weights, whose average it puts in their place.
AVERAGE = 'ema_state_dict'
_LIGHTNING = 'pytorch-lightning_version'
_TRUNK = 'classy_state_dict.base_model.model.trunk'

# The first source that matches a file is used.
SOURCES = (
    Source('mm with EMAHook', 'online', 'module.backbone.', AVERAGE),
    Source('mm with EMAHook', 'momentum', 'module.encoder_k.module.0.', AVERAGE),
    Source('mm with EMAHook', 'momentum', 'module.target_net.module.0.', AVERAGE),
    Source('mm with EMAHook', 'momentum', 'module.momentum_encoder.module.0.', AVERAGE),
    Source('mm with EMAHook', 'momentum', 'module.teacher.backbone.', AVERAGE),
    Source('mm with EMAHook', 'momentum', 'backbone.', beside=AVERAGE),
    Source('Lightning', 'online', 'backbone.', aside=_FC, beside=_LIGHTNING),  # solo-learn
    Source('Lightning', 'online', 'encoder.', aside=_FC, beside=_LIGHTNING),
    Source('Lightning', 'online', 'model.', aside=_FC, beside=_LIGHTNING),
    Source('Lightning', 'online', 'model.backbone.', aside=_FC, beside=_LIGHTNING),
    Source('Lightning', 'online', 'net.', aside=_FC, beside=_LIGHTNING),
    Source('solo-learn', 'momentum', 'momentum_backbone.', aside=_FC),
    Source('mm', 'online', 'backbone.'),
    Source('mm', 'momentum', 'encoder_k.module.0.'),  # MoCo, DenseCL, LeOCLR
    Source('mm', 'momentum', 'target_net.module.0.'),  # BYOL
    Source('mm', 'momentum', 'momentum_encoder.module.0.'),  # MoCo v3
    Source('mm', 'momentum', 'teacher.backbone.'),  # DINO
    Source('mmselfsup 0.x', 'momentum', 'encoder_k.0.'),
    Source('mmselfsup 0.x', 'momentum', 'target_net.0.'),
    Source('mmselfsup 0.x', 'momentum', 'momentum_encoder.0.'),
    *(
        Source(program, which, f'{wrapped}{name}.', aside=_FC)
        for wrapped in ('module.', '')  # DistributedDataParallel
        for program, which, name in (
            ('MoCo v1/v2', 'online', 'encoder_q'),
            ('MoCo v1/v2', 'momentum', 'encoder_k'),
            ('MoCo v3', 'online', 'base_encoder'),
            ('MoCo v3', 'momentum', 'momentum_encoder'),
        )
    ),
    *(
        Source('DINO', which, prefix, container)
        for which, container in (('online', 'student'), ('momentum', 'teacher'))
        for prefix in ('module.backbone.', 'backbone.')
    ),
    Source('PyContrast', 'online', 'module.encoder.', 'model', aside=_FC),  # InfoMin
    Source('PyContrast', 'momentum', 'encoder.', 'model_ema', aside=_FC),
    Source('PyContrast', 'momentum', 'module.encoder.', 'model_ema', aside=_FC),
    Source('SimSiam', 'online', 'module.encoder.', aside=_FC),
    Source('SimSiam', 'online', 'encoder.', aside=_FC),
    Source('Barlow Twins, VICReg', 'online', 'module.backbone.', aside=_FC),
    Source('VISSL', 'online', '_feature_blocks.', _TRUNK),
    Source('lightly', 'online', 'backbone.', names='sequential'),
    Source('lightly', 'momentum', 'backbone_momentum.', names='sequential'),
    Source('lightly', 'momentum', 'momentum_backbone.', names='sequential'),
    # SwAV's release has its heads next to a trunk without a prefix.
    Source('torchvision', 'online', '', aside=('fc.', 'projection_head.', 'prototypes.')),
    Source('torchvision', 'online', 'module.', aside=('fc.', 'projection_head.', 'prototypes.')),
    Source('torchvision', 'momentum', 'module.', 'model_ema', aside=_FC),
    Source('timm', 'momentum', '', 'state_dict_ema', aside=_FC),
    Source('detectron2', 'online', '', aside=('stem.fc.',), names='detectron2'),
)
_FIRST_STAGE = {'torchvision': 'layer1.', 'detectron2': 'res2.', 'sequential': '4.0.conv1.'}


def _modules(depth: int) -> Iterable[tuple[str, str, tuple[int, ...] | int]]:
    """Yield the name in torchvision, in detectron2, and the shape (a batch norm: channels)."""
    yield *MODULE_NAMES['stem'], STEMS['7x7']
    yield *MODULE_NAMES['stem norm'], 64
    channels = 64
    for stage, count in enumerate(BLOCKS[depth], start=1):
        width = 64 * 2 ** (stage - 1)
        out = 4 * width if depth >= 50 else width
        for block in range(count):
            if depth >= 50:
                convs = [(width, channels, 1, 1), (width, width, 3, 3), (out, width, 1, 1)]
            else:
                convs = [(width, channels, 3, 3), (width, width, 3, 3)]
            modules = []
            for index, shape in enumerate(convs, start=1):
                modules += [('conv', index, shape), ('norm', index, shape[0])]
            if channels != out:
                modules += [('shortcut', 0, (out, channels, 1, 1)), ('shortcut norm', 0, out)]
            for kind, index, shape in modules:
                left, right = MODULE_NAMES[kind]
                place = dict(stage=stage, res=stage + 1, block=block, conv=index)
                yield left.format(**place), right.format(**place), shape
            channels = out


def resnet_keys(depth: int, stem: str = '7x7') -> list[tuple[str, str, tuple[int, ...]]]:
    """List the weights of a ResNet without its classifier.

    Args:
        depth (int): 18, 34, 50 or 101.
        stem (str): ``'7x7'``, or ``'3x3'`` for the stem of small images. Defaults to ``'7x7'``.

    Returns:
        list[tuple]: The name in torchvision, mm and timm, the name in detectron2, and the shape of
        each.
    """
    keys: list[tuple[str, str, tuple[int, ...]]] = []
    for left, right, shape in _modules(depth):
        if isinstance(shape, int):
            keys += [
                (f'{left}.{name}', f'{right}.{name}', () if name == COUNTER else (shape,))
                for name in _BATCH_NORM
            ]
        else:
            shape = STEMS[stem] if left == 'conv1' else shape
            keys.append((f'{left}.weight', f'{right}.weight', shape))
    return keys


def find_backbones(checkpoint: dict, path: object) -> dict[str, tuple[Source, dict]]:
    """Find the backbones in a checkpoint.

    Args:
        checkpoint (dict): The content of the file.
        path (object): The file, for messages.

    Returns:
        dict[str, tuple[Source, dict]]: Maps ``'online'``, ``'momentum'`` or both to the place of
        the backbone and the mapping of names to tensors that contains it.

    Raises:
        CheckpointError: If no row of ``SOURCES`` describes a backbone in the file.
    """
    found = {}
    for source in SOURCES:
        if source.which in found or (source.beside and source.beside not in checkpoint):
            continue
        weights = _container(checkpoint, source.container)
        weights = without_wrappers({str(key): value for key, value in weights.items()}, path)
        stage = source.prefix + _FIRST_STAGE[source.names]
        if any(key.startswith(stage) for key in weights):
            found[source.which] = source, weights
    if not found:
        names = [str(key) for key in _container(checkpoint, '')]
        known = sorted({source.prefix for source in SOURCES if source.prefix})
        raise CheckpointError(
            f'{path}: no ResNet under a known prefix; the file has {abridge(names) or "nothing"}, '
            f'known prefixes are none, {", ".join(known)}'
        )
    return found


def _container(checkpoint: Mapping, name: str) -> Mapping:
    if name:
        for entry in name.split('.'):
            inner = checkpoint.get(entry)
            checkpoint = inner if isinstance(inner, dict) else {}
        return checkpoint
    for name in ('state_dict', 'model'):
        if isinstance(checkpoint.get(name), dict):
            return checkpoint[name]
    return checkpoint


def pick_backbone(
    source: Source, weights: dict, path: object
) -> tuple[dict[str, Tensor], int, str]:
    """Take a backbone's weights from a checkpoint, under torchvision's names.

    Args:
        source (Source): The place of the weights.
        weights (dict): The mapping that contains them.
        path (object): The file, for messages.

    Returns:
        tuple[dict[str, Tensor], int, str]: The weights (float32 and int64, with memory of their
        own) in the network's order, the depth and the stem (``'7x7'`` or ``'3x3'``). Batch
        counters, which older programs do not write, are 0 if the file has none.

    Raises:
        CheckpointError: If a key is missing, unexpected or wrongly shaped, or a value is impossible
            for a weight; the message names the keys.
    """
    where = f'{path}: the weights under {source.place}'
    start = len(source.prefix)
    found = {
        key[start:]: value
        for key, value in weights.items()
        if key.startswith(source.prefix) and not key[start:].startswith(source.aside)
    }
    if source.names == 'sequential':
        found = {
            re.sub(r'^\d+', lambda number: _CHILDREN.get(number[0], number[0]), key): value
            for key, value in found.items()
        }
    if not source.prefix:  # other entries of the file itself, such as an epoch
        found = {key: value for key, value in found.items() if isinstance(value, Tensor)}
    side: Literal[0, 1] = 1 if source.names == 'detectron2' else 0
    depth = _closest_depth(found, side)
    stem_key = ('conv1.weight', 'stem.conv1.weight')[side]
    small = stem_key in found and getattr(found[stem_key], 'shape', None) == STEMS['3x3']
    keys = resnet_keys(depth, '3x3' if small else '7x7')
    if not any(key.endswith(COUNTER) for key in found):
        found |= {key[side]: torch.zeros((), dtype=torch.long) for key in keys if not key[2]}

    expected = {key[side]: key[2] for key in keys}
    faults = describe_faults(found, expected)
    if faults:
        raise CheckpointError(f'{where} do not fit ResNet-{depth}, the closest one: {faults}')
    backbone = {key[0]: _own(found[key[side]], key[2]) for key in keys}
    return backbone, depth, '3x3' if small else '7x7'


def _closest_depth(found: Iterable[str], side: Literal[0, 1]) -> int:
    """Return the depth whose keys differ least, so that the list of missing keys makes sense."""
    found = {key for key in found if not key.endswith(COUNTER)}

    def difference(depth: int) -> int:
        return len(found ^ {k[side] for k in resnet_keys(depth) if not k[side].endswith(COUNTER)})

    return min(BLOCKS, key=difference)


def _own(value: Tensor, shape: Sequence[int]) -> Tensor:
    """Copy a weight; a view would store its whole storage in the output file."""
    dtype = torch.float32 if shape else torch.int64
    return value.detach().to(dtype=dtype, copy=True, memory_format=torch.contiguous_format)
