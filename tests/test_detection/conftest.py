from ..test_transfer.conftest import checkpoints, coco_of, r18, tmp_path  # noqa: F401
