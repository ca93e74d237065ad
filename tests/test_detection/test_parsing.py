"""The compiled loop changes nothing of what Python's parser reads, and accepts nothing more."""

import json
import math
import random
from typing import Any

import pytest

from mmjoint.detection import parsing
from mmjoint.detection.parsing import FIELDS, Items

PLAIN = '"image_id":3,"category_id":7,"bbox":[1,2.5,3,4],"area":12.0,"iscrowd":0'
SHAPES = [
    '[[1,2,3,4,5,6]]', '[ [ 0.25 , -1.5,\n3,4, 5,6.75],\t[7,8,9,10,11,12.125,13,14 ]\r]',
    '[[123456789012345, 0.1, 239.97, 99999.9999999999, 0.00000000000001, -0]]',
    '[[1,2,3,4,5,239.97000000000003]]', '[[1,2,3,4,5,9007199254740993]]',
    '[[1,1e2,3,4E+1,5,-5e-1]]', '[]', 'null', f'[[1,2,3,4,5,6]],{PLAIN}',
    f'null, {PLAIN.replace("12.0", "702.1057499999998")}', 'null,"area":null,"iscrowd":true',
    'null, "iscrowd" : null,"bbox":[1e1,2,3,-239.97000000000003]',
    'null,"note":"a {[","attributes":{ },"keypoints":[1,-2.5 , true]',
    'null,"attributes":{"occluded":false , "score":1e-3,"by": null}, "tags":[ ]',
]  # fmt: skip
# What Python has to read: another form, no whole number for an id, more than one level, escapes.
LEFT = [
    '[[1,2,3,4,5]]', '[[1,2,3,4]]', '[[1,2,3,4,5,null]]', '[1,2,3,4,5,6]', '[[]]',
    '[[[1,2,3,4,5,6]]]', '{"counts": [[1]]}', '[[1,2,3,4,5,6],7]', 'true', '[[1,2,3,4,5,NaN]]',
    f'[[1,2,3,4,5,{"9" * 41}]]', 'null,"segmentation":null', 'null,"image_id":1.0',
    'null,"image_id":"1"', 'null,"category_id":9007199254740993', 'null,"image_id":null',
    'null,"bbox":[1,2,3]', 'null,"bbox":[1,2,3,4,5]', 'null,"bbox":null', 'null,"area":"1"',
    'null,"area":true', 'null,"iscrowd":[0]', 'null,"a":[[1]]', 'null,"a":{"b":{}}',
    'null,"a":"\\n"', 'null,"a":"ü"', 'null,"\\u0069scrowd":1',
]  # fmt: skip
INVALID = [
    '[[1,2,3,4,5,06]]', '[[1,2,3,4,5,6.]]', '[[1,2,3,4,5,.6]]', '[[1,2,3,4,5,+6]]', '[[1,2,3,4,5,-',
    '[[1,2,3,4,5,6],]', '[[1,2,3,4,5,6,]]', '[[1,2,3,4,5,6]', '[[1,2,3,4,5 6]]', '[[1,2,3,4,5,1e]]',
    '[[1,2,3,4,5,--6]]', '[[1,2,3,4,5,6]]"segmentation": [[1,2,3,4,5,6]]', 'null,', 'nul',
    'null,"a":{"b":1,}', 'null,"a":[1 2]', 'null,"a":{1:2}', 'null "a":1', 'null}{"id":1',
]  # fmt: skip


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('numba')
    monkeypatch.setattr(parsing, 'WORTH_A_LOOP', 0)


def parse(content: bytes) -> Any:
    """Parse a text; compare what was taken out of it with what Python reads of it."""
    parsed = parsing.parse_json(content)
    if not isinstance(parsed, dict) or not isinstance(items := parsed.get('annotations'), Items):
        return parsed
    values = [items[place] for place in range(len(items))]
    if items.columns is not None:
        places, spans, fields, polygons = items.columns
        assert fields.shape == (len(places), FIELDS) and spans.shape == (len(places), 2)
        for place, row, shape in zip(places, fields, polygons.lists(), strict=True):
            item = values[place]
            polygons = [[*map(float, part)] for part in item.get('segmentation') or ()]
            assert [part.tolist() for part in shape] == polygons
            names = ('id', 'image_id', 'category_id', *'xywh', 'area', 'iscrowd')
            item = item | dict(zip('xywh', item.get('bbox', ()), strict=False))
            expected = [item.get(name) for name in names]
            found = [None if math.isnan(value) else value for value in row.tolist()]
            assert found == expected, item
    return dict(parsed, annotations=values)


def outcome(function: Any, content: bytes) -> Any:
    try:
        return json.dumps(function(content))
    except ValueError as error:
        return str(error)


def text(*shapes: str, more: str = '') -> str:
    items = ', '.join(f'{{"id": {n}, "segmentation": {shape}}}' for n, shape in enumerate(shapes))
    return f'{{"annotations": [{items}]{more}}}'


def taken(content: str) -> list[int]:
    columns = parsing.parse_json(content.encode())['annotations'].columns
    return [] if columns is None else columns.places.tolist()


def test_annotations_become_arrays_of_the_same_numbers() -> None:
    content = text(*SHAPES, *LEFT)
    assert taken(content) == [*range(len(SHAPES))]
    assert outcome(parse, content.encode()) == outcome(json.loads, content.encode())
    # Every number is the nearest float64, as Python's parser takes it.
    rng = random.Random(0)
    numbers = [f'{rng.uniform(-700, 700):.{rng.randint(1, 18)}f}' for _ in range(30_000)]
    content = text(f'[[{",".join(numbers)}]]')
    columns = parsing.parse_json(content.encode())['annotations'].columns
    assert columns.polygons.points.tolist() == [*map(float, numbers)]


def test_strings_and_other_places_stay_as_they_are() -> None:
    shape = '[[1,2,3,4,5,6]]'
    more = (
        f', "info": {{"note": "\\"annotations\\": [{{}}]", "a \\"annotations": [{{"id":1}}], '
        f'"annotations": [{{"id":1}}], "segmentation": "annotations", "\\\\": ["annotations", '
        f'{shape}], "ü\\u00fc😀": 1}}, "note": "annotations"'
    )
    content = text(shape, LEFT[0], more=more)
    assert taken(content) == [0]
    mixed = content.replace('[{"id": 0', '[[{"id": 1}], 7, "a", {}, {"id": 0')
    assert taken(mixed) == [4]
    again = [
        content.replace('"info"', name) for name in ('"annotations"', '"annot\\u0061tions"', '"a"')
    ]
    for odd in (mixed, *again, f'[{content}]', '7', '', '{"annotations": 7}', text()):
        assert outcome(parse, odd.encode()) == outcome(json.loads, odd.encode())
    for encoding in ('utf-8', 'utf-8-sig', 'utf-16', 'utf-32-be'):
        encoded = content.encode(encoding)
        assert parse(encoded) == json.loads(encoded)
    latin = content.encode('latin-1', 'replace')
    assert "can't decode" in outcome(parse, latin)
    assert outcome(parse, latin) == outcome(json.loads, latin)


def test_what_is_not_json_is_refused_with_the_same_words() -> None:
    for shape in INVALID:
        content = text(SHAPES[0], shape).encode()
        told = outcome(json.loads, content)
        assert 'line 1 column' in told and outcome(parse, content) == told, shape
    whole = text(SHAPES[1], SHAPES[8], SHAPES[-2], SHAPES[-1], LEFT[0]).encode()
    rng = random.Random(0)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] = rng.choice(b'[]{},:"\\ 0123456789.-e')
        for content in (whole[:place], bytes(damaged)):
            assert outcome(parse, content) == outcome(json.loads, content), content
