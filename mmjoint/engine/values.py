"""Reads values of a command line as mm's command lines write them."""

import re
from typing import Any

from ..utils.literals import read_assignments

_NUMBER = re.compile(r'[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)', re.IGNORECASE)
_WORDS = {'None': None, 'True': True, 'true': True, 'False': False, 'false': False}
_CLOSING = {'(': ')', '[': ']', '{': '}'}


def parse_value(text: str) -> Any:
    """Read a value as mm's command lines write them; spaces inside text are kept.

    Args:
        text (str): A number, True, False, None or text; a list ``a,b`` or ``[a,b]``; a tuple
            ``(a,b)``; or settings as a config writes them, ``dict(type='X')`` or ``{...}``. Quotes
            turn anything into text.

    Returns:
        Any: The value. No part of the text is executed.

    Raises:
        ValueError: Brackets do not match.
    """
    text = text.strip()
    if text.startswith(('{', 'dict(')):
        values, unread = read_assignments(f'value = {text}')
        if unread:
            raise ValueError(
                f'{text}: settings are written as in a config, dict(type="X", interval=5)'
            )
        return values['value']
    if text[:1] in ('[', '('):
        split_list(text)  # raises if the brackets do not match
    if text[:1] in ('[', '(') and text.endswith(_CLOSING[text[0]]):
        items = [parse_value(part) for part in split_list(strip_brackets(text))]
        return tuple(items) if text[0] == '(' else items
    if unquote(text) != text:
        return unquote(text)
    if ',' in text and (parts := split_list(text)) != [text]:
        return [parse_value(part) for part in parts]
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r'[+-]?\d+', text) else float(text)
    return text


def unquote(text: str) -> str:
    """Remove a pair of quotes around a text, if there is one."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '\'"'
    return text[1:-1] if quoted and text[0] not in text[1:-1] else text


def strip_brackets(text: str) -> str:
    """Remove the brackets of a list or tuple, if there are any."""
    text = text.strip()
    return text[1:-1] if text[:1] in ('[', '(') and text.endswith(_CLOSING[text[0]]) else text


def split_list(text: str) -> list[str]:
    """Split at the commas outside of brackets and quotes."""
    parts, expected, quote, start = [], [], '', 0
    for i, char in enumerate(text):
        if quote:
            quote = '' if char == quote else quote
        elif char in '\'"' and not text[start:i].strip() and char in text[i + 1 :]:
            quote = char
        elif char in _CLOSING:
            expected.append(_CLOSING[char])
        elif char in _CLOSING.values():
            if not expected or expected.pop() != char:
                raise ValueError(f'{text}: brackets do not match')
        elif char == ',' and not expected:
            parts.append(text[start:i].strip())
            start = i + 1
    if expected:
        raise ValueError(f'{text}: brackets do not match')
    rest = text[start:].strip()
    return [*parts, rest] if rest else parts
