"""The report page and the curves it reads."""

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from mmjoint.visualization import read_scalars, write_report


def write_log(folder, start: str, rows: list[dict]):
    path = folder / start / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))


def test_curves_of_a_resumed_run_join(tmp_path):
    write_log(tmp_path, '20260101_000000', [dict(loss=9 - s, step=s) for s in (1, 2, 3, 4)])
    write_log(tmp_path, '20260101_000100', [dict(loss=0.5, step=3), dict(accuracy=1.0, step=3)])
    assert read_scalars(tmp_path) == ([1, 2, 3], [8, 7, 0.5])
    assert read_scalars(tmp_path, 'accuracy') == ([3], [1.0])
    with pytest.raises(FileNotFoundError, match='no lr'):
        read_scalars(tmp_path, 'lr')


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.sources, self.tags = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ('src', 'href') and value]


def test_the_page_holds_everything_itself(tmp_path):
    picture = np.zeros((20, 30, 3), np.uint8)
    path = tmp_path / 'out/report.html'
    write_report(
        path,
        title='A <run> & another',
        note='read this first',
        facts={'images': 'some'},
        losses={'one': ([1, 2], [3.0, 2.0]), 'two': ([1, 2], [3.0, 1.0])},
        table=[{'run': 'one', 'kNN': '12.3 %'}, {'run': 'two', 'kNN': ''}],
        pairs={'one': [picture, picture], 'two': [picture]},
    )
    page = path.read_text()
    links = Links(page)
    assert links.tags.count('img') == 3 and links.tags.count('svg') == 1
    assert all(source.startswith(('data:image/', '#')) for source in links.sources)
    assert 'A &lt;run&gt; &amp; another' in page and '12.3 %' in page
    assert list(path.parent.iterdir()) == [path]
