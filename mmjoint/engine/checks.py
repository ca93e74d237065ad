"""Checks for faults that would end a run in its first steps, made before it trains."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..utils.models import unwrapped
from .signatures import below, find_classes, suggest

# Settings of a model that must be equal, since one part's output is the other's input. Settings
# that a config does not have are ignored.
_EQUAL_WIDTHS = (
    ('neck.out_channels', 'head.predictor.in_channels'),
    ('neck.out_channels', 'head.predictor.out_channels'),
    ('neck.out_channels', 'head.loss.feat_dim'),
    ('neck.out_channels', 'head.out_channels'),
    ('neck.out_channels', 'feat_dim'),
    ('neck.out_channels', 'jigsaw_neck.out_channels'),
)


def check_training(cfg: Config) -> None:
    """Raise if a config's training would have no step, or no optimizer that there is.

    mmengine trains nothing for 0 epochs, and says nothing; of an optimizer that is not there it
    says ``None is not a callable object``.

    Args:
        cfg (Config): The config.

    Raises:
        ValueError: ``max_epochs``, ``max_iters`` or ``val_interval`` of ``train_cfg`` is no whole
            number of at least 1, or ``optim_wrapper`` has no optimizer or an unknown one.
    """
    settings = cfg.get('train_cfg')
    if not isinstance(settings, dict):  # none, or built already
        return
    for name in ('max_epochs', 'max_iters', 'val_interval'):
        value = settings.get(name)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 1:
            raise ValueError(f'train_cfg.{name} is {value!r}: it must be a whole number from 1')
        if value % 1:
            raise ValueError(f'train_cfg.{name} is {value!r}: it must be a whole number')
    wrapper = cfg.get('optim_wrapper')
    if not isinstance(wrapper, dict) or 'constructor' in wrapper:
        return
    optimizer = wrapper.get('optimizer')
    if optimizer is None and not any(isinstance(each, OptimWrapper) for each in wrapper.values()):
        raise ValueError(
            "optim_wrapper has no optimizer; one is optimizer=dict(type='SGD', lr=0.03)"
        )
    kind = optimizer.get('type') if isinstance(optimizer, dict) else None
    if isinstance(kind, str) and not find_classes(kind.split('.')[-1]):
        known = {known for each in below(OPTIMIZERS) for known in each.module_dict}
        raise ValueError(f'optim_wrapper.optimizer.type: there is no {kind}{suggest(kind, known)}')


def check_widths(model: nn.Module, cfg: Config) -> None:
    """Raise if a model's parts do not fit each other, which would end training with a shape error.

    The backbone's channels are those of its output for a small image.

    Args:
        model (nn.Module): The model, built from the config.
        cfg (Config): The config.

    Raises:
        ValueError: Two parts do not fit; the message names the setting and the value it needs.
    """
    settings = cfg.get('model') or {}
    for first, second in _EQUAL_WIDTHS:
        expected, found = _get(settings, first), _get(settings, second)
        if isinstance(expected, int) and isinstance(found, int) and expected != found:
            raise ValueError(
                f'model.{first} is {expected} and model.{second} {found}, but one takes what the '
                f'other gives: change one of them, such as --cfg-options model.{second}={expected}'
            )
    taking = [part for part in ('neck', 'jigsaw_neck') if _get(settings, f'{part}.in_channels')]
    if not taking and _get(settings, 'neck.type') in (None, 'GlobalAveragePooling'):
        taking = ['head']
    taking = [part for part in taking if isinstance(_get(settings, f'{part}.in_channels'), int)]
    backbone: Any = unwrapped(model).backbone if taking else None
    channels = _channels(backbone, settings.get('backbone') or {}) if taking else None
    wrong = {
        f'model.{part}.in_channels': settings[part].in_channels
        for part in taking
        if channels is not None and settings[part].in_channels != channels
    }
    if wrong:
        raise ValueError(
            f'the backbone, {type(backbone).__name__}, gives {channels} channels, but '
            + ' and '.join(f'{name} is {value}' for name, value in wrong.items())
            + ': add --cfg-options '
            + ' '.join(f'{name}={channels}' for name in wrong)
        )


def _get(settings: Any, key: str) -> Any:
    for part in key.split('.'):
        settings = settings.get(part) if isinstance(settings, dict) else None
    return settings


@torch.no_grad()
def _channels(backbone: nn.Module, settings: dict) -> int | None:
    """Return the channels of a backbone's last output; None if they cannot be determined."""
    size = settings.get('img_size', 64)
    height, width = (size, size) if isinstance(size, int) else size
    weight = next(backbone.parameters(), torch.zeros(()))
    image = torch.zeros(
        1, settings.get('in_channels', 3), height, width, device=weight.device, dtype=weight.dtype
    )
    was_training = [module for module in backbone.modules() if module.training]
    devices = [weight.device] if weight.is_cuda else []
    try:
        with torch.random.fork_rng(devices):
            backbone.eval()  # mmpretrain's backbones return None here
            output = backbone(image)
    except Exception:  # it needs something else, which training will report
        return None
    finally:
        for module in was_training:
            module.training = True
    output = output[-1] if isinstance(output, tuple | list) else output
    return output.shape[1] if isinstance(output, Tensor) and output.ndim in (2, 4) else None


def check_queue(runner: Runner, loader: DataLoader) -> None:
    """Raise if the batches of a run do not fit the model's queue of negatives.

    MoCo's queue, which LeOCLR and InfoMin have too, takes only whole batches of all processes;
    SwAV's queue must hold at least one batch.

    Args:
        runner (Runner): The runner, with the model.
        loader (DataLoader): The loader of the training set.

    Raises:
        ValueError: They do not fit; the message contains the numbers.
    """
    model = unwrapped(runner.model)
    batch, processes = loader.batch_size, get_world_size()
    if not batch:  # a custom batch sampler
        return
    total = batch * processes
    told = f'a batch of {total} images' + (
        f' ({processes} processes of train_dataloader.batch_size {batch})'
        if processes > 1
        else ' (train_dataloader.batch_size)'
    )
    length = getattr(model, 'queue_len', None)
    if isinstance(length, int):
        if length % total:
            raise ValueError(
                f'{told} does not divide model.queue_len {length}, whose keys are replaced by '
                f'whole batches: take a batch that does, or --cfg-options '
                f'model.queue_len={max(1, round(length / total)) * total}'
            )
        rest = _last_batch(loader)
        if rest:
            raise ValueError(
                f'the last batch of an epoch would have {rest * processes} images instead of '
                f'{total}, and model.queue_len {length} is made of whole batches: set '
                '--cfg-options train_dataloader.drop_last=True'
            )
    for hook in runner.hooks:
        if type(hook).__name__ == 'SwAVHook' and hook.queue_length:
            # The hook counts in its own batch size, over all processes.
            held = (hook.queue_length // hook.batch_size) * hook.batch_size // processes
            if held < batch:
                raise ValueError(
                    f'{told} does not fit the queue of SwAVHook, which holds {held} of each '
                    f"process's (queue_length {hook.queue_length}, whole batches of "
                    f'{hook.batch_size}): set its batch_size to {batch} and a queue_length of '
                    f'{total} at least'
                )


def check_class_folders(train: Any, val: Any) -> None:
    """Raise if a folder is one class in training and another in validation.

    Data sets of folders number them by themselves, so a folder more in one of them moves the rest.

    Args:
        train (Dataset): The training set, maybe within others.
        val (Dataset): The validation set.

    Raises:
        ValueError: A folder has two numbers; the message names it.
    """
    numbers, others = _class_folders(train), _class_folders(val)
    for name in numbers.keys() & others.keys():
        if numbers[name] != others[name]:
            more = sorted(numbers.keys() ^ others.keys())
            raise ValueError(
                f'the folder {name} is class {numbers[name]} of train_dataloader.dataset and '
                f'{others[name]} of val_dataloader.dataset'
                + (f', since only one of them has {", ".join(more[:3])}' if more else '')
                + ': every class needs its folder in both, be it empty'
            )


def _class_folders(dataset: Any) -> dict[str, int]:
    while not hasattr(dataset, 'folder_to_idx') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return getattr(dataset, 'folder_to_idx', {})


def _last_batch(loader: Any) -> int:
    """Return the size of an epoch's last batch per process; 0 if it is complete or dropped."""
    if loader.drop_last or isinstance(loader.sampler, InfiniteSampler):
        return 0
    try:
        return len(loader.sampler) % loader.batch_size
    except TypeError:  # a stream of unknown length
        return 0
