"""What the tests of the detectron2 engine share."""

import importlib.util
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

ENGINE = Path(__file__).resolve().parents[2] / 'transfer/detectron2'
needs_detectron2 = pytest.mark.skipif(
    find_spec('detectron2.modeling' if find_spec('detectron2') else 'detectron2') is None,
    reason='detectron2 is not installed (transfer/README.md says how to build it)',
)


def load(name: str) -> ModuleType:
    """Import a file of the engine; the other engines have files of the same names."""
    sys.path.insert(0, str(ENGINE))
    try:
        spec = importlib.util.spec_from_file_location(f'detectron2_{name}', ENGINE / f'{name}.py')
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ENGINE))
    return module
