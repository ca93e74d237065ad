"""Names and shapes of a ResNet's weights in every format, as one table read both ways.

mm, torchvision and timm share their names; detectron2 has its own. Everything here is about names
and shapes: reading files is in ``reading.py``, writing them in ``conversion.py``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .reading import CheckpointError, abridge, describe_faults

# Blocks of each stage; 18 and 34 are of basic blocks, the others of bottlenecks.
BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
# The second is that of small images: stride 1, no max-pooling after it.
STEMS = {'7x7': (64, 3, 7, 7), '3x3': (64, 3, 3, 3)}

# torchvision's, mm's and timm's name of each module beside detectron2's. Stages count from 1 on the
# left and from 2 on the right; {conv} is that of a convolution within its block.
MODULE_NAMES = {
    'stem': ('conv1', 'stem.conv1'),
    'stem norm': ('bn1', 'stem.conv1.norm'),
    'conv': ('layer{stage}.{block}.conv{conv}', 'res{res}.{block}.conv{conv}'),
    'norm': ('layer{stage}.{block}.bn{conv}', 'res{res}.{block}.conv{conv}.norm'),
    'shortcut': ('layer{stage}.{block}.downsample.0', 'res{res}.{block}.shortcut'),
    'shortcut norm': ('layer{stage}.{block}.downsample.1', 'res{res}.{block}.shortcut.norm'),
}
# float64 would be rounded; int64 are the counters.
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64)
_COUNTER = 'num_batches_tracked'
_BATCH_NORM = ('weight', 'bias', 'running_mean', 'running_var', _COUNTER)


@dataclass(frozen=True)
class Source:
    """Where a backbone lies in the checkpoints of one program.

    Attributes:
        format (str): Whose checkpoints they are.
        which (str): ``'online'``, the network trained by gradients, or ``'momentum'``, its moving
            average.
        prefix (str): What the backbone's keys start with.
        container (str): Entry of the file that holds the weights; ``''`` for ``state_dict``,
            ``model`` or the file itself, whichever there is.
        aside (tuple[str]): What other keys with the prefix start with after it: heads.
        detectron2 (bool): Whether the names are detectron2's. Defaults to False.
    """

    format: str
    which: str
    prefix: str
    container: str = ''
    aside: tuple[str, ...] = ()
    detectron2: bool = False

    @property
    def place(self) -> str:
        """Say in words where the weights lie."""
        return f'{self.prefix or "no prefix"}{f" of {self.container!r}" * bool(self.container)}'


# The first that a file has is taken.
SOURCES = (
    Source('mm', 'online', 'backbone.'),
    Source('mm', 'momentum', 'encoder_k.module.0.'),  # MoCo, DenseCL, LeOCLR
    Source('mm', 'momentum', 'target_net.module.0.'),  # BYOL
    Source('mm', 'momentum', 'momentum_encoder.module.0.'),  # MoCo v3
    Source('mm', 'momentum', 'teacher.backbone.'),  # DINO
    Source('mmselfsup 0.x', 'momentum', 'encoder_k.0.'),
    Source('mmselfsup 0.x', 'momentum', 'target_net.0.'),
    Source('mmselfsup 0.x', 'momentum', 'momentum_encoder.0.'),
    Source('MoCo v1/v2', 'online', 'module.encoder_q.', aside=('fc.',)),
    Source('MoCo v1/v2', 'momentum', 'module.encoder_k.', aside=('fc.',)),
    Source('MoCo v3', 'online', 'module.base_encoder.', aside=('fc.',)),
    Source('MoCo v3', 'momentum', 'module.momentum_encoder.', aside=('fc.',)),
    Source('DINO', 'online', 'module.backbone.', 'student'),
    Source('DINO', 'momentum', 'module.backbone.', 'teacher'),
    Source('DINO', 'momentum', 'backbone.', 'teacher'),
    Source('torchvision', 'online', '', aside=('fc.',)),
    Source('torchvision', 'online', 'module.', aside=('fc.',)),
    Source('timm', 'momentum', '', 'state_dict_ema', aside=('fc.',)),
    Source('detectron2', 'online', '', aside=('stem.fc.',), detectron2=True),
)


def _modules(depth: int) -> Iterable[tuple[str, str, tuple[int, ...] | int]]:
    """Yield torchvision's name, detectron2's name and shape (channels of a batch norm) of each."""
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
        stem (str): ``'7x7'``, or ``'3x3'`` for that of small images. Defaults to ``'7x7'``.

    Returns:
        list[tuple]: Name in torchvision, mm and timm, name in detectron2, and shape of each.
    """
    keys = []
    for left, right, shape in _modules(depth):
        if isinstance(shape, int):
            keys += [
                (f'{left}.{name}', f'{right}.{name}', () if name == _COUNTER else (shape,))
                for name in _BATCH_NORM
            ]
        else:
            shape = STEMS[stem] if left == 'conv1' else shape
            keys.append((f'{left}.weight', f'{right}.weight', shape))
    return keys


def find_backbones(checkpoint: dict, path: object) -> dict[str, tuple[Source, dict]]:
    """Find the backbones in a checkpoint.

    Args:
        checkpoint (dict): As read from the file.
        path (object): The file, for messages.

    Returns:
        dict[str, tuple[Source, dict]]: ``'online'``, ``'momentum'`` or both, to where it lies and
        the mapping of names to tensors that it lies in.

    Raises:
        CheckpointError: If there is none that any row of ``SOURCES`` describes.
    """
    found = {}
    for source in SOURCES:
        weights = _container(checkpoint, source.container)
        stage = 'res2.' if source.detectron2 else 'layer1.'
        if any(str(key).startswith(source.prefix + stage) for key in weights):
            found.setdefault(source.which, (source, weights))
    if not found:
        names = [str(key) for key in _container(checkpoint, '')]
        known = sorted({source.prefix for source in SOURCES if source.prefix})
        raise CheckpointError(
            f'{path}: no ResNet under a known prefix; the file has {abridge(names) or "nothing"}, '
            f'known prefixes are none, {", ".join(known)}'
        )
    return found


def _container(checkpoint: dict, name: str) -> dict:
    if name:
        weights = checkpoint.get(name)
        return weights if isinstance(weights, dict) else {}
    for name in ('state_dict', 'model'):
        if isinstance(checkpoint.get(name), dict):
            return checkpoint[name]
    return checkpoint


def pick_backbone(
    source: Source, weights: dict, path: object
) -> tuple[dict[str, Tensor], int, str]:
    """Take a backbone's weights out of a checkpoint under torchvision's names.

    Args:
        source (Source): Where they lie.
        weights (dict): The mapping they lie in.
        path (object): The file, for messages.

    Returns:
        tuple[dict[str, Tensor], int, str]: The weights (float32 and int64, of their own memory) in
        the network's order, its depth and its stem (``'7x7'`` or ``'3x3'``). Batch counters, which
        older programs do not write, are 0 if the file has none.

    Raises:
        CheckpointError: If a key is missing, unexpected or wrongly shaped, or a value is not finite
            or no tensor; the message names the keys.
    """
    where = f'{path}: the weights under {source.place}'
    start = len(source.prefix)
    found = {
        str(key)[start:]: value
        for key, value in weights.items()
        if str(key).startswith(source.prefix) and not str(key)[start:].startswith(source.aside)
    }
    strange = [
        f'{key} {getattr(value, "dtype", type(value).__name__)}'
        for key, value in found.items()
        if getattr(value, 'dtype', None) not in _DTYPES
    ]
    if strange:
        raise CheckpointError(f'{where} hold what is no weight: {abridge(strange)}')
    side = 1 if source.detectron2 else 0
    depth = _closest_depth(found, side)
    stem_key = ('conv1.weight', 'stem.conv1.weight')[side]
    small = stem_key in found and tuple(found[stem_key].shape) == STEMS['3x3']
    keys = resnet_keys(depth, '3x3' if small else '7x7')
    if not any(key.endswith(_COUNTER) for key in found):
        found |= {key[side]: torch.zeros((), dtype=torch.long) for key in keys if not key[2]}

    expected = {key[side]: key[2] for key in keys}
    faults = describe_faults(found, expected)
    if faults:
        raise CheckpointError(f'{where} do not fit ResNet-{depth}, the closest one: {faults}')
    backbone = {key[0]: _own(found[key[side]], key[2]) for key in keys}
    wrong = [key for key, value in backbone.items() if not torch.isfinite(value).all()]
    if wrong:
        raise CheckpointError(
            f'{where} hold values that are not finite (NaN or infinity): {abridge(wrong)}'
        )
    return backbone, depth, '3x3' if small else '7x7'


def _closest_depth(found: Iterable[str], side: int) -> int:
    """Return the depth whose keys differ least, so that what is said to be missing makes sense."""
    found = {key for key in found if not key.endswith(_COUNTER)}

    def difference(depth: int) -> int:
        return len(found ^ {k[side] for k in resnet_keys(depth) if not k[side].endswith(_COUNTER)})

    return min(BLOCKS, key=difference)


def _own(value: Tensor, shape: Sequence[int]) -> Tensor:
    """Copy a weight: a view would take all of its storage into the file."""
    dtype = torch.float32 if shape else torch.int64
    return value.detach().to(dtype=dtype, copy=True, memory_format=torch.contiguous_format)
