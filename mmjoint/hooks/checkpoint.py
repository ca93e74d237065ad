"""Checkpoints that survive a kill at any moment."""

import os
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@register_backend('atomic_local', force=True)
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend, but a file appears under its name only when it is whole."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes aside and move them into place.

        Args:
            obj (bytes): What to write.
            filepath (str | Path): Where to; its folder is made if need be.

        Raises:
            OSError: If there is no room or no permission; what was there before is still there.
        """
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f'.{target.name}.part')
        try:
            with open(aside, 'wb') as file:
                file.write(obj)
                file.flush()
                os.fsync(file.fileno())
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, safe against a kill or a full disk in the middle of a save.

    mmengine's own has two faults there: it writes under the final name, so that a kill leaves a
    truncated file (and, when the best checkpoint is updated, in the place of the one that
    ``last_checkpoint`` names); and with ``max_keep_ckpts`` it removes the oldest checkpoint before
    it writes the new one, so that with ``max_keep_ckpts=1`` a kill in between leaves none.
    ``tools/train.py`` puts this hook in the place of ``CheckpointHook``.

    Args:
        **kwargs: Those of ``mmengine.hooks.CheckpointHook``. A ``backend_args`` of the user's, or
            an ``out_dir`` on a remote store, keeps its own way of writing.
    """

    def before_train(self, runner: Runner) -> None:
        """Choose the way of writing once the folder is known."""
        if self.backend_args is None and '://' not in str(self.out_dir or runner.work_dir):
            self.backend_args = dict(backend='atomic_local')
        super().before_train(runner)

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            # Taken off the list here, the oldest one is not removed by mmengine before it saves.
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
        super()._save_checkpoint_with_step(runner, step, meta)
        if outdated is not None and is_main_process():
            path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(outdated))
            if self.file_backend.isfile(path):
                self.file_backend.remove(path)
            elif self.file_backend.isdir(path):  # DeepSpeed's checkpoints are folders
                self.file_backend.rmtree(path)
