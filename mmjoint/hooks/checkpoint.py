"""Checkpoints that survive a kill at any moment."""

import os
import re
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..checkpoints import read_checkpoint
from ..utils.files import remove_leftovers, whole_file
from ..utils.guard import numbered_files


@register_backend('atomic_local', force=True)
class AtomicLocalBackend(LocalBackend):
    """mmengine's local backend, except that a file appears under its name only when it is whole."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes to a temporary file and move it into place.

        Args:
            obj (bytes): The bytes to write.
            filepath (str | Path): The file; its folder is made if it does not exist.

        Raises:
            OSError: If there is no room or no permission; the earlier file is then still in place.
        """
        target = Path(filepath)
        target.parent.mkdir(parents=True, exist_ok=True)
        # What a kill leaves of the temporary file is not named *.pth.
        with whole_file(target, keep_suffix=False) as file:
            file.write(obj)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, safe against a kill or a full disk in the middle of a save.

    mmengine's own hook has these faults. It writes under the final name, so that a kill leaves a
    truncated file (and, when the best checkpoint is updated, a truncated file in place of the one
    that ``last_checkpoint`` names). It removes the oldest checkpoint, and the best one so far,
    before it writes the new one, so that a kill in between leaves none. A checkpoint that a kill
    left behind is never removed. In a copied work directory it removes the best checkpoint of the
    original. ``tools/train.py`` replaces ``CheckpointHook`` by this hook.

    Args:
        **kwargs: Arguments of ``mmengine.hooks.CheckpointHook``. A user's own ``backend_args``, or
            an ``out_dir`` on a remote store, keeps its own way of writing.
    """

    backend_args: dict | None  # of mmengine's hook, which tells no types

    def before_train(self, runner: Runner) -> None:
        """Choose the way of writing once the folder is known, and clean up after a kill."""
        if self.backend_args is None and '://' not in str(self.out_dir or runner.work_dir):
            self.backend_args = dict(backend='atomic_local')
        super().before_train(runner)
        if self.max_keep_ckpts <= 0:
            # All checkpoints are kept from now on, so a later limit must not remove those saved
            # here.
            runner.message_hub.pop_info('keep_ckpt_ids')
            runner.message_hub.pop_info('keep_ckpt_since')
        if '://' in str(self.out_dir):
            return
        if self.save_best:
            self._find_best(runner)
        if is_main_process():
            self._remove_left_over(runner)

    def _find_best(self, runner: Runner) -> None:
        """Look for the best checkpoints so far in this folder, whatever the resumed one names.

        In a copied work directory the resumed checkpoint names a file of another folder. If the run
        was killed between saving the best and the last checkpoint, it names none or an older one.
        """
        now = runner.epoch if self.by_epoch else runner.iter
        for indicator, path in self._best_paths().items():
            single = len(self.key_indicators) == 1
            suffix = '' if single else f'_{indicator}'
            known = Path(path).name if path else ''
            # Which metric 'auto' means is known from the first evaluation; only that one has a best
            # yet.
            metric = '.+' if indicator == 'auto' else re.escape(indicator.replace('/', '_'))
            before, _, after = self.filename_tmpl.partition('{}')
            pattern = rf'best_{metric}_{re.escape(before)}(\d+){re.escape(after)}'
            found = {
                int(match[1]): name
                for name in sorted(os.listdir(self.out_dir))
                if (match := re.fullmatch(pattern, name)) and int(match[1]) <= now
            }
            best = max(found, default=-1)
            own = str(Path(self.out_dir, found[best])) if found else None
            if own is not None and found[best] != known:
                saved = read_checkpoint(own).get('message_hub', {}).get('runtime_info', {})
                if f'best_score{suffix}' in saved:
                    runner.message_hub.update_info(
                        f'best_score{suffix}', saved[f'best_score{suffix}']
                    )
            self._set_best_path(indicator, own)
            runner.message_hub.update_info(f'best_ckpt{suffix}', own)
            for step, name in found.items():
                if step != best and is_main_process():
                    self._remove(name)

    def _remove_left_over(self, runner: Runner) -> None:
        """Remove checkpoints that a kill kept this hook from removing, and half-written files."""
        remove_leftovers(self.out_dir, seconds=0)
        since = runner.message_hub.runtime_info.get('keep_ckpt_since')
        if self.max_keep_ckpts > 0 and since is not None and self.keep_ckpt_ids:
            for step, path in numbered_files(self.out_dir, self.filename_tmpl).items():
                if since <= step < min(self.keep_ckpt_ids):
                    self._remove(path.name)
                    runner.logger.info(f'removed {path}, left over from an interrupted run')

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict) -> None:
        outdated = None
        if self.max_keep_ckpts > 0 and step not in self.keep_ckpt_ids:
            # This limit does not apply to earlier checkpoints: they were meant to be kept.
            if runner.message_hub.runtime_info.get('keep_ckpt_since') is None:
                runner.message_hub.update_info('keep_ckpt_since', step)
            # The oldest one is taken off the list here, so mmengine does not remove it before it
            # saves.
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
        # Only the main process saves, but all processes gather what each of them holds.
        runner.call_hook('gather_state')
        try:
            super()._save_checkpoint_with_step(runner, step, meta)
        except OSError as error:
            # The checkpoint is named by what writes it; mmengine writes the pointer to it itself.
            if error.errno is None or error.filename is not None:
                raise
            pointer = Path(runner.work_dir, 'last_checkpoint')
            raise OSError(f'cannot write {pointer}: {error.strerror}') from error
        if outdated is not None and is_main_process():
            self._remove(self.filename_tmpl.format(outdated))

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        if not self.save_best:
            return
        before = self._best_paths()
        for indicator in before:
            self._set_best_path(indicator, None)  # so that mmengine does not remove it yet
        super()._save_best_checkpoint(runner, metrics)
        for (indicator, old), new in zip(before.items(), self._best_paths().values(), strict=True):
            if new is None:
                self._set_best_path(indicator, old)
            elif old and old != new and is_main_process():
                self._remove(os.path.basename(old))

    def _best_paths(self) -> dict[str, str | None]:
        if len(self.key_indicators) == 1:
            return {self.key_indicators[0]: self.best_ckpt_path}
        return dict(self.best_ckpt_path_dict)

    def _set_best_path(self, indicator: str, path: str | None) -> None:
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[indicator] = path

    def _remove(self, name: str) -> None:
        """Remove a file, or a folder such as a DeepSpeed checkpoint, from this hook's folder."""
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)
