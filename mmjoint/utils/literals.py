"""Reads Python text as data without running it: a value, or a config that mmengine dumped."""

import ast
import math

_LONGEST = 10_000_000
_NUMBERS = {'inf': math.inf, 'nan': math.nan}


def read_assignments(text: str) -> tuple[dict[str, object], list[str]]:
    """Read ``name = value`` lines whose values are literals and ``dict(...)``.

    Args:
        text (str): Text as ``Config.dump`` writes it, or any other text.

    Returns:
        tuple[dict[str, object], list[str]]: The values by name, and one message, with its line
        number, for each part that could not be read as data. An assignment that contains such a
        part is left out as a whole.
    """
    values, unread = {}, []
    try:
        if len(text) > _LONGEST:
            raise ValueError(f'it has {len(text)} characters')
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return {}, [f'the text is not a dumped config ({" ".join(str(error).split())[:80]})']
    for statement in statements:
        try:
            if not isinstance(statement, ast.Assign) or len(statement.targets) > 1:
                raise _NoData(statement)
            target = statement.targets[0]
            if not isinstance(target, ast.Name):
                raise _NoData(statement)
            values[target.id] = _value(statement.value)
        except _NoData as error:
            node = error.args[0]
            unread.append(f'line {node.lineno}: {text.splitlines()[node.lineno - 1].strip()[:60]}')
        except RecursionError:
            unread.append(f'line {statement.lineno}: it is nested too deeply')
    return values, unread


def read_literal(text: str, where: str) -> object:
    """Read one value, such as ``0.5``, ``(0, 1)``, ``None`` or ``'first'``.

    Args:
        text (str): The value; quotes may be left out around a single word.
        where (str): What it belongs to, for the message.

    Raises:
        ValueError: It is neither a literal nor a word.
    """
    if text.isidentifier() and text not in ('None', 'True', 'False', *_NUMBERS):
        return text
    try:
        return _value(ast.parse(text, mode='eval').body)
    except (SyntaxError, ValueError, RecursionError, MemoryError, _NoData):
        raise ValueError(
            f'{where}: {text!r} is not a value such as 0.5, (0, 1), None or a word'
        ) from None


class _NoData(Exception):
    """A part of the text that is neither a literal nor a ``dict(...)``."""


def _value(node: ast.AST) -> object:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_value(key) for key in node.keys if key is not None]
        if all(isinstance(key, str | int | float | None) for key in keys):
            return dict(zip(keys, map(_value, node.values), strict=True))
    if isinstance(node, ast.Name) and node.id in _NUMBERS:
        return _NUMBERS[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand)
        if isinstance(number, int | float):
            return -number
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.Dict):
            return _value(node.args[0])  # names that are not identifiers
        if not node.args and all(keyword.arg for keyword in node.keywords):
            return {keyword.arg: _value(keyword.value) for keyword in node.keywords}
    raise _NoData(node)
