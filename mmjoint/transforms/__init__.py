"""Joint augmentations and the view pipeline in which they run."""

from .base import JointParams, JointQuantity, JointTransform, PairTransform
from .horizontal_flip import HorizontalFlip
from .jigsaw import JigsawPatches
from .joint_blur import BlurParams, JointBlur
from .joint_color import ColorParams, JointColor
from .joint_crop import CropParams, JointCrop
from .joint_erasing import ErasingParams, JointErasing
from .joint_flip import FlipParams, JointFlip
from .joint_gray import GrayParams, JointGray
from .joint_rotation import JointRotation, RotationParams
from .joint_solarize import JointSolarize, SolarizeParams
from .joint_view import JointChoice, JointView, PerView
from .load_image import LoadImage
from .semantic_box import LoadSemanticBox
from .solarization import Solarization
from .to_gray import ToGray

__all__ = [
    'BlurParams',
    'ColorParams',
    'CropParams',
    'ErasingParams',
    'FlipParams',
    'GrayParams',
    'HorizontalFlip',
    'JigsawPatches',
    'JointBlur',
    'JointChoice',
    'JointColor',
    'JointCrop',
    'JointErasing',
    'JointFlip',
    'JointGray',
    'JointParams',
    'JointQuantity',
    'JointRotation',
    'JointSolarize',
    'JointTransform',
    'JointView',
    'LoadImage',
    'LoadSemanticBox',
    'PairTransform',
    'PerView',
    'RotationParams',
    'Solarization',
    'SolarizeParams',
    'ToGray',
]
