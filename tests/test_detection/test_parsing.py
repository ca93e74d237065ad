"""The compiled loop changes nothing of what Python's parser reads, and accepts nothing more."""

import json
import random
from typing import Any

import numpy as np
import pytest

from mmjoint.detection import parsing

SHAPES = [
    '[[1,2,3,4,5,6]]', '[ [ 0.25 , -1.5,\n3,4, 5,6.75],\t[7,8,9,10,11,12.125,13,14 ]\r]',
    '[[123456789012345, 0.1, 239.97, 99999.9999999999, 0.00000000000001, -0]]',
]  # fmt: skip
# With more digits than a float64 can hold, an exponent, another form, or not JSON at all.
LEFT = [
    '[[1,2,3,4,5,239.97000000000003]]', '[[1,2,3,4,5,1e2]]', '[[1,2,3,4,5]]', '[[1,2,3,4]]',
    '[[1,2,3,4,5,null]]', '[1,2,3,4,5,6]', '[]', '[[]]', '[[[1,2,3,4,5,6]]]', '{"counts": [[1]]}',
    '[[1,2,3,4,5,6],7]', 'true', '[[1,2,3,4,5,NaN]]', '[[1,2,3,4,5,9007199254740993]]',
]  # fmt: skip
INVALID = [
    '[[1,2,3,4,5,06]]', '[[1,2,3,4,5,6.]]', '[[1,2,3,4,5,.6]]', '[[1,2,3,4,5,+6]]', '[[1,2,3,4,5,-',
    '[[1,2,3,4,5,6],]', '[[1,2,3,4,5,6,]]', '[[1,2,3,4,5,6]', '[[1,2,3,4,5 6]]',
    '[[1,2,3,4,5,--6]]', '[[1,2,3,4,5,6]]"segmentation": [[1,2,3,4,5,6]]',
]  # fmt: skip


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('numba')
    monkeypatch.setattr(parsing, 'WORTH_A_LOOP', 0)


def outcome(parse: Any, content: bytes) -> Any:
    try:
        return json.dumps(parse(content), default=np.ndarray.tolist)
    except ValueError as error:
        return str(error)


def text(*shapes: str, more: str = '') -> str:
    items = ', '.join(f'{{"id": {n}, "segmentation": {shape}}}' for n, shape in enumerate(shapes))
    return f'{{"annotations": [{items}]{more}}}'


def arrays(parsed: dict) -> list[bool]:
    shapes = [item['segmentation'] for item in parsed['annotations']]
    return [
        type(shape) is list and shape != [] and type(shape[0]) is np.ndarray for shape in shapes
    ]


def test_polygons_become_arrays_of_the_same_numbers() -> None:
    parsed = parsing.parse_json(text(*SHAPES, *LEFT).encode())
    assert arrays(parsed) == [True] * len(SHAPES) + [False] * len(LEFT)
    for item, shape in zip(parsed['annotations'], SHAPES, strict=False):
        assert [part.tolist() for part in item['segmentation']] == json.loads(shape)
        assert {part.dtype for part in item['segmentation']} == {np.dtype(np.float64)}
    # Every number is the nearest float64, as Python's parser takes it.
    rng = random.Random(0)
    numbers = [f'{rng.uniform(-700, 700):.{rng.randint(1, 12)}f}' for _ in range(30_000)]
    parsed = parsing.parse_json(text(f'[[{",".join(numbers)}]]').encode())
    assert parsed['annotations'][0]['segmentation'][0].tolist() == [*map(float, numbers)]


def test_strings_and_other_places_stay_as_they_are() -> None:
    shape = '[[1,2,3,4,5,6]]'
    more = (
        f', "info": {{"note": "\\"segmentation\\": {shape}", "a \\"segmentation": {shape}, '
        f'"my segmentation": {shape}, "segmentation": "segmentation", "\\\\": ["segmentation", '
        f'{shape}], "ü\\u00fc😀": 1}}'
    )
    content = text(shape, LEFT[0], more=more)
    elsewhere = content.replace('"id": 1,', f'"id": 1, "area": {{"segmentation": {shape}}},')
    twice = content.replace('"id": 1,', f'"segmentation": {shape},')
    for odd in (elsewhere, twice, f'[{content}]', '7', ''):
        assert outcome(parsing.parse_json, odd.encode()) == outcome(json.loads, odd.encode())
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16', 'utf-32-be'):
        encoded = content.encode(encoding)
        assert json.loads(json.dumps(parsing.parse_json(encoded), default=np.ndarray.tolist)) == (
            json.loads(encoded)
        )


def test_what_is_not_json_is_refused_with_the_same_words() -> None:
    for shape in INVALID:
        content = text(SHAPES[0], shape).encode()
        told = outcome(json.loads, content)
        assert 'line 1 column' in told and outcome(parsing.parse_json, content) == told, shape
    whole = text(*SHAPES[:2], LEFT[1]).encode()
    rng = random.Random(0)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] = rng.choice(b'[]{},:"\\ 0123456789.-e')
        for content in (whole[:place], bytes(damaged)):
            expected, found = outcome(json.loads, content), outcome(parsing.parse_json, content)
            # Arrays are of floats, also where the text has 1 for 1.0.
            if expected != found:
                assert json.loads(expected) == json.loads(found), content
