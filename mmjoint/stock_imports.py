"""Imports the mm stack whatever else is installed, and without the lines that it always prints.

mmpretrain imports all of its parts, and with them third-party packages if they are installed. This
causes two kinds of faults, which are handled here and nowhere else:

- mmpretrain's multimodal models are imported wherever transformers and pycocotools are installed.
  They import names that transformers 5 no longer has: BLIP catches the error, continues with None
  in their place and ends with ``TypeError: NoneType takes no arguments`` (the same names are
  missing in
  https://github.com/xinyu1205/recognize-anything/issues/219). Contrastive pretraining uses none of
  these models, so they are left out, as they are where those packages are not installed. To use
  them, import ``mmpretrain.models`` before mmjoint, which then leaves them alone.
- Other third-party packages are imported if they are installed, but mmpretrain expects only an
  ``ImportError``. A package whose import fails in another way is treated as not installed.

Where a program itself imports ``mmpretrain.models`` before mmjoint, these faults cannot be
prevented here. mmpretrain's own tools do not do that: they import what the config names.
"""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .utils.noise import quiet_logger

_OPTIONAL = ('albumentations', 'mat4py', 'onedl')
_NOISE = ('Could not import OneDL',)


def import_stock() -> None:
    """Import mmpretrain's data sets and models.

    Raises:
        ImportError: A package that mmpretrain needs is missing or broken.
    """
    with _quietly(), _only_import_errors():
        if 'mmpretrain.models' not in sys.modules:
            dependency: Any = import_module('mmpretrain.utils.dependency')
            dependency.WITH_MULTIMODAL = False
        file_client: Any = import_module('mmengine.fileio.file_client')
        # mmengine itself triggers this deprecation warning each time it makes such an object.
        file_client.print_log = lambda *args, **kwargs: None
        if find_spec('mmdet') is not None:  # which mmpretrain imports
            quiet_logger(import_module('mmengine.logging').MMLogger.get_current_instance())
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
        except Exception:  # a third-party package: it may raise anything
            broken.append(name)
            # Importing it raises ImportError from now on.
            sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in broken:
            del sys.modules[name]
