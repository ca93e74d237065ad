"""tools/report.py on small work directories, and what it says to bad ones."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config


@pytest.fixture
def work_dirs(pretrain_config: Path, tmp_path: Path) -> list[Path]:
    """Two runs' folders, with logs and configs; the second differs in beta."""
    folders = []
    for name, beta in (('baseline', None), ('joint', 0)):
        vis_data = tmp_path / 'runs' / name / '20260101_000000/vis_data'
        vis_data.mkdir(parents=True)
        rows = [dict(step=s, loss=3.5 - s / 100, time=0.1) for s in range(1, 13)]
        (vis_data / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)) + '\n')
        text = pretrain_config.read_text().replace('scale=32)', f'scale=32, beta={beta})')
        (tmp_path / f'{name}.py').write_text(text)
        Config.fromfile(tmp_path / f'{name}.py').dump(vis_data / 'config.py')
        folders.append(tmp_path / 'runs' / name)
    return folders


def test_two_runs(run_tool, work_dirs, tmp_path):
    status, out, err = run_tool('report.py', *work_dirs, '--out', 'page.html', '--pairs', 2)
    assert status == 0, err
    page = (tmp_path / 'page.html').read_text()
    assert page.count('<img') == 4 and page.count('<svg') == 1
    assert 'train_dataloader.dataset.pipeline.1.transforms.0.0.beta' in page
    assert '3.3800' in page and 'baseline' in page and 'wrote page.html' in out


def test_what_is_missing_is_said(run_tool, work_dirs, image_folder, tmp_path):
    # Images that are gone, images that are broken, and a t-SNE without a checkpoint.
    broken = tmp_path / 'broken'
    broken.mkdir()
    (broken / 'a.png').write_bytes(b'no picture')
    for folder, images in zip(work_dirs, (tmp_path / 'gone', broken), strict=True):
        config = folder / '20260101_000000/vis_data/config.py'
        config.write_text(config.read_text().replace(str(image_folder), str(images)))
    status, out, err = run_tool('report.py', *work_dirs, '--out', 'page.html', '--tsne')
    assert status == 0, err
    page = (tmp_path / 'page.html').read_text()
    assert '<img' not in page
    lines = out.splitlines()
    assert any(line.startswith('baseline: no pairs:') and 'gone' in line for line in lines)
    assert any(line.startswith('joint: no pairs:') and 'a.png' in line for line in lines)
    assert sum(line.partition(': ')[2].startswith('no t-SNE: ') for line in lines) == 2
    assert page.count('no pairs:') == 2 and page.count('no t-SNE:') == 2


def test_bad_input(run_tool, work_dirs, tmp_path):
    empty = tmp_path / 'empty'
    empty.mkdir()
    (tmp_path / 'folder.html').mkdir()
    for args, words in (
        ((empty, '--out', 'page.html'), ['empty', 'no loss was logged']),
        ((tmp_path / 'none', '--out', 'page.html'), ['none: no such work directory']),
        ((*work_dirs, '--out', 'nowhere/page.html'), ['cannot write nowhere/page.html']),
        ((*work_dirs, '--out', 'folder.html'), ['cannot write folder.html', 'folder']),
        ((work_dirs[0], work_dirs[0], '--out', 'page.html'), ['named twice']),
    ):
        status, _, err = run_tool('report.py', *args)
        assert status == 1
        error = err.splitlines()[-1]
        assert error.startswith('error: ') and 'Traceback' not in err
        assert all(word in error for word in words), error
        assert not list(tmp_path.glob('page.html*')) and not (tmp_path / 'nowhere').exists()
    status, _, err = run_tool('report.py', *work_dirs, '--out', 'p.html', '--names', 'one')
    assert status == 2 and '1 --names for 2 work directories' in err


def test_code_in_a_sent_folder_is_not_run(run_tool, work_dirs, tmp_path):
    first, second = (folder / '20260101_000000/vis_data/config.py' for folder in work_dirs)
    first.write_text(first.read_text() + f'\nopen({str(tmp_path / "ran")!r}, "w")\n')
    second.write_text(second.read_text().replace("type='JointCrop'", "type='os.system'"))
    status, out, err = run_tool('report.py', *work_dirs, '--out', 'page.html')
    assert status == 0, err
    assert 'baseline: ' in out and 'not read, as no data: line ' in out
    assert 'joint: no pairs: ' in out and "'os.system' is not a class of a registry" in out
    assert not (tmp_path / 'ran').exists()
