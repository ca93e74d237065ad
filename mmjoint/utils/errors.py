"""Errors of the user's input end in one line; bugs end in a traceback."""

import io
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

DEBUG_HELP = 'MMJOINT_DEBUG=1 in the environment shows the traceback of an error.'

# The user's input is wrong, wherever that is noticed; or the machine has too little of something.
_INPUT_ERRORS = (OSError, ValueError, FloatingPointError, MemoryError)
# Types, keys and arguments of a config raise these while mmengine builds an object from them;
# anywhere else they are bugs.
_BUILD_ERRORS = (
    KeyError,
    TypeError,
    AssertionError,
    ImportError,
    RuntimeError,
    AttributeError,
    IndexError,
    ZeroDivisionError,
)
_BUILDING = re.compile(r'[/\\]mmengine[/\\].*:(build|from_cfg|fromfile|merge|set_randomness)')
# A key that is missing in a config.
_LOOKING_UP = re.compile(r'[/\\]mmengine[/\\]config[/\\]config\.py:(__missing__|__getattr__)$')
# Errors that torch raises when the machine, not the program, is at fault.
_MACHINE = re.compile(
    r'DataLoader worker \(pid.*(killed by signal|exited unexpectedly)|out of memory|'
    r"can't allocate memory|not enough memory|PytorchStreamWriter failed|EADDRINUSE"
)
_KILLED = (
    'a data loader worker was killed, as the system does when memory runs out: take fewer '
    'train_dataloader.num_workers or a smaller batch_size'
)
# Packages that a part of mmjoint needs, and how to install them.
_PACKAGES = {
    **dict.fromkeys(('mmengine', 'mmcv', 'mmpretrain'), "pip install 'mmjoint[mm]'"),
    'mmdet': 'bash transfer/mmdet/install.sh',
    'detectron2': 'see transfer/README.md',
    **dict.fromkeys(('pycocotools', 'safetensors'), "pip install 'mmjoint[transfer]'"),
    'webdataset': "pip install 'mmjoint[shards]'",
    'sklearn': "pip install 'mmjoint[embedding]'",
    'tensorboard': "pip install 'mmjoint[tensorboard]'",
    **dict.fromkeys(('numba', 'simplejpeg'), "pip install 'mmjoint[fast]'"),
    **dict.fromkeys(('torch', 'torchvision', 'PIL', 'matplotlib', 'jinja2'), 'pip install mmjoint'),
    **dict.fromkeys(('albumentations', 'kornia', 'lightly'), "pip install 'mmjoint[bench]'"),
}


def is_input_error(error: Exception) -> bool:
    """Tell whether an error is caused by the user's input or the machine, and not by a bug.

    Args:
        error (Exception): The caught error, with its traceback.

    Returns:
        bool: Whether one line suffices: files and values that are wrong, keys that a config lacks,
            packages that are not installed, a machine whose memory or disk is full, and everything
            that fails while mmengine builds an object from a config.
    """
    # mmengine's data set raises the bare class if no image of the folder can be read.
    if isinstance(error, _INPUT_ERRORS) or type(error) is Exception:
        return True
    if _missing_package(error):
        return True
    if isinstance(error, RuntimeError) and _MACHINE.search(str(error)):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    places = [f'{frame.filename}:{frame.name}' for frame in frames]
    if isinstance(error, KeyError | AttributeError) and places:
        if _LOOKING_UP.search(places[-1]):
            return True
    return isinstance(error, _BUILD_ERRORS) and any(map(_BUILDING.search, places))


def _missing_package(error: Exception) -> str:
    """Return the name of a missing package for which mmjoint has an installation hint."""
    name = (getattr(error, 'name', None) or '').split('.')[0]
    return name if isinstance(error, ModuleNotFoundError) and name in _PACKAGES else ''


def describe(error: Exception) -> str:
    """Return the message of an error on one line.

    Args:
        error (Exception): The error; it may come from a data loader's worker, with a traceback in
            its message.

    Returns:
        str: The message, preceded by the error's type if the message alone says too little.
    """
    package = _missing_package(error)
    if package:
        return f'{package}, which this needs, is not installed: {_PACKAGES[package]}'
    # str() of a KeyError quotes the message.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    name = type(error).__name__
    if 'Original Traceback' in text:
        # The part of a worker's traceback after its last frame: `Type: message`.
        unindented = [i for i, line in enumerate(text.splitlines()) if line[:1].strip()]
        last_frame = max(i for i, line in enumerate(text.splitlines()) if line.startswith('  File'))
        start = next(i for i in unindented if i > last_frame)
        name, _, text = '\n'.join(text.splitlines()[start:]).partition(': ')
    text = ' '.join(text.split())
    if text.startswith('DataLoader worker') and _MACHINE.search(text):
        return text if 'shared memory' in text else f'{_KILLED} ({text.rstrip(". ")})'
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, KeyError | AttributeError) and frames:
        last = frames[-1]
        if _LOOKING_UP.search(f'{last.filename}:{last.name}'):
            key = re.sub(r".*no attribute '(.*)'$", r'\1', text)
            asked = list(traceback.walk_tb(error.__traceback__))[-1][0].f_locals.get('self')
            held = ', '.join(map(str, asked)) if isinstance(asked, dict) else ''
            return f'the config lacks the key {key!r}' + (f', beside {held}' if held else '')
    if not text and frames:  # an assertion without a message: its source line says most
        last = frames[-1]
        text = f'{last.line} ({os.path.basename(last.filename)}, line {last.lineno})'
    plain = isinstance(error, _INPUT_ERRORS) or type(error) is Exception
    return text if text and plain else f'{name}: {text}'


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with ``error: ...`` on stderr and status 1 at an error in the user's input.

    Bugs keep their traceback, and so does every error if MMJOINT_DEBUG is set. Ctrl-C ends the
    program with status 130.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name of a file need not be valid text
        sys.stdout.reconfigure(errors='backslashreplace')
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
        # Usually all processes meet the same error, and the launcher ends this one as soon as the
        # first has ended. An error that only this process has met is still reported.
        time.sleep(3)
        print(f'{message} (process {os.environ["RANK"]})', file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    # An ordinary exit can wait for the other processes, and they for this one.
    os._exit(status)
