"""Stock readers that a config names, made to read as ours do: the one door of all tools.

A user's config keeps working unchanged under stock mmpretrain; under these tools damaged photos
and other programs' files are noticed in it as they are in ours.
"""

import functools
import logging
from collections.abc import Callable

from mmengine.logging import print_log
from mmpretrain.datasets import custom

from .listing import is_hidden, printable


def use_own_readers(cfg: object, on_error: str = 'raise') -> int:
    """Have a config decode by ``LoadImage``, and stock data sets leave out hidden files.

    ``LoadImageFromFile`` becomes ``LoadImage``, which gives the same pixels. ``CustomDataset`` and
    what derives from it, such as ``ImageNet``, take no hidden folder for a class and no file within
    one for an image from then on.

    Args:
        cfg (object): A config or a part of one; changed.
        on_error (str): Of the ``LoadImage`` that comes in; one with ``ignore_empty`` skips.
            Defaults to ``'raise'``.

    Returns:
        int: How many steps were changed.
    """
    _leave_out_hidden()
    return _use_load_image(cfg, on_error)


def _use_load_image(cfg: object, on_error: str) -> int:
    changed = 0
    if isinstance(cfg, dict):
        kind = cfg.get('type')
        name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
        if name.rpartition('.')[2] == 'LoadImageFromFile':
            cfg.pop('_scope_', None)
            skip = cfg.pop('ignore_empty', False)
            client = cfg.pop('file_client_args', None)
            if client:  # mmcv's older name of it, in which `local` was `disk`
                backend = client.get('backend', 'disk')
                cfg['backend_args'] = {
                    **client,
                    'backend': 'local' if backend == 'disk' else backend,
                }
            cfg.update(type='LoadImage', on_error='skip' if skip else on_error)
            changed = 1
        cfg = list(cfg.values())
    if isinstance(cfg, list | tuple):
        changed += sum(_use_load_image(item, on_error) for item in cfg)
    return changed


def _leave_out_hidden() -> None:
    """Replace the two functions by which mmpretrain's data sets list folders, once."""
    if not hasattr(custom.find_folders, '__wrapped__'):
        custom.find_folders = _find_shown_folders(custom.find_folders)
        custom.get_samples = _get_shown_samples(custom.get_samples)


def _find_shown_folders(find_folders: Callable) -> Callable:
    @functools.wraps(find_folders)
    def find(root: str, *args: object, **kwargs: object) -> tuple[list[str], dict[str, int]]:
        found, _ = find_folders(root, *args, **kwargs)
        folders = [name for name in found if not is_hidden(name)]
        if len(folders) < len(found):
            hidden = sorted(set(found).difference(folders))
            print_log(
                f'{printable(root.rstrip("/"))}: {printable(", ".join(hidden))}: hidden, not taken '
                'for a class',
                logger='current',
                level=logging.WARNING,
            )
        return folders, {name: number for number, name in enumerate(folders)}

    return find


def _get_shown_samples(get_samples: Callable) -> Callable:
    @functools.wraps(get_samples)
    def get(
        root: str,
        folder_to_idx: dict | None,
        is_valid_file: Callable,
        *args: object,
        **kwargs: object,
    ) -> tuple:
        def is_shown(file: str) -> bool:
            return is_valid_file(file) and not any(map(is_hidden, file.split('/')))

        return get_samples(root, folder_to_idx, is_shown, *args, **kwargs)

    return get
