"""Draws follow from (seed, epoch, index), whoever makes the sample and whatever was made before."""

import json
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, DefaultSampler, InfiniteSampler, RepeatDataset
from mmpretrain.datasets import RepeatAugSampler
from mmpretrain.structures import DataSample
from scipy.stats import kstest
from torch.utils.data import DataLoader, IterableDataset, Sampler

from mmjoint.transforms import JointView
from mmjoint.transforms.draws import Draw, seed_iteration, tie_dataset, tie_draws

VIEWS = [
    dict(type='JointCrop', scale=8, beta=0),
    dict(type='JointColor', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, beta=None),
    dict(type='mmpretrain.RandomGrayscale', prob=0.2, keep_channels=True),
    dict(type='JointBlur', prob=(1.0, 0.1), beta=0),
    dict(type='mmpretrain.RandomFlip', prob=0.5),
]


def foreign(results: dict) -> dict:
    """What transforms of others draw from: all generators, not all of them each time."""
    drawn = [np.random.rand(), torch.rand(1).item()]
    if results['sample_idx'] % 7 == 3:
        drawn += [random.random(), random.gauss(0, 1)]
    results['foreign'] = drawn
    return results


class Noise(BaseDataset):
    """Images of noise; number `broken` cannot be read."""

    def __init__(self, num: int, pipeline: Sequence, broken: int = -1) -> None:
        self.num, self.broken = num, broken
        super().__init__(pipeline=[self.read, *pipeline], serialize_data=False)

    def load_data_list(self) -> list[dict]:
        return [dict(img_path=f'{i}.png') for i in range(self.num)]

    def read(self, results: dict) -> dict | None:
        if results['sample_idx'] == self.broken:
            return None
        rng = np.random.default_rng(results['sample_idx'])
        return dict(results, img=rng.integers(0, 256, (16, 20, 3), dtype=np.uint8))


def pack(results: dict) -> dict:
    """All that was drawn, to the last bit; the draw's name is added to the data sample."""
    pixels = [img.tobytes() for img in results['img']] if 'view_params' in results else []
    drawn = repr((results['foreign'], results.get('view_params'), pixels))
    return dict(data_samples=DataSample(), path=results['img_path'], drawn=drawn)


def noise(num: int = 40, views: bool = True, **settings: object) -> Noise:
    joint = [JointView([VIEWS], 2)] if views else []
    return Noise(num, [foreign, *joint, pack], **settings)


def load(
    dataset: object,
    epochs: int = 2,
    workers: int = 0,
    sampler: Callable[..., Sampler] = DefaultSampler,
    part: tuple[int, int] = (0, 1),
    batches: int | None = None,
    **settings: object,
) -> dict[str, tuple[str, str]]:
    """Load some epochs of one process, `part` its rank and how many there are.

    Returns the name of each draw to the photo's name and what was drawn.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in ('mmengine.dataset.sampler', 'mmpretrain.datasets.samplers.repeat_aug'):
            patch.setattr(f'{module}.get_dist_info', lambda: part)
        sampler = sampler(dataset)
    loader = DataLoader(
        dataset, batch_size=3, sampler=sampler, num_workers=workers, collate_fn=list, **settings
    )
    assert tie_draws(loader, seed=11) is None
    drawn: dict[str, tuple[str, str]] = {}
    for epoch in range(epochs):
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)
        for batch in islice(loader, batches):
            for item in batch:
                name = item['data_samples'].draw
                assert name not in drawn
                drawn[name] = (item['path'], item['drawn'])
    return drawn


def default(dataset: object) -> DefaultSampler:
    return DefaultSampler(dataset, seed=5)


def infinite(dataset: object) -> InfiniteSampler:
    return InfiniteSampler(dataset, seed=5)


def all_differ(drawn: dict[str, tuple[str, str]]) -> bool:
    return len({item for _, item in drawn.values()}) == len(drawn)


@pytest.mark.parametrize('workers, persistent', [(1, False), (2, True), (2, False)])
def test_any_number_of_workers(workers: int, persistent: bool) -> None:
    expected = load(noise(), sampler=default)
    assert next(iter(expected)) == expected_name(0)
    assert len(expected) == 80 and all_differ(expected)
    drawn = load(noise(), sampler=default, workers=workers, persistent_workers=persistent)
    assert drawn == expected


def expected_name(epoch: int) -> str:
    generator = torch.Generator().manual_seed(5 + epoch)
    return f'{epoch}:{torch.randperm(40, generator=generator)[0]}'


@pytest.mark.slow
def test_a_thousand_draws() -> None:
    expected = load(noise(500), sampler=default)
    assert len(expected) == 1000 and all_differ(expected)
    for workers in (0, 1, 2, 4):
        settings = dict(sampler=default, workers=workers)
        for persistent in {False, workers > 0}:
            assert load(noise(500), persistent_workers=persistent, **settings) == expected
        halves = [load(noise(500), part=(rank, 2), **settings) for rank in (0, 1)]
        assert halves[0] | halves[1] == expected
        assert not halves[0].keys() & halves[1].keys()


def test_a_copy_for_a_worker_that_is_spawned() -> None:
    dataset = tie_dataset(noise(6), 11)
    sent = pickle.loads(pickle.dumps(dataset))
    draw = pickle.loads(pickle.dumps(Draw(3, 2, 1)))
    assert isinstance(sent, Noise) and draw.name == '2:3:1'
    assert sent[draw]['drawn'] == dataset[Draw(3, 2, 1)]['drawn']


def test_what_fills_up_the_last_batch() -> None:
    """Three processes share 40 samples: the first two come again, and draw anew."""
    parts = [load(noise(), epochs=1, sampler=default, part=(rank, 3)) for rank in range(3)]
    drawn = parts[0] | parts[1] | parts[2]
    whole = load(noise(), epochs=1, sampler=default)
    assert len(drawn) == 42 and all_differ(drawn) and drawn.items() >= whole.items()
    assert sum(name.endswith(':1') and name.count(':') == 2 for name in drawn) == 2


@pytest.mark.parametrize('processes', [1, 2])
def test_infinite_sampler(processes: int) -> None:
    """Each pass over the data is an epoch, however it falls on batches and processes."""
    parts = [
        load(noise(20), 1, sampler=infinite, part=(rank, processes), batches=20 // processes)
        for rank in range(processes)
    ]
    drawn = {name: item for part in parts for name, item in part.items()}
    assert drawn.keys() == {f'{epoch}:{i}' for epoch in range(3) for i in range(20)}
    assert all_differ(drawn)
    settings = dict(epochs=1, workers=2, sampler=infinite, batches=20)
    assert drawn == load(noise(20), **settings)


def test_infinite_sampler_that_skips() -> None:
    whole = load(noise(20), 1, sampler=infinite, batches=20)

    dataset = noise(20)
    loader = DataLoader(dataset, batch_size=3, sampler=infinite(dataset), collate_fn=list)
    tie_draws(loader, 11)
    loader.sampler.skip(3 * 9)
    rest = [item for batch in islice(loader, 11) for item in batch]
    assert [(i['data_samples'].draw, i['drawn']) for i in rest] == [
        (name, drawn) for name, (_, drawn) in list(whole.items())[27:]
    ]
    assert not hasattr(load_sampler(), 'skip')  # or mmengine would call it


def load_sampler() -> DefaultSampler:
    dataset = noise(4)
    loader = DataLoader(dataset, sampler=default(dataset))
    tie_draws(loader, 0)
    return loader.sampler


@pytest.mark.parametrize('processes', [1, 2])
def test_repeated_augmentation(processes: int) -> None:
    parts = [
        load(noise(12), 1, sampler=partial(RepeatAugSampler, seed=5), part=(rank, processes))
        for rank in range(processes)
    ]
    drawn = {name: item for part in parts for name, item in part.items()}
    assert len(drawn) == 12 and all_differ(drawn)
    assert len({path for path, _ in drawn.values()}) == 4


def test_repeated_data_set() -> None:
    drawn = load(RepeatDataset(noise(10), 2), epochs=1, sampler=default)
    assert drawn.keys() == {f'0:{i}' for i in range(20)} and all_differ(drawn)
    assert len({path for path, _ in drawn.values()}) == 10


def test_samplers_of_others() -> None:
    """A sample that is given out several times, in a plain sampler and in one of batches."""

    class Twice(Sampler):
        def __init__(self, dataset: object) -> None:
            self.num = len(dataset)

        def __iter__(self) -> Iterator[int]:
            yield from [i for i in range(self.num) for _ in range(2)]

        def __len__(self) -> int:
            return 2 * self.num

    expected = {f'{e}:{i}' + v for e in range(2) for i in range(5) for v in ('', ':1')}
    drawn = load(noise(5), sampler=Twice)
    assert drawn.keys() == expected and all_differ(drawn)
    assert load(noise(5), sampler=Twice, workers=1) == drawn

    class Batches(Sampler):
        def __iter__(self) -> Iterator[list[int]]:
            yield from [[0, 1], [1, 2]]

    dataset = noise(5)
    loader = DataLoader(dataset, batch_sampler=Batches(), collate_fn=list)
    assert tie_draws(loader, 11) is None
    names = [[item['data_samples'].draw for item in batch] for batch in loader]
    assert names == [['0:0', '0:1'], ['0:1:1', '0:2']]


def test_a_photo_in_place_of_a_broken_one() -> None:
    """The same one whoever makes it, and with views of its own."""
    expected = load(noise(10, broken=4), sampler=default)
    assert all(path != '4.png' for path, _ in expected.values()) and all_differ(expected)
    assert '0:4' in expected and '1:4' in expected
    assert load(noise(10, broken=4), sampler=default, workers=2) == expected


def test_draws_from_all_generators_repeat() -> None:
    """Python's generator is seeded from its first use on: what came before it does not matter."""
    for _ in range(3):
        random.random(), random.gauss(0, 1), np.random.rand(), torch.rand(3)
        dataset = tie_dataset(noise(10, views=False), 11)
        first = [dataset[Draw(i, 2)]['drawn'] for i in range(10)]
        random.gauss(0, 1)
        assert [dataset[Draw(i, 2)]['drawn'] for i in reversed(range(10))] == first[::-1]
        assert len(set(first)) == 10


@pytest.mark.slow
@pytest.mark.parametrize('before', ['[]', '[Draw(0), Draw(1)]'])
@pytest.mark.parametrize('batches', [False, True])
def test_python_generator_in_a_new_process(before: str, batches: bool) -> None:
    """A sample that comes first in its process, or after others, in a batch or alone."""
    program = f"""
import random, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import mmjoint
from test_draws import Draw, noise, tie_dataset
random.gauss(0, 1)
dataset = tie_dataset(noise(10, views=False), 11)
draws = {before} + [Draw(3)]
samples = dataset.__getitems__(draws) if {batches} else [dataset[draw] for draw in draws]
print(samples[-1]['drawn'])
"""
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = tie_dataset(noise(10, views=False), 11)[Draw(3)]['drawn']
    assert done.stdout.strip().splitlines()[-1] == expected


def test_seed_epoch_index_and_visit_all_count() -> None:
    draws = [Draw(3), Draw(4), Draw(3, 1), Draw(3, 0, 1), Draw(4, 3), Draw(0, 4, 3)]
    told = {tie_dataset(noise(10), seed)[draw]['drawn'] for seed in (0, 1) for draw in draws}
    assert len(told) == 12


def test_generators_are_uniform_over_samples() -> None:
    """First numbers of 4,000 samples, next to each other in index and epoch."""
    rows = []
    dataset = tie_dataset(noise(2000, views=False), 0)
    for draw in [Draw(i, epoch) for epoch in (0, 1) for i in range(2000)]:
        rows.append(eval(dataset[draw]['drawn'])[0][:2])
    values = np.array(rows)
    for column in values.T:
        assert kstest(column, 'uniform').pvalue > 1e-3
    epochs = values.reshape(2, 2000, 2)
    series = [values[1:, 0], values[:-1, 0]], [epochs[0, :, 0], epochs[1, :, 0]], values.T
    for one, other in series:
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / len(one) ** 0.5


def test_iterations_draw_their_own() -> None:
    def drawn(seed: int, iteration: int) -> tuple:
        seed_iteration(seed, iteration)
        return random.random(), np.random.rand(), torch.rand(1).item()

    told = [drawn(seed, iteration) for seed in (0, 1) for iteration in (0, 1, 2)]
    assert len({number for numbers in told for number in numbers}) == 18
    assert told[4] == drawn(1, 1)


def test_what_cannot_be_tied() -> None:
    class Stream(IterableDataset):
        def __iter__(self) -> Iterator:
            return iter(())

    assert 'Stream is a stream' in tie_draws(DataLoader(Stream()), 0)
    loader = DataLoader([1, 2], sampler=[1, 0])
    assert 'a list as the sampler' in tie_draws(loader, 0)
    assert list(DataLoader(torch.zeros(2, 1)))  # and nothing is drawn here
    loader = DataLoader(torch.arange(3.0))
    assert tie_draws(loader, 0) is None
    assert [type(item) for item in loader] == [torch.Tensor] * 3


def test_golden_draws() -> None:
    """Parameters of a few draws: a changed order of draws changes the views of all runs."""
    views = JointView([[*VIEWS, dict(type='Solarization', thr=128, prob=0.5)]], 4)
    dataset = tie_dataset(
        Noise(9, [foreign, views, lambda results: results | dict(data_samples=DataSample())]), 3
    )
    drawn = {}
    for draw in (Draw(0), Draw(3), Draw(8, 7), Draw(8, 7, 1)):
        results = dataset[draw]
        params = [[[name, asdict(record)] for name, record in v] for v in results['view_params']]
        pixels = [float(img.mean()) for img in results['img']]
        drawn[draw.name] = json.loads(json.dumps([results['foreign'], params]))
        drawn[draw.name].append(pixels)
    path = Path(__file__).parent / 'golden_draws.json'
    expected = json.loads(path.read_text())
    numbers, words = flat(drawn), flat(drawn, str)
    assert words == flat(expected, str) and len(words) > 20
    assert numbers == pytest.approx(flat(expected), rel=1e-9) and len(numbers) > 100


def flat(value: object, kind: type | tuple = (int, float), name: str = '') -> dict:
    """What nested lists and dicts hold of a kind, by its place."""
    if isinstance(value, (list, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for i, item in items for k, v in flat(item, kind, f'{name}/{i}').items()}
    return {name: value} if isinstance(value, kind) else {}
