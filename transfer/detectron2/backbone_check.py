"""Checks that a converted backbone fits a detector, and that the detector has it after loading.

detectron2 matches names by their endings and only logs what it leaves out. A file with wrong names
would therefore train from a random stem or res5 for a day before the AP shows it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from mmjoint.checkpoints import CheckpointError, read_checkpoint
from mmjoint.checkpoints.fitting import abridge, describe_faults

# In C4 models res5 is part of the region head; the norm that follows it there has no block number.
_BACKBONE = re.compile(r'^(?:backbone\.(?:bottom_up\.)?|roi_heads\.)((?:stem|res[2-5]\.\d+)\..+)$')
# A counter of training batches; no layer of a detector uses it, and not every file has it.
_COUNTER = '.num_batches_tracked'


def read_weights(path: str) -> dict[str, Tensor]:
    """Read a converted backbone without running any code that the file may contain.

    Args:
        path (str): A ``.pkl`` file as ``transfer/convert.py --to detectron2`` writes it.

    Returns:
        dict[str, Tensor]: The weights under detectron2's names, without batch counters.

    Raises:
        CheckpointError: The file cannot be read, or was not made for detectron2's name matching.
    """
    content = read_checkpoint(path)
    if not isinstance(content.get('model'), dict) or not content.get('matching_heuristics'):
        raise CheckpointError(
            f'{path}: not a backbone for detectron2; transfer/convert.py --to detectron2 makes one'
        )
    return {name: value for name, value in content['model'].items() if not name.endswith(_COUNTER)}


def backbone_names(names: Iterable[str]) -> dict[str, str]:
    """Find a detector's backbone: its stem, res2 to res4 and res5, wherever they are.

    Args:
        names (Iterable[str]): The names of all weights of a detectron2 model, C4 or FPN.

    Returns:
        dict[str, str]: Maps the name in a converted file (``res5.0.conv1.weight``) to the name in
        the model (``roi_heads.res5.0.conv1.weight``), without batch counters.
    """
    matches = ((_BACKBONE.match(name), name) for name in names)
    return {match[1]: name for match, name in matches if match and not match[1].endswith(_COUNTER)}


def check_fits(shapes: Mapping[str, Sequence[int]], weights: Mapping[str, Tensor]) -> None:
    """Check, before loading, that a file has the whole backbone of a model and nothing else.

    Args:
        shapes (Mapping[str, Sequence[int]]): Shape of every weight of the detector, by name.
        weights (Mapping[str, Tensor]): Weights from ``read_weights``.

    Raises:
        CheckpointError: Weights are missing, unexpected or of another shape; the message names
            them.
    """
    expected = {name: shapes[in_model] for name, in_model in backbone_names(shapes).items()}
    if not expected:
        raise CheckpointError('the detector has no ResNet backbone (stem, res2 to res5)')
    faults = describe_faults(weights, expected)
    if faults:
        blocks = ['-'.join(map(str, _blocks(names))) for names in (weights, expected)]
        depth = (
            f'; its stages have {blocks[0]} blocks, those of the config {blocks[1]} '
            '(MODEL.RESNETS.DEPTH)'
        )
        raise CheckpointError(
            f'the backbone does not fit the detector: {faults}'
            + (depth if blocks[0] != blocks[1] else '')
        )


def check_loaded(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> int:
    """Check, after loading, that every weight of a model's backbone has the file's value.

    Args:
        state (Mapping[str, Tensor]): The detector's ``state_dict()``.
        weights (Mapping[str, Tensor]): Weights from ``read_weights``.

    Returns:
        int: The number of weights compared.

    Raises:
        CheckpointError: A weight differs from the file; the message names it.
    """
    names = backbone_names(state)
    random = [
        in_model
        for name, in_model in names.items()
        if name not in weights or not torch.equal(state[in_model].cpu(), weights[name])
    ]
    if random or not names:
        raise CheckpointError(
            f"{len(random)} of the detector's {len(names)} backbone weights are not those of the "
            f'file ({abridge(random)})'
        )
    return len(names)


def _blocks(names: Iterable[str]) -> list[int]:
    """Count the blocks of res2, res3, res4 and res5."""
    pairs = {tuple(name.split('.')[:2]) for name in names}
    return [sum(stage == f'res{i}' for stage, _ in pairs) for i in (2, 3, 4, 5)]
