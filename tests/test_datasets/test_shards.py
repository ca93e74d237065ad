"""WebDatasetShards against the folder that the shards were made of and webdataset's own reader."""

import gc
import gzip
import logging
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mmengine.dataset import DefaultSampler
from mmengine.logging import MMLogger
from mmpretrain.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from mmjoint.datasets import write_shards

webdataset = pytest.importorskip('webdataset')
LOAD = [dict(type='LoadImage', on_error='raise')]


def shards(paths: object, **kwargs: object):
    return DATASETS.build({'type': 'WebDatasetShards', 'shards': paths, 'pipeline': LOAD, **kwargs})


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> Path:
    """25 noise images of three classes, of several formats, sizes and kinds of names."""
    root = tmp_path_factory.mktemp('images')
    rng = np.random.default_rng(0)
    for i in range(25):
        path = root / f'class {i % 3}' / f'a.b #{i}{(".JPEG", ".png")[i % 2]}'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8)).save(path)
    return root


@pytest.fixture(scope='module')
def written(folder, tmp_path_factory) -> Path:
    shards = tmp_path_factory.mktemp('written') / 'shards'
    assert write_shards(folder, shards, 10, with_label=True) == (25, 3)
    return shards


@pytest.fixture
def made(written, tmp_path) -> Path:
    """Shards of 10, 10 and 5 of these images."""
    return Path(shutil.copytree(written, tmp_path / 'shards'))


@pytest.mark.filterwarnings('error::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.parametrize('room', [0, 5000])
def test_a_full_disk_leaves_nothing(folder, tmp_path, full_disk, room):
    out = tmp_path / 'shards'
    with full_disk(room), pytest.raises(OSError, match=f'cannot write {out}: File too large'):
        write_shards(folder, out, 10, with_label=True)
    gc.collect()  # what a file that is left open would still write
    assert list(tmp_path.iterdir()) == []


def test_same_images_and_labels_as_the_folder(folder, made):
    a = shards(str(made / '{000000..000002}.tar'), with_label=True)
    b = DATASETS.build(
        dict(type='ImageFolder', data_root=str(folder), with_label=True, pipeline=LOAD)
    )
    assert len(a) == len(b) == 25
    for x, y in zip((a[i] for i in range(25)), (b[i] for i in range(25)), strict=True):
        np.testing.assert_array_equal(x['img'], y['img'])
        assert (x['gt_label'], x['sample_idx']) == (y['gt_label'], y['sample_idx'])
    assert a.get_data_info(-1) == a.get_data_info(24)


def test_same_bytes_as_webdataset_reads(made):
    ours = shards('*.tar', data_root=str(made), with_label=True)
    theirs = webdataset.WebDataset(
        [str(path) for path in sorted(made.glob('*.tar'))], shardshuffle=False, empty_check=False
    )
    from mmengine import fileio

    count = 0
    for i, sample in enumerate(theirs):
        info = ours.get_data_info(i)
        (image,) = (sample[key] for key in ('jpeg', 'png') if key in sample)
        assert fileio.get(info['img_path']) == image
        assert info['gt_label'] == int(sample['cls'])
        count += 1
    assert count == len(ours)


def test_stock_loading_transform(made):
    a = shards('*.tar', data_root=str(made))
    b = shards('*.tar', data_root=str(made), pipeline=[dict(type='LoadImageFromFile')])
    for i in range(25):
        np.testing.assert_array_equal(a[i]['img'], b[i]['img'])
    assert 'gt_label' not in a[0]


def test_tars_that_tar_makes(folder, tmp_path):
    """With folders in them, long names, and files before the images."""
    source = tmp_path / 'source' / ('x' * 90) / ('y' * 90)
    source.mkdir(parents=True)
    for i, path in enumerate(sorted(folder.rglob('*.png'))):
        shutil.copy(path, source / f'{i}.PNG')
        (source / f'{i}.json').write_text('{}')
    for form in ('gnu', 'pax'):
        tar = tmp_path / f'{form}.tar'
        command = ['tar', f'--format={form}', '--sort=name', '-cf', tar, '-C', source.parents[1]]
        subprocess.run([*command, '.'], check=True)
        dataset = shards(str(tar))
        for i, path in enumerate(sorted(source.glob('*.PNG'))):
            want = np.asarray(Image.open(path))[..., ::-1]
            np.testing.assert_array_equal(dataset[i]['img'], want)
        assert len(dataset) == i + 1


@pytest.mark.parametrize('processes', [1, 2, 3, 4])
def test_each_image_once_an_epoch(made, monkeypatch, processes):
    """Of shards that are uneven: all processes take as many steps, with workers too."""
    dataset = shards('*.tar', data_root=str(made))
    dataset.pipeline = lambda info: info['sample_idx']
    seen, orders = [], []
    for epoch in range(2):
        parts = []
        for rank in range(processes):
            module = 'mmengine.dataset.sampler.get_dist_info'
            monkeypatch.setattr(module, lambda rank=rank: (rank, processes))
            sampler = DefaultSampler(dataset, seed=3)
            sampler.set_epoch(epoch)
            loader = DataLoader(dataset, 2, sampler=sampler, num_workers=2 * (rank == 0))
            parts.append([int(i) for batch in loader for i in batch])
        assert len({len(part) for part in parts}) == 1
        seen = Counter(i for part in parts for i in part)
        assert set(seen) == set(range(25)) and seen.total() == -(-25 // processes) * processes
        orders.append(parts)
    assert orders[0] != orders[1]


def test_subset_and_repeated_shard(made):
    whole = shards('*.tar', data_root=str(made))
    assert len(shards('*.tar', data_root=str(made), indices=12)) == 12
    part = shards('*.tar', data_root=str(made), indices=[3, 17, -1])
    for i, j in enumerate([3, 17, 24]):
        np.testing.assert_array_equal(part[i]['img'], whole[j]['img'])
    assert len(whole.get_subset([1, 2])) == 2


def test_index_is_made_once_and_again_if_old(made):
    index = made / '000000.idx'
    text = index.read_text()
    assert text.startswith('v1.2 10\ncls 512 1 ')
    index.unlink()
    shards('*.tar', data_root=str(made))
    assert index.read_text() == text and not list(made.glob('*.partial'))
    index.write_text(text.replace('.jpeg', '.renamed'))
    assert 'renamed' in shards('*.tar', data_root=str(made)).get_data_info(0)['img_path']
    os.utime(index, (0, 0))
    assert 'renamed' not in shards('*.tar', data_root=str(made)).get_data_info(0)['img_path']
    index.write_text('something else\n')
    with pytest.raises(ValueError, match='000000.idx: not an index .* delete it'):
        shards('*.tar', data_root=str(made))


def test_index_that_cannot_be_written(made, tmp_path):
    (made / '000001.idx').unlink()
    (made / '000001.idx').mkdir()
    log = tmp_path / 'run.log'
    MMLogger.get_instance('shards_test', log_file=str(log), log_level=logging.WARNING)
    assert len(shards('*.tar', data_root=str(made))) == 25
    assert re.search('cannot write .*000001.idx', log.read_text())


@pytest.mark.parametrize('fault', ['head', 'file', 'end mark', 'empty', 'foreign', 'gz', 'middle'])
def test_damaged_tar_is_named(made, fault):
    tar = made / '000002.tar'
    data = tar.read_bytes()
    for index in made.glob('*.idx'):
        index.unlink()
    end = len(data.rstrip(b'\0')) // 512 * 512 + 512
    tar.write_bytes(
        {
            'head': data[:5000],
            'file': data[: end - 700],
            'end mark': data[:end],
            'empty': b'',
            'foreign': b'no tar' * 1000,
            'gz': gzip.compress(data),
            'middle': data[: end - 2048] + b'\1' * 1024 + data[end - 1024 :],
        }[fault]
    )
    with pytest.raises(ValueError, match='000002.tar: (truncated|damaged)'):
        shards('*.tar', data_root=str(made))
    assert not (made / '000002.idx').exists()


def test_tar_cut_after_its_index(made):
    dataset = shards('*.tar', data_root=str(made))
    tar = made / '000002.tar'
    facts = tar.stat()
    os.truncate(tar, 2000)
    with pytest.raises(OSError, match='000002.tar: truncated'):
        dataset[24]
    assert dataset[0]['img'].size
    os.utime(tar, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    with pytest.raises(ValueError, match='000002.tar: truncated'):
        shards('*.tar', data_root=str(made))


def write(path: Path, *samples: dict) -> str:
    with webdataset.TarWriter(str(path), encoder=False) as writer:
        for i, sample in enumerate(samples):
            writer.write({'__key__': str(i), **sample})
    return str(path)


def test_samples_that_lack_something(tmp_path):
    with pytest.raises(ValueError, match='a.tar: 0.txt .* without an image'):
        shards(write(tmp_path / 'a.tar', dict(txt=b'a')))
    with pytest.raises(ValueError, match='b.tar: 0.png .* without a cls'):
        shards(write(tmp_path / 'b.tar', dict(png=b'a')), with_label=True)
    with pytest.raises(ValueError, match="c.tar: 0.cls holds b'cat'"):
        shards(write(tmp_path / 'c.tar', dict(png=b'', cls=b'cat')), with_label=True)[0]
    with pytest.raises(ValueError, match='d.tar: no sample'):
        shards(write(tmp_path / 'd.tar'))
    dataset = shards(write(tmp_path / 'e.tar', {'seg.png': b'', 'webp': b'', '__meta__': 'x'}))
    assert dataset.get_data_info(0)['img_path'].endswith('e.tar#0.webp')


def test_samples_without_an_image_are_left_out_and_told(tmp_path):
    """As img2dataset leaves the JSON of a download that failed; labels stay with their images."""
    log = tmp_path / 'run.log'
    MMLogger.get_instance('lacking_test', log_file=str(log), log_level=logging.WARNING)
    samples = [
        dict(jpg=b'', cls=b'%d' % i, json=b'{}') if i % 5 else dict(json=b'{}', cls=b'%d' % i)
        for i in range(20)
    ]
    paths = [write(tmp_path / f'{k}.tar', *samples[k::2]) for k in range(2)]
    dataset = shards(paths, with_label=True, pipeline=[])
    labels = [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
    assert labels == [i for k in range(2) for i in range(k, 20, 2) if i % 5]
    assert [dataset.get_data_info(i)['sample_idx'] for i in range(16)] == list(range(16))
    text = log.read_text()
    assert '0.tar: 0.' in text and '4 such samples of 20 are left out' in text
    for i in (7, 9, 12):
        del samples[i]['jpg' if i == 12 else 'cls']
    with pytest.raises(ValueError, match='0.tar: .* without a cls, one of 2 such samples'):
        shards([write(tmp_path / '0.tar', *samples)], with_label=True)


def test_names_with_underscores_are_images_and_those_of_meta_files_not(tmp_path):
    folder = tmp_path / 'photos'
    for name in ('__a.png', 'b/__c.png', '__d/e.png', '__f__.png', 'g.h.png'):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8, 8)).save(folder / name)
    assert write_shards(folder, tmp_path / 'out') == (5, 1)
    dataset = shards('*.tar', data_root=str(tmp_path / 'out'))
    assert len(dataset) == 5 and all(dataset[i]['img'].shape == (8, 8, 3) for i in range(5))
    theirs = webdataset.WebDataset(str(tmp_path / 'out/000000.tar'), shardshuffle=False)
    assert len(list(theirs)) == 5


@pytest.mark.parametrize('damage', ['jpeg 512', 'x\ny', '\0', ' '])
def test_damaged_index_is_named_with_its_line(made, damage):
    index = made / '000001.idx'
    lines = index.read_text().splitlines()
    lines[4] = damage
    index.write_text('\n'.join(lines) + '\n')
    message = '000001.idx: (line 5 is damaged|not an index of version).*delete'
    with pytest.raises(ValueError, match=message):
        shards('*.tar', data_root=str(made))


def test_wrong_arguments(made, folder, tmp_path):
    with pytest.raises(FileNotFoundError, match='000003.tar'):
        shards(str(made / '{000000..000003}.tar'))
    with pytest.raises(FileNotFoundError, match=r'x\*.tar'):
        shards('x*.tar', data_root=str(made))
    with pytest.raises(FileNotFoundError, match='empty list'):
        shards([])
    with pytest.raises(ValueError, match='serialize_data'):
        shards('*.tar', data_root=str(made), serialize_data=True)
    with pytest.raises(FileExistsError, match='shards'):
        write_shards(folder, made)
    with pytest.raises(ValueError, match='images_per_shard'):
        write_shards(folder, tmp_path / 'new', 0)
    twins = tmp_path / 'twins'
    twins.mkdir()
    for name in ('a.png', 'a.jpg'):
        Image.new('RGB', (8, 8)).save(twins / name)
    with pytest.raises(ValueError, match='a.png: another image'):
        write_shards(twins, tmp_path / 'new')
    assert not (tmp_path / 'new').exists()


def test_tool(folder, tmp_path, run_tool):
    status, out, err = run_tool('make_shards.py', folder, 'out', '--images-per-shard', 20)
    assert status == 0, err
    assert '25 images in 2 shards' in out
    assert len(shards('*.tar', data_root=str(tmp_path / 'out'))) == 25
    status, _, err = run_tool('make_shards.py', folder, 'out')
    assert status == 1 and 'exists already' in err.splitlines()[-1]
