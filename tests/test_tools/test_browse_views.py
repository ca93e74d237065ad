"""tools/browse_views.py: the page, and one line for bad input."""

import os
import re
import shutil

import pytest


def lines(err: str) -> list[str]:
    return [line for line in err.splitlines() if re.match('error|warning: left', line)]


def test_page(pretrain_config, run_tool, tmp_path):
    arguments = ['--num-photos', 2, '--num-pairs', 50, '--beta', 'None', '-1.5']
    status, out, err = run_tool('browse_views.py', pretrain_config, '--out', 'a.html', *arguments)
    assert status == 0, err
    page = (tmp_path / 'a.html').read_text()
    assert 'a.html: 0.' in out and page.count('<img') == 2 * (1 + 2 * 2)
    assert '−1.5</label>' in page and 'Pairs of tiny' in page
    again = run_tool('browse_views.py', pretrain_config, '--out', 'b.html', *arguments)
    assert again[0] == 0 and (tmp_path / 'b.html').read_text() == page


def test_photos_of_a_folder_with_broken_ones(pretrain_config, image_folder, run_tool, tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    photo = (image_folder / 'class_0/0.png').read_bytes()
    (folder / 'a.png').write_bytes(photo)
    (folder / 'b.png').write_bytes(photo[:300])
    (folder / 'c.png').write_bytes(b'')
    status, _, err = run_tool(
        'browse_views.py', pretrain_config, '--out', 'a.html', '--images', 'photos', '--beta', '0'
    )
    assert status == 0, err
    (line,) = lines(err)
    assert re.search(r'left out broken image .*photos/[bc].png.* and 1 more', line)
    assert (tmp_path / 'a.html').read_text().count('<img') == 3


def test_names_that_are_no_text(pretrain_config, image_folder, run_tool, tmp_path):
    folder = tmp_path / os.fsdecode(b'caf\xe9')
    folder.mkdir()
    shutil.copy(image_folder / 'class_0/0.png', folder / os.fsdecode(b'a\xe9.png'))
    (folder / os.fsdecode(b'b\xe9.png')).write_bytes(b'')
    page = os.fsdecode(b'p\xe9.html')
    arguments = ['--out', page, '--images', folder, '--beta', '0', '--num-pairs', 50]
    status, out, err = run_tool('browse_views.py', pretrain_config, *arguments)
    assert status == 0 and out.startswith(f'{page}: 0.'), err
    (line,) = lines(err)
    assert 'left out broken image' in line and 'b\udce9.png' in line
    text = (tmp_path / page).read_bytes().decode()
    assert text.count('<img') == 3 and r'a\udce9.png' in text


@pytest.mark.parametrize(
    'arguments,message',
    [
        (['--images', 'nowhere'], 'nowhere: no such folder of images'),
        (['--images', 'empty'], 'empty: no image in it'),
        (['--images', 'broken'], 'no photo can be read, of 1; the first: .*broken/a.png'),
        (['--out', 'nowhere/a.html'], 'cannot write nowhere/a.html: there is no folder nowhere'),
        (['--out', 'empty'], 'cannot write empty: it is a folder'),
        (['--beta', 'JointBlur=0'], 'the views hold no JointBlur'),
        (['--beta', 'nan'], 'beta must be finite'),
        (['--num-photos', '0'], 'num_photos must be at least 1, got 0'),
        (
            ['--cfg-options', 'train_dataloader.dataset.pipeline.1.type=PackInputs'],
            'makes no views: it holds no JointView',
        ),
    ],
)
def test_bad_input(pretrain_config, run_tool, tmp_path, arguments, message):
    for name in ('empty', 'broken'):
        (tmp_path / name).mkdir()
    (tmp_path / 'broken/a.png').write_bytes(b'\x89PNG')
    (tmp_path / 'a.html').write_text('an earlier page')
    before = sorted(path.name for path in tmp_path.iterdir())
    status, out, err = run_tool('browse_views.py', pretrain_config, '--out', 'a.html', *arguments)
    assert status == 1 and out == ''
    (line,) = lines(err)
    assert re.search(message, line), line
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / 'a.html').read_text() == 'an earlier page'


def test_replay(pretrain_config, run_tool, tmp_path):
    arguments = ['--num-pairs', 50, '--replay', '1:5', '0:class_1/3.png']
    status, _, err = run_tool('browse_views.py', pretrain_config, '--out', 'a.html', *arguments)
    assert status == 0, err
    page = (tmp_path / 'a.html').read_text()
    assert page.count('<img') == 2 * (1 + 2)
    # sorted by name, as strings: 3.png is the tenth of 16
    assert 'draw 1:5<' in page and '3.png, draw 0:25<' in page
    other = [*arguments, '--seed', 1]
    assert run_tool('browse_views.py', pretrain_config, '--out', 'b.html', *other)[0] == 0
    assert (tmp_path / 'b.html').read_text() != page


@pytest.mark.parametrize(
    'arguments,message',
    [
        (['--replay', '0:99'], 'the data set has 48 images'),
        (['--replay', '0:1', '--beta', '0'], '--replay shows what a run drew'),
        (['--replay', '0:1', '--images', 'x'], '--images|no such folder'),
        (['--replay', '0:1', '--cfg-options', 'randomness.seed=None'], 'has no randomness.seed'),
    ],
)
def test_replay_that_cannot_be(pretrain_config, run_tool, tmp_path, arguments, message):
    status, _, err = run_tool('browse_views.py', pretrain_config, '--out', 'a.html', *arguments)
    assert status == 1 and re.search(message, lines(err)[0]), err
    assert not (tmp_path / 'a.html').exists()


def test_a_config_without_views(probe_config, run_tool, tmp_path):
    status, _, err = run_tool('browse_views.py', probe_config, '--out', 'a.html')
    (line,) = lines(err)
    assert status == 1 and 'the training pipeline makes no views' in line and 'probe.py' in line
    assert not (tmp_path / 'a.html').exists()
