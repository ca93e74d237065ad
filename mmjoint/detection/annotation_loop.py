"""The compiled loop that takes the annotations out of the text of an annotation file."""

import numpy as np

from ..pixels.kernels.common import jit_cached
from .parsing import AREA, BOX, CATEGORY_ID, CROWD, FIELDS, ID, IMAGE_ID

_KEYS = (b'"id"', b'"image_id"', b'"category_id"', b'"bbox"', b'"area"', b'"iscrowd"',
         b'"segmentation"', b'"annotations"')  # fmt: skip
_COLUMNS = np.array([ID, IMAGE_ID, CATEGORY_ID, BOX, AREA, CROWD, -1])
_BBOX, _AREA, _CROWD, _SEGMENTATION, _OTHER, _ANNOTATIONS = 3, 4, 5, 6, 7, 7
_WORDS = (b'null', b'false', b'true')
_NULL, _FALSE, _TRUE = range(3)
# A number in the code itself is a type of its own, for which functions would be compiled again.
_NOTHING, _FOUR, _LAST_KEY = np.int64(0), np.int64(4), np.int64(_ANNOTATIONS)
# A number of up to 15 digits divided by such a power is the nearest float64, as JSON's is.
_POWERS = 10.0 ** np.arange(16)
_DIGITS, _LONGEST = 15, 40
_QUOTE, _COMMA, _MINUS, _PLUS, _DOT, _ZERO, _NINE, _COLON, _E, _BACKSLASH = b'",-+.09:e\\'
# A bracket is a brace without the bit of 32.
_LIST, _END_LIST, _OBJECT, _END_OBJECT = b'[]{}'


def _joined(words: tuple[bytes, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return words one after the other, and where each begins and the last ends."""
    return np.frombuffer(b''.join(words), np.uint8), np.cumsum([0, *map(len, words)])


_KEY_LETTERS, _KEY_STARTS = _joined(_KEYS)
_WORD_LETTERS, _WORD_STARTS = _joined(_WORDS)


@jit_cached
def _after_spaces(text: np.ndarray, place: int) -> int:
    while place < len(text) and (
        text[place] == 32 or text[place] == 10 or text[place] == 13 or text[place] == 9
    ):
        place += 1
    return min(place, len(text) - 1)


@jit_cached
def _is_key(text: np.ndarray, place: int, stop: int, number: int) -> bool:
    start, end = _KEY_STARTS[number], _KEY_STARTS[number + 1]
    if stop - place != end - start:
        return False
    for letter in range(end - start):
        if text[place + letter] != _KEY_LETTERS[start + letter]:
            return False
    return True


@jit_cached
def _word(text: np.ndarray, place: int) -> tuple[int, int]:
    """Return the place after null, false or true and which it is; -1 if it is none."""
    for number in range(len(_WORD_STARTS) - 1):
        start, end = _WORD_STARTS[number], _WORD_STARTS[number + 1]
        if place + end - start <= len(text):
            same = 0
            while same < end - start and text[place + same] == _WORD_LETTERS[start + same]:
                same += 1
            if same == end - start:
                return place + same, number
    return -1, -1


@jit_cached
def _after_string(text: np.ndarray, place: int) -> int:
    """Return the place after a string of ASCII without escapes; -1 if it is none."""
    if text[place] != _QUOTE:
        return -1
    place += 1
    while place < len(text):
        code = text[place]
        if code == _QUOTE:
            return place + 1
        if code == _BACKSLASH or code < 32 or code > 126:
            return -1
        place += 1
    return -1


@jit_cached
def _read_number(text: np.ndarray, place: int) -> tuple[int, float, bool]:
    """Return the place after a number, the number, and whether it has no fraction or exponent.

    The place is -1 if there is no number. The number is NaN if it has more than 15 digits or an
    exponent: Python has to read it.
    """
    negative = text[place] == _MINUS
    if negative:
        place += 1
    start, value, decimals = place, 0, -1
    while place < len(text) and place - start <= _LONGEST:
        code = text[place]
        if _ZERO <= code <= _NINE:
            if place - start <= _DIGITS:
                value = 10 * value + (code - _ZERO)
            decimals += decimals >= 0
        elif code == _DOT and decimals < 0 and place > start:
            decimals = 0
        else:
            break
        place += 1
    digits = place - start - (decimals >= 0)
    whole = digits - max(decimals, 0)
    if whole == 0 or decimals == 0 or place - start > _LONGEST or place >= len(text):
        return -1, 0.0, False
    if text[start] == _ZERO and whole > 1:
        return -1, 0.0, False
    if text[place] | 32 == _E:
        place += 1
        if place < len(text) and (text[place] == _PLUS or text[place] == _MINUS):
            place += 1
        first = place
        while place < len(text) and _ZERO <= text[place] <= _NINE:
            place += 1
        if place == first or place - first > _DIGITS:
            return -1, 0.0, False
        return place, np.nan, False
    if digits > _DIGITS:
        return place, np.nan, decimals < 0
    number = value / _POWERS[max(decimals, 0)]
    return place, -number if negative else number, decimals < 0


@jit_cached
def _after_scalar(text: np.ndarray, place: int) -> int:
    if text[place] == _QUOTE:
        return _after_string(text, place)
    if text[place] == _MINUS or _ZERO <= text[place] <= _NINE:
        return _read_number(text, place)[0]
    return _word(text, place)[0]


@jit_cached
def _after_value(text: np.ndarray, place: int) -> int:
    """Return the place after a value that nobody reads; -1 if it has more than one level."""
    opening = text[place]
    if opening != _LIST and opening != _OBJECT:
        return _after_scalar(text, place)
    closing = _END_LIST if opening == _LIST else _END_OBJECT
    place = _after_spaces(text, place + 1)
    if text[place] == closing:
        return place + 1
    while True:  # one value each
        if opening == _OBJECT:
            place = _after_string(text, place)
            if place < 0:
                return -1
            place = _after_spaces(text, place)
            if text[place] != _COLON:
                return -1
            place = _after_spaces(text, place + 1)
        place = _after_scalar(text, place)
        if place < 0:
            return -1
        place = _after_spaces(text, place)
        if text[place] == closing:
            return place + 1
        if text[place] != _COMMA:
            return -1
        place = _after_spaces(text, place + 1)


@jit_cached
def _read_list(
    text: np.ndarray, place: int, most: int, numbers: np.ndarray, used: int, long: np.ndarray,
    longs: int,
) -> tuple[int, int, int]:  # fmt: skip
    """Read a list of 1 to ``most`` numbers; the place is -1 if it is none."""
    if text[place] != _LIST:
        return -1, used, longs
    stop = used + most
    while used < stop:
        start = _after_spaces(text, place + 1)
        place, numbers[used], _ = _read_number(text, start)
        if place < 0:
            return -1, used, longs
        if np.isnan(numbers[used]):
            long[longs, 0], long[longs, 1], long[longs, 2] = used, start, place
            longs += 1
        used += 1
        place = _after_spaces(text, place)
        if text[place] == _END_LIST:
            return place + 1, used, longs
        if text[place] != _COMMA:
            break
    return -1, used, longs


@jit_cached
def _read_polygons(
    text: np.ndarray, place: int, numbers: np.ndarray, used: int, lengths: np.ndarray,
    polygons: int, long: np.ndarray, longs: int,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Read null or a list of polygons, each of 6 numbers or more; the place is -1 if it is none."""
    if text[place] != _LIST:
        place, word = _word(text, place)
        return place if word == _NULL else -1, used, polygons, longs
    after = _after_spaces(text, place + 1)
    if text[after] == _END_LIST:
        return after + 1, used, polygons, longs
    while True:  # one polygon each
        place, start = _after_spaces(text, place + 1), used
        place, used, longs = _read_list(text, place, len(numbers), numbers, used, long, longs)
        if place < 0 or used - start < 6 or (used - start) % 2:
            return -1, used, polygons, longs
        lengths[polygons] = used - start
        polygons += 1
        place = _after_spaces(text, place)
        if text[place] == _END_LIST:
            return place + 1, used, polygons, longs
        if text[place] != _COMMA:
            return -1, used, polygons, longs


@jit_cached
def _read_field(
    text: np.ndarray, place: int, key: int, numbers: np.ndarray, column: int, long: np.ndarray,
    longs: int,
) -> tuple[int, int]:  # fmt: skip
    """Read the value of one of _KEYS but a mask; the place is -1 if Python has to read it."""
    start = place
    if key == _BBOX:
        place, end, longs = _read_list(text, place, _FOUR, numbers, column, long, longs)
        return place if end == column + 4 else -1, longs
    if key in (_AREA, _CROWD) and text[place] >= 97:
        place, word = _word(text, place)
        if key == _CROWD and word > _NULL:
            numbers[column] = word == _TRUE
        return place if word == _NULL or key == _CROWD else -1, longs
    place, number, whole = _read_number(text, place)
    numbers[column] = number
    if place >= 0 and np.isnan(number):
        if key != _AREA:  # a long id is exact as a whole number only
            return -1, longs
        long[longs, 0], long[longs, 1], long[longs, 2] = column, start, place
        longs += 1
    return place if whole or key == _AREA else -1, longs


@jit_cached
def _read_annotation(
    text: np.ndarray, place: int, row: int, numbers: np.ndarray, used: int, lengths: np.ndarray,
    polygons: int, long: np.ndarray, longs: int,
) -> tuple[int, int, int, int]:  # fmt: skip
    """Read an object; the place is -1 if it has any peculiarity."""
    for column in range(row, row + FIELDS):
        numbers[column] = np.nan
    seen = 0
    while True:  # one key each
        place = _after_spaces(text, place + 1)
        stop = _after_string(text, place)
        if stop < 0:
            return -1, used, polygons, longs
        key = _NOTHING
        while key < _OTHER and not _is_key(text, place, stop, key):
            key += 1
        place = _after_spaces(text, stop)
        if text[place] != _COLON or (key < _OTHER and seen >> key & 1):
            return -1, used, polygons, longs
        seen |= 1 << key
        place = _after_spaces(text, place + 1)
        if key == _SEGMENTATION:
            place, used, polygons, longs = _read_polygons(
                text, place, numbers, used, lengths, polygons, long, longs
            )
        elif key == _OTHER:
            place = _after_value(text, place)
        else:
            place, longs = _read_field(text, place, key, numbers, row + _COLUMNS[key], long, longs)
        if place < 0:
            return -1, used, polygons, longs
        place = _after_spaces(text, place)
        if text[place] == _END_OBJECT:
            return place + 1, used, polygons, longs
        if text[place] != _COMMA:
            return -1, used, polygons, longs


@jit_cached
def _copy(text: np.ndarray, place: int, stop: int, rest: np.ndarray, end: int) -> int:
    for index in range(stop - place):
        rest[end + index] = text[place + index]
    return end + stop - place


@jit_cached
def _copy_string(text: np.ndarray, place: int, rest: np.ndarray, end: int) -> tuple[int, int]:
    start = place
    place += 1
    while place < len(text) and text[place] != _QUOTE:
        place += 1 + (text[place] == _BACKSLASH)
    place = min(place + 1, len(text))
    return place, _copy(text, start, place, rest, end)


@jit_cached
def _copy_value(text: np.ndarray, place: int, rest: np.ndarray, end: int) -> tuple[int, int]:
    """Copy up to the comma or bracket that follows a value of a list."""
    depth = 0
    while place < len(text):
        code = text[place]
        if code == _QUOTE:
            place, end = _copy_string(text, place, rest, end)
            continue
        if depth == 0 and code in (_COMMA, _END_LIST):
            break
        depth += code | 32 == _OBJECT
        depth -= code | 32 == _END_OBJECT
        rest[end] = code
        end += 1
        place += 1
    return place, end


@jit_cached
def cut_annotations(
    text: np.ndarray, rest: np.ndarray, rows: np.ndarray, numbers: np.ndarray, counts: np.ndarray,
    lengths: np.ndarray, long: np.ndarray,
) -> tuple[int, int, int, int, int]:  # fmt: skip
    """Copy a JSON text, with 0 in place of each annotation without any peculiarity.

    Whether the text is valid JSON does not change: only whole objects are replaced. They have
    numbers for ids, a box of four numbers, polygons of six numbers or more, an even number, or no
    mask; what they have besides is of one level, in ASCII and without escapes.

    Args:
        text (np.ndarray): The text, uint8.
        rest (np.ndarray): Receives the copy; as long as the text.
        rows (np.ndarray): Receives the place of each annotation in its list, and where it starts
            and stops in the text; int64 (N, 3) with N the number of opening braces in the text.
        numbers (np.ndarray): Receives FIELDS numbers of each annotation, NaN for what is missing;
            from FIELDS x N on the coordinates of polygons, as many as the text has commas and
            opening brackets; float64.
        counts (np.ndarray): Receives how many polygons each annotation has; int64 (N,).
        lengths (np.ndarray): Receives how many coordinates each polygon has; as long as the text
            has opening brackets.
        long (np.ndarray): Receives the place in ``numbers`` of each number that Python has to
            read, and where it starts and stops in the text; int64 (numbers, 3).

    Returns:
        tuple[int, int, int, int, int]: How much of ``rest``, ``rows``, coordinates, ``lengths`` and
        ``long`` is filled. That of ``rows`` is -1 if Python has to parse the whole text.
    """
    first = FIELDS * len(rows)
    place = end = found = polygons = longs = _NOTHING
    depth = lists = 0
    used = first
    while place < len(text):
        code = text[place]
        if code == _QUOTE:
            start = place
            place, end = _copy_string(text, place, rest, end)
            if depth != 1:
                continue
            if _after_string(text, start) != place:  # it may be "annotations" in disguise
                return end, -1, 0, 0, 0
            after = _after_spaces(text, place)
            if text[after] != _COLON or not _is_key(text, start, place, _LAST_KEY):
                continue
            lists += 1
            after = _after_spaces(text, after + 1)
            if lists > 1 or text[after] != _LIST:
                return end, -1, 0, 0, 0
            end = _copy(text, place, after + 1, rest, end)
            place, index = after + 1, 0
            depth += 1
            while place < len(text):  # one annotation each
                place = _after_spaces(text, place)
                if text[place] == _OBJECT:
                    after, now_used, now_polygons, now_longs = _read_annotation(
                        text, place, FIELDS * found, numbers, used, lengths, polygons, long, longs
                    )
                    if after > 0:
                        rows[found, 0], rows[found, 1], rows[found, 2] = index, place, after
                        counts[found] = now_polygons - polygons
                        found += 1
                        used, polygons, longs, place = now_used, now_polygons, now_longs, after
                        rest[end] = _ZERO
                        end += 1
                place, end = _copy_value(text, place, rest, end)
                if place >= len(text) or text[place] == _END_LIST:
                    break
                rest[end] = _COMMA
                end += 1
                place += 1
                index += 1
            continue
        depth += code | 32 == _OBJECT
        depth -= code | 32 == _END_OBJECT
        rest[end] = code
        end += 1
        place += 1
    return end, found, used - first, polygons, longs
