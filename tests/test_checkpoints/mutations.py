"""Checkpoints with something wrong, 200 and more of them, for the tests of every way in.

A mutation takes the bytes of a whole checkpoint and gives those of a bad one. What is right for it
is told by its name: ``plain/...`` may be read, everything else must be refused.
"""

import copy
import io
import os
import random
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

KEY = 'backbone.layer1.0.conv1.weight'
VAR = 'backbone.layer1.0.bn1.running_var'


class Call:
    """Unpickling it calls a function."""

    def __init__(self, function: Callable, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


def saved(content: object, **arguments: object) -> bytes:
    """Give the bytes of a file of torch.save."""
    file = io.BytesIO()
    torch.save(content, file, **arguments)
    return file.getvalue()


def records(whole: bytes) -> list[tuple[str, int, int]]:
    """List name, start and size of the data of a zip archive's records."""
    found = []
    for record in zipfile.ZipFile(io.BytesIO(whole)).infolist():
        name, extra = struct.unpack('<HH', whole[record.header_offset + 26 :][:4])
        found.append((record.filename, record.header_offset + 30 + name + extra, record.file_size))
    return found


def with_pickle(whole: bytes, program: bytes) -> bytes:
    """Put another pickle in the archive, with a checksum that is right."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole)) as old, zipfile.ZipFile(file, 'w') as new:
        for record in old.infolist():
            data = program if record.filename.endswith('data.pkl') else old.read(record)
            new.writestr(record.filename, data)
    return file.getvalue()


def laughs(levels: int, as_key: bool) -> bytes:
    """A pickle of some hundred bytes: pairs of pairs of pairs ..., as a key or as a value."""
    program = (
        b'\x80\x02}'
        + b')q\x00'
        + b''.join(b'h' + bytes([n]) + b'\x86q' + bytes([n + 1]) for n in range(levels))
    )
    # A value follows the key; or the key, a number, comes after and both are swapped by the memo.
    return program + (b'K\x01s.' if as_key else b'0K\x01h' + bytes([levels]) + b's.')


def bit_flips(whole: bytes, seed: int, count: int = 90) -> Iterator[tuple[str, bytes]]:
    """Flip a bit in the values of weights, in the pickle and anywhere in the archive."""
    rng = random.Random(seed)
    places = records(whole)
    values = [(start, size) for name, start, size in places if '/data/' in name and size]
    programs = [(start, size) for name, start, size in places if name.endswith('data.pkl')]
    for kind, areas in (('values', values), ('pickle', programs), ('archive', [(0, len(whole))])):
        for number in range(count // 3):
            start, size = rng.choice(areas)
            place = start + rng.randrange(size)
            bad = bytearray(whole)
            bad[place] ^= 1 << rng.randrange(8)
            # In the archive between the records nothing may depend on the bit.
            yield f'{"plain/" * (kind == "archive")}flipped {kind} {number}', bytes(bad)
    for name, start, size in places[:: max(1, len(places) // 8)]:
        if size:
            bad = bytearray(whole)
            bad[start : start + size] = bytes(size) if any(whole[start:][:size]) else b'\1' * size
            yield f'erased {name}', bytes(bad)
    for share in (0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999):
        yield f'cut at {share}', whole[: int(len(whole) * share)]


def changed_weights(content: dict) -> Iterator[tuple[str, bytes]]:
    """Change types, values, names and shapes of weights, in files that are whole."""

    def of(change: Callable[[dict], object]) -> bytes:
        bad = copy.deepcopy(content)
        change(bad['state_dict'])
        return saved(bad)

    weights = content['state_dict']
    for key in (KEY, VAR, 'backbone.layer4.1.bn2.bias'):
        value = weights[key]
        for name, bad in {
            'int32': value.int(), 'int64': value.long(), 'uint8': value.to(torch.uint8),
            'bool': value.bool(), 'complex': value.to(torch.complex64), 'meta': value.to('meta'),
            'sparse': value.to_sparse(), 'text': 'a', 'None': None, 'list': [1.0], 'number': 1.0,
            'NaN': value * float('nan'), 'infinity': value / 0, 'transposed': value[None],
            'empty': value[:0], 'half of it': value[: len(value) // 2],
            'more': torch.cat([value] * 2),
        }.items():  # fmt: skip
            yield f'{key} {name}', of(lambda w, key=key, bad=bad: w.update({key: bad}))
        one = value.clone()
        one.view(-1)[0] = float('nan')
        yield f'{key} one NaN', of(lambda w, key=key, one=one: w.update({key: one}))
        huge = (value.double() + 1) * 1e300  # a bias may be 0
        yield f'{key} beyond float32', of(lambda w, key=key, huge=huge: w.update({key: huge}))
        yield f'{key} dropped', of(lambda w, key=key: w.pop(key))
        yield f'{key} renamed', of(lambda w, key=key: w.update({f'{key}s': w.pop(key)}))
        for dtype in (torch.float64, torch.float16, torch.bfloat16):
            name = f'plain/{key} {str(dtype)[6:]}'
            yield name, of(lambda w, key=key, d=dtype: w.update({key: w[key].to(d)}))
    yield 'negative variance', of(lambda w: w[VAR].sub_(9))
    yield 'one negative variance', of(lambda w: w[VAR][:1].fill_(-1e-3))
    quantized = torch.quantize_per_tensor(weights[KEY], 0.1, 0, torch.qint8)
    yield 'quantized', of(lambda w: w.update({KEY: quantized}))
    for part in ('layer1', 'layer4', 'conv1', 'backbone'):
        yield f'without {part}', of(lambda w, p=part: [w.pop(k) for k in list(w) if p in k])
        yield (
            f'{part} under another name',
            of(lambda w, p=part: [w.update({f'x{k}': w.pop(k)}) for k in list(w) if p in k]),
        )
    yield (
        'all NaN',
        of(lambda w: [v.fill_(float('nan')) for v in w.values() if v.is_floating_point()]),
    )
    yield 'no weights', of(lambda w: w.clear())
    yield 'weights more', of(lambda w: w.update({'backbone.layer1.7.conv1.weight': torch.ones(3)}))
    yield 'weights are a list', saved(content | {'state_dict': list(weights.values())})
    yield 'weights are None', saved(content | {'state_dict': None})
    yield 'keys are numbers', saved(content | {'state_dict': dict(enumerate(weights.values()))})
    yield 'a list', saved([content])
    yield 'a tensor', saved(torch.ones(3))
    yield 'plain/old format', saved(content, _use_new_zipfile_serialization=False)
    old = saved(content, _use_new_zipfile_serialization=False)
    for share in (0.2, 0.6, 0.99):
        yield f'old format cut at {share}', old[: int(len(old) * share)]


def hostile(content: dict, whole: bytes, marker: Path) -> Iterator[tuple[str, bytes]]:
    """Files that run code, that make whoever reads them run code, or that exhaust the machine."""
    touch = f'touch {marker}'
    program = f'open({str(marker)!r}, "w")'
    for name, call in {
        'os.system': Call(os.system, touch), 'open': Call(open, str(marker), 'w'),
        'eval': Call(eval, program), 'exec': Call(exec, program),
        'import': Call(__import__, 'antigravity'),
        'torch.load': Call(torch.load, str(marker)), 'hub': Call(torch.hub.load, 'a', 'b'),
    }.items():  # fmt: skip
        for place in ('meta', 'optimizer', 'state_dict'):
            bad = dict(content)
            if place == 'state_dict':
                bad[place] = {**content[place], KEY: call}
            else:
                bad[place] = {**bad.get(place, {}), 'x': call}
            yield f'{name} in {place}', saved(bad)
        old = saved({'x': call}, _use_new_zipfile_serialization=False)
        yield f'{name} in the old format', old
    for key in ('config', 'cfg'):
        bad = dict(content, meta={**content['meta'], key: f'{program}\nmodel = dict()'})
        yield f'plain/code in meta {key}', saved(bad)
    for levels in (20, 60):
        yield f'laughs {levels} as a key', with_pickle(whole, laughs(levels, True))
        yield f'laughs {levels}', with_pickle(whole, laughs(levels, False))
    holds_itself = dict(content)
    holds_itself['self'] = holds_itself
    yield 'a dict that holds itself', saved(holds_itself)
    inner = OrderedDict(content['state_dict'])
    inner['self'] = inner
    yield 'weights that hold themselves', saved({**content, 'state_dict': inner})
    yield 'deep lists', with_pickle(whole, b'\x80\x02' + b']' * 200_000 + b'a' * 199_999 + b'.')
    wide = with_pickle(whole, b'\x80\x02' + b'0'.join([b'N'] * 100) * 5 + b'}.')
    yield 'no weights in the pickle', wide
    yield 'endless frame', with_pickle(whole, b'\x80\x04\x95' + b'\xff' * 7 + b'\x7f}.')
    yield 'bytes of 2**62', with_pickle(whole, b'\x80\x05\x96' + b'\0' * 7 + b'\x40.')
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr('a/data.pkl', bytes(1 << 27))
    yield 'zip bomb', file.getvalue()
    start = next(start for name, start, _ in records(whole) if name.endswith('data.pkl'))
    size = next(size for name, _, size in records(whole) if name.endswith('data.pkl'))
    shape = content['state_dict'][KEY].shape
    sizes = b'(' + b''.join(b'K' + bytes([n]) for n in shape) + b't'
    text = whole[start : start + size]
    grown = b'(' + b'J\xff\xff\xff\x7f' * len(shape) + b't'
    if sizes in text:
        yield 'a tensor larger than its storage', with_pickle(whole, text.replace(sizes, grown, 1))


def mutations(content: dict, marker: Path, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Give all bad checkpoints.

    Args:
        content (dict): Of a checkpoint of mmengine's with a ResNet's weights under ``backbone.``.
        marker (Path): A file that none of them may make.
        seed (int): Of the places of flipped bits.

    Yields:
        tuple[str, bytes]: What is wrong, and the file.
    """
    whole = saved(content)
    yield 'plain/whole', whole
    yield from bit_flips(whole, seed)
    yield from changed_weights(content)
    yield from hostile(content, whole, marker)
