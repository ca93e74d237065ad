"""Draws belong to the sample: what views draw follows only from (seed, epoch, index).

Transforms, including stock and third-party ones, draw from the generators of ``random``, ``numpy``
and ``torch``. ``tie_draws`` makes a data loader's sampler yield indices that carry their pass over
the data (``Draw``), and makes its data set seed the three generators with them before each sample.
So draws do not depend on the number of workers and processes, on whether workers persist, or on
what was loaded before. Nothing is shared between processes, since an index travels to the worker,
which may load beyond the end of an epoch. Draws from a transform's private generator cannot be
controlled.

A beta that changes from epoch to epoch (``BetaHook``) travels with the index too, so that batches
loaded ahead have that of their epoch.

A sample that occurs several times within an epoch (``RepeatAugSampler``, the images that fill up
the last batch of several processes) has a number for each occurrence, its visit. A photo that
replaces a broken one draws with the index of the broken one.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import isfunction
from typing import Any, SupportsIndex, TypeVar

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.structures import BaseDataElement
from mmpretrain.datasets import RepeatAugSampler
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from .base import JointQuantity

_Bits = TypeVar('_Bits', int, np.ndarray)
_MASK = 2**64 - 1
# Samplers that deal out one list of all samples to the processes in turn, and start it again if it
# is too short.
_DEALING = (DefaultSampler, DistributedSampler, InfiniteSampler, RepeatAugSampler)
# Whether Python's generator is seeded for each sample, which takes as long as everything else here.
# It is seeded from the first batch on that draws from it, which a generator in its place detects.
_python_draws = False
_in_step = random.Random()
# NumPy's global generator and torch's. `np.random.seed` is a wrapper, which takes as long again.
_numpy: np.random.RandomState = np.random.mtrand._rand
_torch = torch.default_generator


class Draw(int):
    """The index of a sample, and which of its draws is meant.

    Args:
        index (int): Index in the data set of the data loader.
        epoch (int): Pass over the data, from 0. Defaults to 0.
        visit (int): Number of the sample's draw within the epoch, from 0. Defaults to 0.
        beta (float, optional): The beta of the quantities that are steered (``steer``). Defaults to
            None, as they are.
    """

    epoch: int
    visit: int
    beta: float | None

    def __new__(
        cls, index: int, epoch: int = 0, visit: int = 0, beta: float | None = None
    ) -> 'Draw':
        self = int.__new__(cls, index)
        self.epoch, self.visit, self.beta = epoch, visit, beta
        return self

    def __reduce__(self) -> tuple:
        return Draw, (int(self), self.epoch, self.visit, self.beta)

    @property
    def name(self) -> str:
        """``'EPOCH:INDEX'``, and ``':VISIT'`` after it from the second visit on; all from 0."""
        name = f'{self.epoch}:{int(self)}'
        return f'{name}:{self.visit}' if self.visit else name


def seed_draws(*numbers: int) -> None:
    """Seed the generators of Python, NumPy and torch, from which transforms draw.

    Args:
        *numbers (int): Numbers of at least 0; different ones give independent draws.
    """
    state = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(state[0]))
    np.random.seed(state[1])
    torch.manual_seed(int(state[2]))


def seed_iteration(seed: int, iteration: int) -> None:
    """Seed the same generators for what a model draws in an iteration.

    Args:
        seed (int): The seed of the run.
        iteration (int): Number of the iteration, from 0.
    """
    state = _mix(_pass_state(seed, -1, 0) + iteration)
    random.seed(state)
    _seed_arrays(state)
    if torch.cuda.is_available():
        torch.cuda.manual_seed(state >> 32)


def _seed_arrays(state: int) -> None:
    # Both are the same Mersenne Twister, so the same seed would give them the same numbers.
    _numpy.seed(state & 0xFFFFFFFF)
    _torch.manual_seed(state >> 32)


def _mix(state: _Bits) -> _Bits:
    """The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): any 64 bits to 64 random ones.

    Arrays are of ``uint64``.
    """
    state = (state * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


@lru_cache(maxsize=16)
def _pass_state(seed: int, epoch: int, visit: int) -> int:
    return _mix(_mix(_mix(seed) + epoch) + visit)


@dataclass
class _Place:
    """The position of a sampler: what is known about a pass before its first index."""

    epoch: int = 0
    position: int = 0
    beta: float | None = None


class _DrawingSampler:
    """Methods for a sampler, or for a batch sampler without one, that make it yield ``Draw``s."""

    _kind: Any
    _place: _Place
    dataset: Any

    def __iter__(self) -> Iterator:
        place = self._place
        if isinstance(self, InfiniteSampler):
            epoch = None
        else:
            epoch, place.position = place.epoch, 0
            place.epoch += 1
        seen: Counter = Counter()
        for item in self._kind.__iter__(self):
            if isinstance(item, (list, tuple)):
                yield [self._draw(index, epoch, seen) for index in item]
            else:
                yield self._draw(item, epoch, seen)

    def _draw(self, index: int, epoch: int | None, seen: Counter) -> Draw:
        rank = getattr(self, 'rank', 0)
        processes = getattr(self, 'world_size', getattr(self, 'num_replicas', 1))
        if self._kind not in _DEALING:
            visit = seen[index] * processes + rank
            seen[index] += 1
            return Draw(index, epoch or 0, visit, self._place.beta)
        place = self._place
        position = place.position * processes + rank
        place.position += 1
        repeats = getattr(self, 'num_repeats', 1)
        around = position // (len(self.dataset) * repeats)
        if epoch is None:
            return Draw(index, around, 0, place.beta)
        return Draw(index, epoch, around * repeats + position % repeats, place.beta)


class _SkippingSampler:
    """A method for a sampler with which a resume can skip its first samples."""

    _kind: Any
    _place: _Place

    def skip(self, num_samples: int) -> None:
        self._kind.skip(self, num_samples)
        self._place.position = num_samples


class _DrawingDataset:
    """Methods for a data set that make it seed the generators before each sample."""

    _kind: Any
    _draw_seed: int
    _steered: Sequence[JointQuantity]

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, Draw):
            return self._kind.__getitem__(self, index)
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list:
        # As much as possible is done for the whole batch: between two photos, Python code takes
        # several times its usual time.
        global _python_draws
        draws = [index for index in indices if isinstance(index, Draw)]
        if len(draws) < len(indices):
            return [self[index] for index in indices]
        passes = [_pass_state(self._draw_seed, draw.epoch, draw.visit) for draw in draws]
        states = _mix(np.array(passes, np.uint64) + np.array(draws, np.uint64)).tolist()
        if not _python_draws and random.random() != _in_step.random():
            _in_step.setstate(random.getstate())
        samples = []
        for draw, state in zip(draws, states, strict=True):
            if draw.beta is not None:
                for quantity in self._steered:
                    if quantity.law.beta != draw.beta:
                        quantity.law = quantity.law.with_beta(draw.beta)
            _seed_arrays(state)
            if _python_draws:
                random.seed(state)
            samples.append(self._kind.__getitem__(self, int(draw)))
        if not _python_draws and random.random() != _in_step.random():
            _python_draws = True
            return self.__getitems__(indices)  # which drew from an unknown state
        for draw, data in zip(draws, samples, strict=True):
            sample = data.get('data_samples') if isinstance(data, dict) else None
            if isinstance(sample, BaseDataElement):
                sample.set_field(draw.name, 'draw', field_type='metainfo')
        return samples

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple:
        # A spawned worker makes the class again.
        plain = object.__new__(self._kind)
        plain.__dict__.update(self.__dict__)
        return tie_dataset, (plain, self._draw_seed)


def _change_class(thing: Any, *methods: type) -> bool:
    """Replace an object's class by one with other methods; False if that is not possible.

    Code that inspects the object finds an instance of its class with all attributes. Python refuses
    to change an object to a class with two bases, the object's class and one with the methods.
    """
    kind = type(thing)
    if hasattr(kind, '_kind'):
        return True
    names: dict[str, Any] = {k: v for one in methods for k, v in vars(one).items() if isfunction(v)}
    names |= {'__module__': kind.__module__, '__doc__': kind.__doc__, '_kind': kind}
    try:
        thing.__class__ = type(kind.__name__, (kind,), names)
    except TypeError:  # a list, or another type not written in Python
        return False
    return True


def tie_dataset(dataset: Any, seed: int) -> Any:
    """Make a data set seed the generators before each sample whose index is a ``Draw``.

    Args:
        dataset (Any): A data set of samples with indices; its class is changed in place.
        seed (int): The seed of the run, at least 0.

    Returns:
        Any: The data set.
    """
    # Tensors contain no draws, and would pass their class on to the samples.
    if not isinstance(dataset, torch.Tensor) and _change_class(dataset, _DrawingDataset):
        dataset._draw_seed = seed
        dataset.__dict__.setdefault('_steered', ())
    return dataset


def steer(dataset: Any, quantities: Sequence[JointQuantity]) -> None:
    """Choose the quantities of a data set's views that have the beta of a ``Draw``.

    Args:
        dataset (Any): A data set from ``tie_dataset``, before it is sent to workers.
        quantities (Sequence[JointQuantity]): Quantities of the transforms in its pipeline.
    """
    dataset._steered = tuple(quantities)


def set_beta(loader: DataLoader, beta: float) -> None:
    """Set the beta of the quantities that are steered, from the next pass over the data on.

    Args:
        loader (DataLoader): A loader from ``tie_draws``, in no pass over its data.
        beta (float): The beta.
    """
    batches = loader.batch_sampler
    sampler: Any = loader.sampler if batches is None else getattr(batches, 'sampler', batches)
    sampler._place.beta = beta


def tie_draws(loader: DataLoader, seed: int, epoch: int = 0) -> str | None:
    """Tie the draws of a data loader's samples to (seed, epoch, index).

    Args:
        loader (DataLoader): The loader, changed in place before it is iterated over.
        seed (int): The seed, at least 0 and the same in all processes.
        epoch (int): The next pass over the data; ignored with ``InfiniteSampler``, where each
            pass is an epoch. Defaults to 0.

    Returns:
        str | None: The reason why draws cannot be tied; None if they are.
    """
    if isinstance(loader.dataset, IterableDataset):
        return f'a {type(loader.dataset).__name__} is a stream, whose samples have no index'
    batches = loader.batch_sampler
    sampler: Any = loader.sampler if batches is None else getattr(batches, 'sampler', batches)
    skipping = [_SkippingSampler] if hasattr(sampler, 'skip') else []
    if not _change_class(sampler, _DrawingSampler, *skipping):
        return f'a {type(sampler).__name__} as the sampler takes no numbers of draws'
    if not hasattr(sampler, '_place'):
        sampler._place = _Place()
    sampler._place.epoch = epoch
    tie_dataset(loader.dataset, seed)
    return None
