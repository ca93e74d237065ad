"""Going on from a checkpoint: which one, and as the interrupted run would have gone on."""

import re
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner


def find_last_checkpoint(work_dir: str) -> str | None:
    """Find the checkpoint to go on from.

    Args:
        work_dir (str): Folder of an earlier run.

    Returns:
        str | None: What the folder's ``last_checkpoint`` names; if that was cut off or the folder
        was moved, its newest ``epoch_*.pth`` or ``iter_*.pth``; None if there is neither.
    """
    pointer = Path(work_dir, 'last_checkpoint')
    named = pointer.read_text().strip() if pointer.is_file() else ''
    if '://' in named or Path(named).is_file():
        return named
    saved = [
        path
        for path in Path(work_dir).glob('*.pth')
        if re.fullmatch(r'(epoch|iter)_\d+', path.stem)
    ]
    return str(max(saved, key=lambda path: path.stat().st_mtime)) if saved else None


class ResumeOrderHook(Hook):
    """Shuffle a resumed run as the interrupted one was shuffled.

    mmengine reads a checkpoint's seed when the sampler exists already, with a seed of this start.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        seed = checkpoint.get('meta', {}).get('seed')
        loader = runner.train_dataloader
        for sampler in (loader.sampler, getattr(loader.batch_sampler, 'sampler', None)):
            # A seed that the config gives to the sampler itself stays.
            if seed is not None and getattr(sampler, 'seed', None) == runner.seed:
                sampler.seed = seed
