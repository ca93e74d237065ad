"""The folder of a run: it is locked and belongs to one run only."""

import os
import re
import shutil
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..utils.files import write_output
from ..utils.guard import CHECKPOINTS, check_same_run, lock_folder, numbered_files
from .dumped import read_dumped_config
from .resume import find_last_checkpoint

_RANKS = dict(pytorch='RANK', slurm='SLURM_PROCID', mpi='OMPI_COMM_WORLD_RANK')


def enter_work_dir(cfg: Config, resume: str | None = None, overwrite: bool = False) -> None:
    """Lock the folder of a training run and determine from where the run continues.

    Args:
        cfg (Config): A config from ``load_config``. Its ``resume`` and ``load_from`` are set; if
            the run overwrites another, a hook that removes the other's files is added.
        resume (str, optional): A checkpoint, or ``'auto'`` for the last one in the folder, if any.
            Defaults to None: the one in the config, which usually names none.
        overwrite (bool): Whether a run in the folder may be overwritten.

    Raises:
        ValueError: Another run works in the folder; the folder contains a run that would be
            overwritten or mixed with this one; or its path is not valid UTF-8.
        OSError: The folder cannot be made or written to.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or ConfigDict()
    folder = Path(cfg.work_dir)
    try:
        os.path.abspath(folder).encode()
    except UnicodeEncodeError:
        raise ValueError(
            f'--work-dir {folder}: its path is not UTF-8, as mmengine needs it, which writes it '
            'into last_checkpoint; give another folder'
        ) from None
    if hook.get('out_dir'):  # as in mmengine's CheckpointHook
        folder = Path(hook.out_dir, folder.name)
    remote = '://' in str(hook.get('out_dir'))
    if os.environ.get(_RANKS.get(cfg.launcher, ''), '0') == '0':
        for path in {Path(cfg.work_dir), *([] if remote else [folder])}:
            lock_folder(path)
    template = hook.get('filename_tmpl')
    if resume is None and cfg.get('resume'):
        resume = cfg.get('load_from') or 'auto'
    if resume == 'auto':
        resume = find_last_checkpoint(str(cfg.work_dir if remote else folder), template)
        found = []  # all of it belongs to this run
        if resume is None:
            found = [path for path in run_files(folder, template) if path.name.startswith('queue')]
            overwrite = True
    else:
        found = run_files(folder, template)
        if Path(cfg.work_dir, 'last_checkpoint').is_file():
            found.append(Path(cfg.work_dir, 'last_checkpoint'))
        if resume is not None and Path(resume).resolve().parent == folder.resolve():
            found = _later_files(Path(resume), template)
    if found and not overwrite:
        told = ', '.join(path.name for path in found[-3:])
        if resume is None:
            raise ValueError(
                f'{cfg.work_dir} holds a run ({told}): go on with it by --resume, give another '
                '--work-dir, or start anew with --overwrite, which removes its checkpoints'
            )
        raise ValueError(
            f'{cfg.work_dir} holds {told}, which a run that goes on from {resume} would overwrite '
            'in part: give another --work-dir, or --overwrite, which removes them first'
        )
    if resume is not None:
        cfg.resume, cfg.load_from = True, resume
    else:
        cfg.resume = False
    if found:
        hook = dict(type='RemoveFilesHook', files=[str(path) for path in found])
        cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def run_files(folder: str | Path, template: str | None = None) -> list[Path]:
    """List the files that a run keeps between starts: checkpoints and SwAV's queues.

    Args:
        folder (str | Path): The folder of a run's checkpoints.
        template (str, optional): Template of their names, as in ``find_last_checkpoint``.

    Returns:
        list[Path]: The files; the numbered checkpoints come last, in ascending order.
    """
    names = [template] if template else CHECKPOINTS
    numbered = [path for name in names for path in numbered_files(folder, name).values()]
    best = '|'.join(re.escape(name).replace(r'\{\}', r'\d+') for name in names)
    others = [
        path
        for path in sorted(Path(folder).glob('*.pth'))
        if re.fullmatch(rf'queue\d*\.pth|best_.+_({best})', path.name)
    ]
    return others + numbered


def _later_files(checkpoint: Path, template: str | None) -> list[Path]:
    """List the checkpoints with a higher number in the same folder."""
    for name in [template] if template else CHECKPOINTS:
        files = numbered_files(checkpoint.parent, name)
        number = next((n for n, path in files.items() if path.name == checkpoint.name), None)
        if number is not None:
            return [path for other, path in files.items() if other > number]
    return []


def save_config(cfg: Config, path: Path, option: str) -> None:
    """Write the config of a run that may be started again only with the same config.

    Args:
        cfg (Config): The config.
        path (Path): The file; its folder is made if it does not exist.
        option (str): The option that names the folder, for the message.

    Raises:
        ValueError: The folder holds a run with other settings.
    """
    if path.exists():
        earlier, _ = read_dumped_config(path)
        check_same_run(path.parent, earlier.to_dict(), cfg.to_dict(), option)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, cfg.pretty_text)


@HOOKS.register_module()
class RemoveFilesHook(Hook):
    """Remove the files of an overwritten run, once all of the new run has been built.

    Args:
        files (list[str]): The files.
    """

    # Runs before the hooks that look for files of an earlier start.
    priority = 'HIGHEST'

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def before_run(self, runner: Runner) -> None:
        """Remove the files; the other processes wait for it."""
        if is_main_process():
            for file in map(Path, self.files):
                shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
        barrier()
