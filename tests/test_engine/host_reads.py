"""Counts what a training step reads back from the device that it computes on.

On a GPU each such read waits until the GPU has done all that it was given before. On the CPU it
costs nothing, but it is the same call, so it can be counted there.
"""

from collections import Counter
from collections.abc import Callable

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# A number of the result, or the result's shape, is needed on the host.
READS = {
    'aten::_local_scalar_dense',
    'aten::equal',
    'aten::is_nonzero',
    'aten::nonzero',
    'aten::masked_select',
    'aten::_unique2',
    'aten::unique_consecutive',
    'aten::unique_dim',
    'aten::repeat_interleave.Tensor',
    'aten::bincount',
}
INDEXING = {'aten::index.Tensor', 'aten::index_put_', 'aten::index_put', 'aten::_index_put_impl_'}
# What reads whole tensors; torch's dispatcher does not see it where they are on the host already.
METHODS = {'cpu', 'tolist', 'numpy', '__array__'}


class _Operations(TorchDispatchMode):
    def __init__(self, counts: Counter) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        name = function.name()
        indexed = [index for index in args[1] if index is not None] if name in INDEXING else []
        if name in READS:
            self.counts[name] += 1
        elif any(index.dtype in (torch.bool, torch.uint8) for index in indexed):
            self.counts[f'{name} with a mask'] += 1
        return function(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, counts: Counter) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(
        self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        name = getattr(function, '__name__', '')
        if name in METHODS:
            self.counts[f'Tensor.{name}'] += 1
        return function(*args, **(kwargs or {}))


class HostReads:
    """A context that counts reads by name."""

    def __init__(self) -> None:
        self.counts: Counter = Counter()
        self._modes = (_Methods(self.counts), _Operations(self.counts))

    def __enter__(self) -> Counter:
        for mode in self._modes:
            mode.__enter__()
        return self.counts

    def __exit__(self, *error: object) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class FirstHook(Hook):
    """Starts to count once an iteration has its batch, ahead of all other hooks."""

    priority = 'HIGHEST'

    def __init__(self) -> None:
        self.reads: list[HostReads] = []
        self.losses: list[list[str]] = []

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        self.reads.append(HostReads())
        self.reads[-1].__enter__()


class LastHook(Hook):
    """Ends the counting, behind all other hooks."""

    priority = 'LOWEST'

    def __init__(self, first: FirstHook) -> None:
        self.first = first

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        self.first.reads[-1].__exit__(None, None, None)
        self.first.losses.append(list(outputs))


def count_host_reads(runner: Runner) -> tuple[list[Counter], list[list[str]]]:
    """Train and count.

    Args:
        runner (Runner): Not started yet.

    Returns:
        tuple[list[Counter], list[list[str]]]: For each iteration, the reads of its hooks and of its
        step by name, and the names of what mmengine logs of it.
    """
    first = FirstHook()
    runner.register_hook(first, priority='HIGHEST')
    runner.register_hook(LastHook(first), priority='LOWEST')
    # Of hooks of one priority the one that was added last comes last.
    runner._hooks.insert(0, runner._hooks.pop(runner._hooks.index(first)))
    runner.train()
    return [reads.counts for reads in first.reads], first.losses
