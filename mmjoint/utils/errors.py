"""One line for what the user can mend, a traceback for what is ours to mend."""

import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

DEBUG_HELP = 'MMJOINT_DEBUG=1 in the environment shows the traceback of an error.'

# What the user gave is wrong, wherever it turns up.
_INPUT_ERRORS = (OSError, ValueError, FloatingPointError)
# What a config's types, keys and arguments give while mmengine builds something from them; anywhere
# else these are bugs.
_BUILD_ERRORS = (KeyError, TypeError, AssertionError, ImportError, RuntimeError)
_BUILDING = re.compile(r'[/\\]mmengine[/\\].*:(build|from_cfg|fromfile|merge|set_randomness)')


def is_input_error(error: Exception) -> bool:
    """Tell an error in the user's input from a bug.

    Args:
        error (Exception): As caught, with its traceback.

    Returns:
        bool: Whether one line suffices: files and values that are wrong, and anything that goes
        wrong while mmengine builds an object from a config.
    """
    # mmengine's data set raises the bare class when no image of the folder can be read.
    if isinstance(error, _INPUT_ERRORS) or type(error) is Exception:
        return True
    return isinstance(error, _BUILD_ERRORS) and any(
        _BUILDING.search(f'{frame.filename}:{frame.name}')
        for frame in traceback.extract_tb(error.__traceback__)
    )


def describe(error: Exception) -> str:
    """Return the message of an error on one line.

    Args:
        error (Exception): One of a data loader's worker too, whose message holds a traceback.

    Returns:
        str: The message, with the type in front where the message says little without it.
    """
    # str() of a KeyError quotes the message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    name = type(error).__name__
    if 'Original Traceback' in text:
        # Of the worker's traceback the part after its last frame: `Type: message`.
        unindented = [i for i, line in enumerate(text.splitlines()) if line[:1].strip()]
        last_frame = max(i for i, line in enumerate(text.splitlines()) if line.startswith('  File'))
        start = next(i for i in unindented if i > last_frame)
        name, _, text = '\n'.join(text.splitlines()[start:]).partition(': ')
    text = ' '.join(text.split())
    plain = isinstance(error, _INPUT_ERRORS) or type(error) is Exception
    return text if text and plain else f'{name}: {text}'


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with ``error: ...`` on stderr and status 1 at an error in the user's input.

    Bugs keep their traceback; so does everything with MMJOINT_DEBUG set. Ctrl-C ends the program
    with status 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get('MMJOINT_DEBUG'):
            raise
        _end('interrupted', 130)
    except Exception as error:
        if os.environ.get('MMJOINT_DEBUG') or not is_input_error(error):
            raise
        _end(f'error: {describe(error)}', 1)


def _end(message: str, status: int) -> NoReturn:
    if 'RANK' not in os.environ:
        print(message, file=sys.stderr)
        sys.exit(status)
    if os.environ['RANK'] == '0':
        print(message, file=sys.stderr)
    elif status != 130:
        # Mostly all processes meet the same error. The launcher ends this one as soon as the first
        # has ended; what this one alone has met is still said.
        time.sleep(3)
        print(f'{message} (process {os.environ["RANK"]})', file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    # An ordinary exit can wait for the other processes, and they for this one.
    os._exit(status)
