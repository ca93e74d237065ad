"""A loop over epochs that can start in the middle of an epoch."""

import itertools
from collections.abc import Iterator

from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import IterableDataset


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """mmengine's EpochBasedTrainLoop, which continues within an epoch if the run stopped there.

    mmengine starts the epoch again, and trains more iterations than requested. Here the batches
    that the interrupted run has had are skipped without being loaded; the order is the sampler's,
    which follows from its seed and the epoch.

    Args:
        **kwargs: Arguments of ``EpochBasedTrainLoop``.

    Attributes:
        done (int): Number of batches of the next epoch that are already trained; set by a resume.
    """

    done = 0

    def run_epoch(self) -> None:
        """Train the rest of one epoch."""
        done, self.done = self.done, 0
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        if done < len(self.dataloader):
            for idx, data_batch in enumerate(self._batches(done), done):
                self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches(self, done: int) -> Iterator:
        batches = self.dataloader.batch_sampler
        if not done:
            return iter(self.dataloader)
        if batches is None or isinstance(self.dataloader.dataset, IterableDataset):
            # A stream without indices: earlier batches are loaded and dropped.
            return itertools.islice(self.dataloader, done, None)
        kind = type(batches)

        class Rest(kind):  # type: ignore[misc, valid-type]  # of whatever the loader is
            def __iter__(self) -> Iterator:
                return itertools.islice(super().__iter__(), done, None)

        # The data loader asks its own batch sampler, which cannot be replaced, once per epoch.
        batches.__class__ = Rest
        try:
            return iter(self.dataloader)
        finally:
            batches.__class__ = kind
