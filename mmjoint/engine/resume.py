"""Finds the checkpoint from which a run continues."""

import logging
import zipfile
from pathlib import Path

from mmengine.logging import print_log

from ..checkpoints import read_checkpoint
from ..utils.guard import CHECKPOINTS, numbered_files


def find_last_checkpoint(work_dir: str, template: str | None = None) -> str | None:
    """Find the checkpoint from which to continue: the one with the highest number in the folder.

    Args:
        work_dir (str): Folder of an earlier run.
        template (str, optional): Template of the names of its checkpoints, ``filename_tmpl`` of
            the checkpoint hook. Defaults to None: ``epoch_{}.pth`` or ``iter_{}.pth``.

    Returns:
        str | None: The file, or the name in ``last_checkpoint`` of a remote store; None if the
        folder contains no run. A truncated file is skipped, with a line in the log, if there is an
        older whole one.

    Raises:
        ValueError: If there are none and ``last_checkpoint`` names a checkpoint in another folder.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    named = pointer.read_text(errors='replace').strip() if pointer.is_file() else ''
    if '://' in named:
        return named
    newest, cut = [], []
    for name in [template] if template else CHECKPOINTS:
        for path in reversed(numbered_files(work_dir, name).values()):
            if path.is_dir() or zipfile.is_zipfile(path) or _is_old_format(path):
                newest.append(path)
                break
            cut.append(path)
    if newest and cut:
        print_log(
            f'{", ".join(map(str, cut))}: cut short, as by a copy that did not end; passed over',
            level=logging.WARNING,
        )
    if len(newest) > 1:
        newest.sort(key=lambda path: read_checkpoint(path).get('meta', {}).get('iter', 0))
    if newest:
        return str(newest[-1])
    if cut:
        return str(cut[0])  # the reader will say what is wrong with it
    own = Path(work_dir, Path(named).name)
    if named and own.is_file():
        return str(own)
    if named:
        raise ValueError(
            f'{pointer} names {named}, and {work_dir} holds no checkpoint: to go on from that one, '
            'give it as --resume CKPT; to start anew, remove last_checkpoint'
        )
    return None


def _is_old_format(path: Path) -> bool:
    """Recognize a checkpoint of torch's first format, a pickle followed by its tensors."""
    with open(path, 'rb') as file:
        return file.read(2) == b'\x80\x02'
