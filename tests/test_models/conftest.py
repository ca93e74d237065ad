from collections.abc import Iterator

import pytest
from mmengine.registry import DefaultScope


@pytest.fixture(autouse=True)
def scope() -> Iterator[None]:
    """Build as the tools do, in the scope that every config names."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield
