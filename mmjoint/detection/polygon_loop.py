"""The compiled loop that takes polygons out of the text of an annotation file."""

import numpy as np

from ..pixels.kernels.common import jit_cached

# A mask's place in the text holds this many letters and its number of _DIGITS digits as a string,
# which is no longer than the shortest polygon: [[0,0,0,0,0,0]].
MARK, _DIGITS = 5, 8
_KEY = np.frombuffer(b'"segmentation"', np.uint8)
# A number of up to 15 digits divided by such a power is the nearest float64, as JSON's is.
_POWERS = 10.0 ** np.arange(16)
_QUOTE, _COMMA, _MINUS, _DOT, _ZERO, _NINE, _COLON, _OPEN, _BACKSLASH, _CLOSE = b'",-.09:[\\]'


@jit_cached
def _is_space(code: int) -> bool:
    return code == 32 or code == 10 or code == 13 or code == 9


@jit_cached
def _after_spaces(text: np.ndarray, place: int) -> int:
    while place < len(text) and _is_space(text[place]):
        place += 1
    return min(place, len(text) - 1)


@jit_cached
def _follows_key(text: np.ndarray, place: int) -> bool:
    """Whether a value that begins at a place is that of the key "segmentation"."""
    place -= 1
    while place > 0 and _is_space(text[place]):
        place -= 1
    if text[place] != _COLON:
        return False
    place -= 1
    while place > 0 and _is_space(text[place]):
        place -= 1
    place -= len(_KEY) - 1
    # Within a string its first quote would be escaped.
    if place < 1 or text[place - 1] == _BACKSLASH:
        return False
    same = 0
    while same < len(_KEY) and text[place + same] == _KEY[same]:
        same += 1
    return same == len(_KEY)


@jit_cached
def _read_number(text: np.ndarray, place: int) -> tuple[int, float]:
    """Return the place after a number, and the number; -1 if it is not one of up to 15 digits."""
    negative = text[place] == _MINUS
    if negative:
        place += 1
    start, value, decimals = place, 0, -1
    while place < len(text):
        code = text[place]
        if _ZERO <= code <= _NINE:
            value = 10 * value + (code - _ZERO)
            decimals += decimals >= 0
        elif code == _DOT and decimals < 0 and place > start:
            decimals = 0
        else:
            break
        place += 1
        if place - start > 16:
            return -1, 0.0
    digits = place - start - (decimals >= 0)
    whole = digits - max(decimals, 0)
    if digits > 15 or whole == 0 or decimals == 0 or (text[start] == _ZERO and whole > 1):
        return -1, 0.0
    number = value / _POWERS[max(decimals, 0)]
    return place, -number if negative else number


@jit_cached
def _read_polygons(
    text: np.ndarray, place: int, points: np.ndarray, used: int, lengths: np.ndarray, polygons: int
) -> tuple[int, int, int]:
    """Read a list of polygons, each of 6 numbers or more; the place is -1 if it is none."""
    while True:  # one polygon each
        place = _after_spaces(text, place + 1)
        if text[place] != _OPEN:
            return -1, used, polygons
        start = used
        while True:  # one number each
            place = _after_spaces(text, place + 1)
            place, number = _read_number(text, place)
            if place < 0 or place >= len(text):
                return -1, used, polygons
            points[used] = number
            used += 1
            place = _after_spaces(text, place)
            if text[place] != _COMMA:
                break
        if text[place] != _CLOSE or used - start < 6 or (used - start) % 2:
            return -1, used, polygons
        lengths[polygons] = used - start
        polygons += 1
        place = _after_spaces(text, place + 1)
        if text[place] == _CLOSE:
            return place + 1, used, polygons
        if text[place] != _COMMA:
            return -1, used, polygons


@jit_cached
def cut_polygons(
    text: np.ndarray,
    mark: np.ndarray,
    rest: np.ndarray,
    points: np.ndarray,
    lengths: np.ndarray,
    counts: np.ndarray,
) -> tuple[int, int]:
    """Copy a JSON text, with a string in place of each list of polygons after "segmentation".

    Whether the text is valid JSON does not change: only whole lists of at least one polygon with
    six numbers or more, an even number, of up to 15 digits and without exponent are replaced.

    Args:
        text (np.ndarray): The text, uint8.
        mark (np.ndarray): MARK letters, with which the string begins; the number of the mask
            follows.
        rest (np.ndarray): Receives the copy; as long as the text.
        points (np.ndarray): Receives all numbers, float64; as long as the text has commas and
            opening brackets.
        lengths (np.ndarray): Receives how many numbers each polygon has; as long as the text has
            opening brackets.
        counts (np.ndarray): Receives how many polygons each mask has; as long as ``lengths``.

    Returns:
        tuple[int, int]: How much of ``rest`` and of ``counts`` is filled.
    """
    place = end = used = polygons = masks = 0
    while place < len(text):
        if text[place] == _OPEN and place and _follows_key(text, place):
            after, now_used, now_polygons = _read_polygons(
                text, place, points, used, lengths, polygons
            )
            if after > 0:
                rest[end] = _QUOTE
                rest[end + 1 : end + 1 + MARK] = mark
                end += MARK + _DIGITS + 1
                number = masks
                for digit in range(_DIGITS):
                    rest[end - 1 - digit] = _ZERO + number % 10
                    number //= 10
                rest[end] = _QUOTE
                end += 1
                counts[masks] = now_polygons - polygons
                masks += 1
                place, used, polygons = after, now_used, now_polygons
                continue
        rest[end] = text[place]
        end += 1
        place += 1
    return end, masks
