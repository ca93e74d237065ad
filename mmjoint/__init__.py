"""Joint augmentation of positive pairs for contrastive pretraining on mmpretrain.

Importing this package registers everything that a config can name, so a config only needs
``custom_imports = dict(imports=['mmjoint'])``. Where the mm stack is not installed, for example in
an environment that only converts checkpoints, ``mmjoint.distributions`` and ``mmjoint.checkpoints``
still work.
"""

import warnings
from importlib.util import find_spec

from .distributions import JointDistribution
from .version import __version__

__all__ = [
    'DINO',
    'HorizontalFlip',
    'InfoMin',
    'JigsawPatches',
    'JointBlur',
    'JointChoice',
    'JointColor',
    'JointCrop',
    'JointDistribution',
    'JointErasing',
    'JointFlip',
    'JointGray',
    'JointParams',
    'JointQuantity',
    'JointRotation',
    'JointSolarize',
    'JointTransform',
    'JointView',
    'LeOCLR',
    'LoadImage',
    'LoadSemanticBox',
    'PairTransform',
    'PerView',
    'Solarization',
    'ToGray',
    '__version__',
]

# System libraries that OpenCV's wheel links against and that slim images lack.
_OPENCV_LIBRARIES = ('libGL', 'libglib', 'libgthread', 'libxcb')

_missing = [name for name in ('mmengine', 'mmcv', 'mmpretrain') if find_spec(name) is None]
_HELP = (
    f'{", ".join(_missing)} not installed, so mmjoint registers no transform, data set, model or '
    "hook: pip install 'mmjoint[mm]', or OpenMMLab's own mmengine, mmcv and mmpretrain"
)

if _missing:
    warnings.warn(_HELP, stacklevel=2)
else:
    try:
        from .stock_imports import import_stock

        import_stock()
        from . import datasets, engine, hooks, models  # noqa: F401
        from .engine import optimizers  # noqa: F401
        from .models import DINO, InfoMin, LeOCLR
        from .transforms import (
            HorizontalFlip,
            JigsawPatches,
            JointBlur,
            JointChoice,
            JointColor,
            JointCrop,
            JointErasing,
            JointFlip,
            JointGray,
            JointParams,
            JointQuantity,
            JointRotation,
            JointSolarize,
            JointTransform,
            JointView,
            LoadImage,
            LoadSemanticBox,
            PairTransform,
            PerView,
            Solarization,
            ToGray,
        )
    except ImportError as _error:
        if not any(library in str(_error) for library in _OPENCV_LIBRARIES):
            raise
        raise ImportError(
            f'OpenCV, which mmcv needs, lacks a system library ({_error}): on Debian and Ubuntu, '
            'apt-get install libgl1 libglib2.0-0'
        ) from _error


def __getattr__(name: str) -> object:
    if _missing and (
        name in __all__ or name in ('datasets', 'engine', 'hooks', 'models', 'transforms')
    ):
        raise ImportError(_HELP)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
