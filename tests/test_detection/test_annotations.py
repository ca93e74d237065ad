"""Annotations are compared as arrays; what is odd is read by itself, with the same result."""

import json
import os
import random
from pathlib import Path

import numpy as np
import pytest

from mmjoint.detection import annotations, cache, coco, findings, parsing
from mmjoint.detection.coco import read_coco_file
from mmjoint.detection.findings import Findings

POOLS = dict(
    id=[1, 2, 2.0, '2', None, True, 10**20],
    image_id=[1, 2, 3, 3.0, '3', None, True, 99, [1]],
    category_id=[7, 8, 8.0, '8', None, 9, {}],
    bbox=[
        [1, 2, 3, 4], [0.5, 0.5, 5.25, 6.125], [-3, -3, 20, 20], [0, 0, 0, 5], [0, 0, 0.01, 0.02],
        [50, 0, 5, 5], [49.5, 0, 1, 1], [-5, 0, 5, 5], [-5.5, 0, 5, 5], [1, 1, -2, 2], [1, 2, 3],
        [1, 2, 3, None], [1, 2, True, 4], [1, 2, 1e9, 4], [1, 2, 10**400, 4], 'box', None,
        [0, 0, float('nan'), 5], [0.1, 0.1, 0.2, 0.2],
    ],
    area=[12, 7.5, 0, -1, None, '12', float('nan'), float('inf'), 1e15, True],
    iscrowd=[0, 1, False, True, 1.0, None, 2, '1', []],
    segmentation=[
        [[1, 1, 9, 1, 9, 9]], [[1, 1, 9, 1, 9, 9], [2, 2, 3, 3]], [1, 1, 9, 1, 9, 9], [], None,
        [[1, 1, 9, 1, 9]], [[1, 1, 9, 1, 9, None]], [[1, 1, 9, True, 9, 9]], [[1, 1, 9, '1', 9, 9]],
        [[1, 1, 9, 1, 9, 10**400]], [[1, 1, 1, 1, 1, 1]], [[1, 1, 999, 1, 9, 9]],
        dict(size=[40, 50], counts=[100, 50, 1850]), dict(size=[40, 50], counts=[2000]), 'mask',
    ],
)  # fmt: skip


def odd_file(path: Path, seed: int, number: int = 300) -> None:
    """Write a file whose annotations have an odd value now and then."""
    rng = random.Random(seed)
    items = []
    for index in range(number):
        item: object = dict(
            id=index + 1,
            image_id=rng.randint(1, 3),
            category_id=rng.choice([7, 8]),
            bbox=[rng.uniform(0, 20), rng.uniform(0, 20), rng.uniform(1, 30), rng.uniform(1, 20)],
            area=rng.uniform(1, 500),
            iscrowd=0,
            segmentation=[[round(rng.uniform(0, 40), 2) for _ in range(2 * rng.randint(3, 9))]],
        )
        if rng.random() < 0.3:
            name = rng.choice([*POOLS])
            item = dict(item, **{name: rng.choice(POOLS[name])})
            if rng.random() < 0.2:
                del item[name]
        items.append('text' if rng.random() < 0.01 else item)
    images = [dict(id=n, file_name=f'{n}.jpg', width=50, height=40) for n in (1, 2, 3)]
    categories = [dict(id=7, name='cat'), dict(id=8, name='dog')]
    path.write_text(json.dumps(dict(images=images, annotations=items, categories=categories)))


def read(path: Path, *options: object) -> tuple[dict, dict]:
    found = Findings()
    result = read_coco_file(path, path.parent, found, *options)
    return json.loads(json.dumps(result, default=np.ndarray.tolist)), found.state()


@pytest.mark.parametrize('options', [(True,), (False,), (None, ['dog'])], ids=str)
def test_arrays_and_single_annotations_agree(
    options: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OneByOne(annotations._Table):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            self.plain[:] = False

    monkeypatch.setattr(findings, 'SHOWN', 10**6)
    path = tmp_path / 'odd.json'
    for seed in range(2):
        odd_file(path, seed)
        result, state = read(path, *options)
        assert len(state['faults']) > 10 and len(result['annotations']) > 50
        with monkeypatch.context() as patch:
            patch.setattr(annotations, '_Table', OneByOne)
            assert read(path, *options) == (result, state)
        with monkeypatch.context() as patch:  # polygons that are arrays from the beginning
            patch.setattr(parsing, 'WORTH_A_LOOP', 0)
            assert read(path, *options) == (result, state)


@pytest.fixture
def readings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keep every file in a cache of its own; return the files that were parsed."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(cache, 'WORTH_A_CACHE', 0)
    parsed: list[str] = []
    parse = coco._parse

    def count(data: bytes, path: Path) -> dict:
        parsed.append(Path(path).name)
        return parse(data, path)

    monkeypatch.setattr(coco, '_parse', count)
    return parsed


def good_file(path: Path) -> dict:
    masks = [
        [[1, 1, 9, 1, 9, 9.5]],
        dict(size=[40, 50], counts=[100, 50, 1850]),
        [[1, 1, 1, 1, 1, 1]],
    ]
    items = [
        dict(id=n, image_id=1, category_id=7 + n % 2, bbox=[1.5, 2, 30 + n, 20], segmentation=mask)
        for n, mask in enumerate([*masks, masks[0] * 2], start=1)
    ]
    content = dict(
        images=[dict(id=1, file_name='1.jpg', width=50, height=40)],
        annotations=[*items, dict(items[0], iscrowd=1), dict(items[0], image_id=9)],
        categories=[dict(id=7, name='cat'), dict(id=8, name='dog')],
    )
    path.write_text(json.dumps(content))
    return content


def test_a_file_is_parsed_once(tmp_path: Path, readings: list[str]) -> None:
    path = tmp_path / 'a.json'
    good_file(path)
    first = read(path, True)
    assert len(first[0]['annotations']) == 4 and len(first[1]['left_out']) == 2
    assert read(path, True) == first and readings == ['a.json']
    # Other settings give other results.
    for options in ((False,), (True, ['dog']), (None,)):
        assert read(path, *options) == read(path, *options)
        assert read(path, *options)[0] != first[0] or options == (None,)
    assert len(readings) == 4
    # The folder keeps no more than a few files.
    assert len([*(tmp_path / 'cache/mmjoint/annotations').iterdir()]) == cache._KEPT == 4


def test_a_change_that_size_and_time_do_not_show(tmp_path: Path, readings: list[str]) -> None:
    path = tmp_path / 'a.json'
    good_file(path)
    read(path, True)
    before = path.stat()
    path.write_text(path.read_text().replace('[1.5, 2, 31, 20]', '[1.5, 2, 32, 20]'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert read(path, True)[0]['annotations'][0]['bbox'] == [1.5, 2, 32, 20]
    assert len(readings) == 2


def test_another_reader_and_damaged_caches_are_no_hit(
    tmp_path: Path, readings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / 'a.json'
    good_file(path)
    first = read(path, True)
    (kept,) = (tmp_path / 'cache/mmjoint/annotations').iterdir()
    whole = kept.read_bytes()
    number = np.float64(9.5).tobytes()
    assert number in whole
    other_number = whole.replace(number, np.float64(9.25).tobytes())
    for damaged in (b'', b'PK', whole[:-30], other_number, b'x' + whole[1:]):
        kept.write_bytes(damaged)
        assert read(path, True) == first
    parsed = len(readings)
    assert read(path, True) == first and len(readings) == parsed
    monkeypatch.setattr(cache, '_rules', lambda: b'another version')
    assert read(path, True) == first and len(readings) == parsed + 1


def test_faults_are_found_again(tmp_path: Path, readings: list[str]) -> None:
    path = tmp_path / 'a.json'
    content = good_file(path)
    content['annotations'][0]['bbox'] = [1, 2, 3]
    path.write_text(json.dumps(content))
    assert read(path, True) == read(path, True) and len(readings) == 2
    assert not (tmp_path / 'cache').exists()
