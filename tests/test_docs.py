"""The documentation names what there is."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_every_room_is_in_the_api_reference():
    """Each page shows a room with all its modules."""
    pages = (ROOT / 'docs/reference').glob('*.md')
    shown = {
        name
        for page in pages
        for name in re.findall(r'^::: mmjoint\.(\S+)$', page.read_text(), flags=re.MULTILINE)
    }
    rooms = {path.parent.name for path in (ROOT / 'mmjoint').glob('*/__init__.py')}
    assert shown == rooms | {'distributions', 'pair_distributions'}


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / 'mkdocs.yml').read_text()
    for page in (ROOT / 'docs').rglob('*.md'):
        assert f': {page.relative_to(ROOT / "docs").as_posix()}\n' in navigation, page


@pytest.mark.parametrize(
    'page', ['README.md', 'docs/contributing.md', 'configs/README.md', 'transfer/README.md']
)
def test_named_files_exist(page):
    """Paths in backquotes below a folder of the repository, without placeholders."""
    text = (ROOT / page).read_text()
    folders = ('configs', 'docs', 'mmjoint', 'tests', 'tools', 'transfer')
    paths = re.findall(rf'`((?:{"|".join(folders)})/[\w./-]+)`', text)
    assert paths
    missing = [p for p in paths if 'NAME' not in p and not (ROOT / p).exists()]
    assert missing == []
