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
        # What a kill leaves of it is no *.pth.
        with whole_file(target, keep_suffix=False) as file:
            file.write(obj)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's CheckpointHook, safe against a kill or a full disk in the middle of a save.

    mmengine's own has these faults: it writes under the final name, so that a kill leaves a
    truncated file (and, when the best checkpoint is updated, in the place of the one that
    ``last_checkpoint`` names); it removes the oldest checkpoint, and the best one so far, before it
    writes the new one, so that a kill in between leaves none; a checkpoint that a kill left behind
    stays for good; and in a copied work directory it removes the best checkpoint of the original.
    ``tools/train.py`` puts this hook in the place of ``CheckpointHook``.

    Args:
        **kwargs: Those of ``mmengine.hooks.CheckpointHook``. A ``backend_args`` of the user's, or
            an ``out_dir`` on a remote store, keeps its own way of writing.
    """

    def before_train(self, runner: Runner) -> None:
        """Choose the way of writing once the folder is known, and tidy up after a kill."""
        if self.backend_args is None and '://' not in str(self.out_dir or runner.work_dir):
            self.backend_args = dict(backend='atomic_local')
        super().before_train(runner)
        if self.max_keep_ckpts <= 0:
            # All are kept from now on: what is saved is not to be removed by a later limit.
            runner.message_hub.pop_info('keep_ckpt_ids')
            runner.message_hub.pop_info('keep_ckpt_since')
        if '://' in str(self.out_dir):
            return
        if self.save_best:
            self._find_best(runner)
        if is_main_process():
            self._remove_left_over(runner)

    def _find_best(self, runner: Runner) -> None:
        """Take the best checkpoints so far from this folder, whatever the resumed one names.

        It names another folder's in a copied work directory, and none or the one before where the
        run was killed between the saves of the best and of the last.
        """
        now = runner.epoch if self.by_epoch else runner.iter
        for indicator, path in self._best_paths().items():
            single = len(self.key_indicators) == 1
            suffix = '' if single else f'_{indicator}'
            known = Path(path).name if path else ''
            # Which metric 'auto' is shows in the first evaluation; no other has a best one then.
            metric = '.+' if indicator == 'auto' else re.escape(indicator.replace('/', '_'))
            before, _, after = self.filename_tmpl.partition('{}')
            pattern = rf'best_{metric}_{re.escape(before)}(\d+){re.escape(after)}'
            found = {
                int(match[1]): name
                for name in sorted(os.listdir(self.out_dir))
                if (match := re.fullmatch(pattern, name)) and int(match[1]) <= now
            }
            best = max(found, default=None)
            own = None if best is None else str(Path(self.out_dir, found[best]))
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
        """Remove what a kill kept this hook from removing: checkpoints, and files half written."""
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
            # Checkpoints of before are not this limit's: they were to be kept.
            if runner.message_hub.runtime_info.get('keep_ckpt_since') is None:
                runner.message_hub.update_info('keep_ckpt_since', step)
            # Taken off the list here, the oldest one is not removed by mmengine before it saves.
            if len(self.keep_ckpt_ids) == self.max_keep_ckpts:
                outdated = self.keep_ckpt_ids.popleft()
        # Only the main process saves: what others hold is brought together by all of them.
        runner.call_hook('gather_state')
        super()._save_checkpoint_with_step(runner, step, meta)
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
        """Remove a file, or a folder as DeepSpeed's checkpoints are, of this hook's folder."""
        path = self.file_backend.join_path(self.out_dir, name)
        if self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif self.file_backend.isdir(path):
            self.file_backend.rmtree(path)
