"""Importing the mm stack whatever else is installed, and without the lines that it always prints.

mmpretrain imports all that it has, and with it what other people have installed. Two kinds of fault
come of that, both met here and nowhere else:

- Its multimodal models are imported wherever transformers and pycocotools are installed, and take
  names from transformers that version 5 no longer has: BLIP catches that, goes on with None in
  their place and ends with ``TypeError: NoneType takes no arguments`` (the same names are missed in
  https://github.com/xinyu1205/recognize-anything/issues/219). Contrastive pretraining uses none
  of them, so they are left out, as where those packages are not installed. Who wants them imports
  ``mmpretrain.models`` before mmjoint, which then leaves them alone.
- Other packages are imported where they are there, but only an ``ImportError`` is expected of them.
  One that fails in another way is treated as not installed.

Where a program imports ``mmpretrain.models`` itself, before mmjoint, nothing can be done here.
mmpretrain's own tools do not: they import what the config names.
"""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

_OPTIONAL = ('albumentations', 'mat4py', 'onedl')
_NOISE = ('Could not import OneDL',)


def import_stock() -> None:
    """Import mmpretrain's data sets and models.

    Raises:
        ImportError: What it needs is missing or broken.
    """
    with _quietly(), _only_import_errors():
        if 'mmpretrain.models' not in sys.modules:
            dependency = import_module('mmpretrain.utils.dependency')
            dependency.WITH_MULTIMODAL = False
        file_client = import_module('mmengine.fileio.file_client')
        # All that it logs is that it is deprecated, each time that mmengine itself makes one.
        file_client.print_log = lambda *args, **kwargs: None
        import_module('mmpretrain.datasets')
        import_module('mmpretrain.models')


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()) as said,
    ):
        warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``')
        try:
            yield
        finally:
            lines = [line for line in said.getvalue().splitlines() if line not in _NOISE]
            for line in lines:
                print(line, file=sys.__stdout__)


@contextlib.contextmanager
def _only_import_errors() -> Iterator[None]:
    broken = []
    for name in _OPTIONAL:
        if name in sys.modules or find_spec(name) is None:
            continue
        try:
            import_module(name)
        except Exception:  # a package of somebody else: anything may come
            broken.append(name)
            sys.modules[name] = None  # an import of it is an ImportError now
    try:
        yield
    finally:
        for name in broken:
            del sys.modules[name]
