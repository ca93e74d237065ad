import json
import sys
from pathlib import Path

import numpy as np
import pytest
from loading_benchmark import benchmark_decoders, decoders, measure_growth
from PIL import Image


@pytest.fixture(scope='module')
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for i in range(4):
        image = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
        image.resize((120, 97)).save(folder / f'{i}.jpg')
    image.save(folder / 'a.png')
    return folder


def test_decoders_and_their_pixels(photos):
    """Pillow is the judge of which decoders give the reference's pixels."""
    files = sorted(map(str, photos.iterdir()))
    result = benchmark_decoders(files, seconds=0)
    assert result['photos'] == 4 and result['rounds'] == 3
    assert set(result['decoders']) == set(decoders())
    for name, row in result['decoders'].items():
        low, high = row['times_opencv']['quartiles']
        assert 0 < low <= row['times_opencv']['median'] <= high
        if '1/2' in name:
            assert row['pixels'] is None
        elif 'fast' in name:
            assert row['pixels']['identical'] < 4 and row['pixels']['psnr'] > 20
        else:
            assert row['pixels'] == dict(identical=4, largest=0, psnr=None)
    for name, decode in decoders().items():
        image = decode((photos / '0.jpg').read_bytes())[..., :: -1 if 'RGB' not in name else 1]
        want = np.asarray(Image.open(photos / '0.jpg'))
        if '1/2' not in name:
            assert np.abs(image.astype(int) - want).mean() < 10, name


def test_no_jpeg_is_an_error(photos):
    with pytest.raises(ValueError, match='at least one JPEG'):
        benchmark_decoders([str(photos / 'a.png')])


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_growth_of_memory(tmp_path):
    """At its peak a data set holds at least its file; a worker shares what is held."""
    row = measure_growth('annotation file', 100_000, tmp_path)
    assert all(value >= 0 for value in row.values())
    assert row['peak_mb'] > (tmp_path / 'meta/train.txt').stat().st_size / 1e6
    assert row['worker_mb'] < 3
    with pytest.raises(ValueError, match='kind'):
        measure_growth('tape', 10, tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_tool(photos, tmp_path, run_tool):
    out = tmp_path / 'out.json'
    args = ['--photos', photos, '--seconds', 0, '--entries', 3000, '--json', out]
    status, text, err = run_tool('benchmarks/loading.py', *args)
    assert status == 0, err
    result = json.loads(out.read_text())
    assert [row['kind'] for row in result['growth']] == ['annotation file', 'folder', 'shards']
    assert all(name in text for name in result['decoders']['decoders'])
    status, _, err = run_tool('benchmarks/loading.py', '--json', tmp_path / 'none/out.json')
    assert status == 1 and 'none' in err.splitlines()[-1]


def test_made_up_data_sets_have_so_many_entries(tmp_path):
    import loading_benchmark
    from mmpretrain.registry import DATASETS

    for name in ('_make_annotation_file', '_make_folder', '_make_shards'):
        folder = tmp_path / name
        folder.mkdir()
        dataset = DATASETS.build(getattr(loading_benchmark, name)(folder, 4321))
        assert len(dataset) == 4321
        assert dataset.get_data_info(4320)['img_path'].endswith(('4320.JPEG', '4320.jpeg'))
