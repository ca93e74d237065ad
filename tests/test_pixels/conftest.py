from ..test_transforms.conftest import each_way, images  # noqa: F401
