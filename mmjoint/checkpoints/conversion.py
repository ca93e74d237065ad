"""Converts backbones from any known checkpoint to any known format, completely or not at all."""

import io
import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..utils.files import whole_folder, write_output
from ..version import __version__
from .facts import algorithm, differences, normalization, plain_network, resnet_facts
from .key_maps import find_backbones, pick_backbone, resnet_keys
from .reading import CheckpointError, file_sha256, read_checkpoint
from .timm_folder import write_timm_folder


def backbone_weights(
    path: str | Path, which: str = 'online', trust: bool = False
) -> OrderedDict[str, Tensor]:
    """Read a ResNet backbone from a checkpoint, strictly.

    Args:
        path (str | Path): A checkpoint of one of the programs in ``key_maps.SOURCES``, or one that
            ``convert`` wrote.
        which (str): ``'online'``, the network trained by gradients (DINO's student), or
            ``'momentum'``, its moving average (DINO's teacher). Defaults to ``'online'``.
        trust (bool): Whether the file may run code. Defaults to False.

    Returns:
        OrderedDict[str, Tensor]: The weights under torchvision's names, in the network's order.

    Raises:
        CheckpointError: If the file cannot be read, has no such backbone, or has missing,
            unexpected or wrongly shaped weights; the message names them.
    """
    return _read(Path(path), which, trust, 'torchvision')[0]


def read_provenance(path: str | Path) -> dict | None:
    """Read the origin of the weights in a file that ``convert`` wrote.

    Args:
        path (str | Path): The file.

    Returns:
        dict | None: The value that ``convert`` returned; None for a file that another program
        wrote.

    Raises:
        CheckpointError: If the file cannot be read.
    """
    return _provenance_in(read_checkpoint(path))


def convert(
    ckpt: str | Path,
    out: str | Path,
    to: str,
    which: str = 'online',
    trust: bool = False,
    depth: int | None = None,
) -> dict:
    """Write the backbone of a checkpoint in another program's format.

    Args:
        ckpt (str | Path): See ``backbone_weights``.
        out (str | Path): The file to write; its suffix says what it holds. It is written aside and
            moved into place. For timm a name without a suffix is a folder, which must not exist, as
            documented in ``write_timm_folder``.
        to (str): ``'detectron2'`` (.pkl), ``'torchvision'`` (.pth), ``'timm'`` (.pth or
            .safetensors), ``'mmdet'`` or ``'mm'`` (.pth; keys under ``backbone.``).
        which (str): ``'online'`` or ``'momentum'``. Defaults to ``'online'``.
        trust (bool): Whether the checkpoint may run code. Defaults to False.
        depth (int, optional): The depth that the backbone must have. Defaults to None, any depth.

    Returns:
        dict: The origin of the weights, as recorded in the file: ``source`` (the file's name),
            ``sha256``, ``format``, ``which`` of the ``available`` backbones, ``prefix``,
            ``algorithm``, ``epoch`` and ``iter`` (None if the checkpoint does not contain them),
            ``depth``, ``stem``, ``facts`` (what else the file says about the network: style,
            strides, dilations, eps of the norms), ``mmjoint`` (version), and ``origin``, the same
            values of the checkpoint itself if ``convert`` wrote it.

    Raises:
        CheckpointError: If the checkpoint is not suitable (see ``backbone_weights``), or the target
            cannot hold the backbone or does not use such files.
    """
    ckpt, out = Path(ckpt), Path(out)
    if to not in TARGETS:
        raise CheckpointError(f'{to!r} is not a target; expected one of {", ".join(TARGETS)}')
    as_folder = to == 'timm' and not out.suffix
    if out.suffix not in TARGETS[to] and not as_folder:
        raise CheckpointError(
            f'{out}: {to} reads {" or ".join(TARGETS[to])} files; name the output so'
            + (', or without a suffix for a folder' if to == 'timm' else '')
        )
    if out.exists() and ckpt.exists() and out.samefile(ckpt):
        raise CheckpointError(f'{out}: the output would take the place of the checkpoint')
    weights, provenance = _read(ckpt, which, trust, to)
    if depth is not None and provenance['depth'] != depth:
        raise CheckpointError(f'{ckpt}: holds a ResNet-{provenance["depth"]}; expected {depth}')
    if provenance['stem'] != '7x7' and (as_folder or to not in SMALL_STEM_TARGETS):
        raise CheckpointError(
            f'{ckpt}: conv1.weight is {tuple(weights["conv1.weight"].shape)}, the stem of small '
            f"images, which {to}'s ResNet lacks: it has 7x7, stride 2 and max-pooling"
        )
    if as_folder:
        with whole_folder(out) as folder:
            write_timm_folder(
                folder,
                _safetensors(weights, provenance),
                provenance,
                normalization(read_checkpoint(ckpt, trust)),
            )
        return provenance
    content = TARGETS[to][out.suffix](weights, provenance)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_output(out, content)
    return provenance


def _read(path: Path, which: str, trust: bool, to: str) -> tuple[OrderedDict[str, Tensor], dict]:
    checkpoint = read_checkpoint(path, trust)
    found = find_backbones(checkpoint, path)
    if which not in found:
        places = ', '.join(f'{kind} under {source.place}' for kind, (source, _) in found.items())
        raise CheckpointError(f'{path}: has no {which} backbone; it has {places}')
    source, container = found[which]
    weights, depth, stem = pick_backbone(source, container, path)
    facts = resnet_facts(checkpoint)
    # Arguments with which an mm backbone is built; the other programs have none for these facts.
    told = differences(facts, {'depth': depth} | (plain_network() if to != 'mm' else {}))
    if told:
        raise CheckpointError(
            f'{path}: its file tells of a ResNet with {told}, which {to} would not compute as it '
            'was trained' + ('; --to mm keeps the names' if 'depth' not in told else '')
        )
    meta = checkpoint.get('meta')
    meta = meta if isinstance(meta, dict) else checkpoint
    provenance = dict(
        source=path.name,
        sha256=file_sha256(path),
        format=source.format,
        which=which,
        available=list(found),
        prefix=source.prefix,
        algorithm=algorithm(checkpoint),
        epoch=_integer(meta.get('epoch')),
        iter=_integer(meta.get('iter')),
        depth=depth,
        stem=stem,
        facts={key: value for key, value in facts.items() if key != 'depth'},
        mmjoint=__version__,
    )
    origin = _provenance_in(checkpoint)
    return OrderedDict(weights), provenance | ({'origin': origin} if origin else {})


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 1 << 62 else None


def _provenance_in(checkpoint: dict) -> dict | None:
    meta = checkpoint.get('meta')
    places = (
        checkpoint,  # detectron2
        meta if isinstance(meta, dict) else {},  # mm
        vars(checkpoint) if isinstance(checkpoint, OrderedDict) else {},  # torchvision, timm
    )
    for place in places:
        if isinstance(place.get('mmjoint'), dict):
            return place['mmjoint']
    metadata = getattr(checkpoint, 'metadata', {})  # safetensors
    return json.loads(metadata['mmjoint']) if 'mmjoint' in metadata else None


def _detectron2_pkl(weights: OrderedDict, provenance: dict) -> bytes:
    names = {left: right for left, right, _ in resnet_keys(provenance['depth'])}
    content = {
        'model': {names[key]: value.numpy() for key, value in weights.items()},
        # With these two entries detectron2 matches the ends of names: `res2...` matches
        # `backbone.res2...` in C4 and `backbone.bottom_up.res2...` in FPN.
        '__author__': 'mmjoint',
        'matching_heuristics': True,
        'mmjoint': provenance,
    }
    return pickle.dumps(content, protocol=4)


def _plain_pth(weights: OrderedDict, provenance: dict) -> bytes:
    # An attribute of the state dict, like PyTorch's own `_metadata`, so that `load_state_dict`
    # still accepts the file.
    vars(weights)['mmjoint'] = provenance
    return _saved(weights)


def _mm_pth(weights: OrderedDict, provenance: dict) -> bytes:
    state_dict = OrderedDict((f'backbone.{key}', value) for key, value in weights.items())
    return _saved({'state_dict': state_dict, 'meta': {'mmjoint': provenance}})


def _saved(content: dict) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _safetensors(weights: OrderedDict, provenance: dict) -> bytes:
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise CheckpointError(
            "safetensors is not installed: pip install 'mmjoint[transfer]', or write a .pth"
        ) from error
    return save(dict(weights), {'format': 'pt', 'mmjoint': json.dumps(provenance)})


# Functions that write the files of each target.
TARGETS: dict[str, dict[str, Callable[[OrderedDict, dict], bytes]]] = {
    'detectron2': {'.pkl': _detectron2_pkl},
    'torchvision': {'.pth': _plain_pth},
    'timm': {'.pth': _plain_pth, '.safetensors': _safetensors},
    'mmdet': {'.pth': _mm_pth},
    'mm': {'.pth': _mm_pth},
}
# Networks whose stem is a module that can be replaced, or mmpretrain's ResNet_CIFAR.
SMALL_STEM_TARGETS = ('torchvision', 'timm', 'mm')
