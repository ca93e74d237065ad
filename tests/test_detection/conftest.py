import sys
from pathlib import Path

from ..test_transfer.conftest import checkpoints, coco_of, r18, tmp_path  # noqa: F401

sys.path.insert(0, str(Path(__file__).resolve().parent))  # for odd_annotations.py
