import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from mmjoint.detection.data import (
    check_coco,
    check_voc,
    data_root,
    format_table,
    make_results,
    summarise,
    write_results,
)

MINI_VOC_SPLITS = ('VOC2007/trainval', 'VOC2007/test')


@pytest.fixture
def voc(tmp_path):
    """A whole VOCdevkit of one image a split."""
    for year, split, image in (
        ('VOC2007', 'trainval', '000005'),
        ('VOC2012', 'trainval', '2008_000002'),
        ('VOC2007', 'test', '000001'),
    ):
        for folder in ('ImageSets/Main', 'Annotations', 'JPEGImages'):
            (tmp_path / year / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / year / 'ImageSets/Main' / f'{split}.txt').write_text(f'{image}\n')
        (tmp_path / year / 'Annotations' / f'{image}.xml').write_text('<annotation/>')
        (tmp_path / year / 'JPEGImages' / f'{image}.jpg').write_bytes(b'')
    return tmp_path


@pytest.fixture
def coco(tmp_path):
    """A whole COCO folder of one image a split."""
    (tmp_path / 'annotations').mkdir()
    for split, image in (('train2017', '000000000009.jpg'), ('val2017', '000000000139.jpg')):
        (tmp_path / split).mkdir()
        (tmp_path / split / image).write_bytes(b'')
        content = {'images': [{'id': 1, 'file_name': image}], 'annotations': [], 'categories': []}
        (tmp_path / f'annotations/instances_{split}.json').write_text(json.dumps(content))
    return tmp_path


def test_whole_data_sets_pass(voc, tmp_path):
    check_voc(voc)
    check_voc(str(voc))


@pytest.mark.parametrize(
    'missing',
    [
        'VOC2007/ImageSets/Main/trainval.txt',
        'VOC2007/ImageSets/Main/test.txt',
        'VOC2012/ImageSets/Main/trainval.txt',
        'VOC2007/Annotations/000005.xml',
        'VOC2007/JPEGImages/000001.jpg',
        'VOC2012/JPEGImages/2008_000002.jpg',
    ],
)
def test_first_missing_file_of_voc_is_named(voc, missing):
    (voc / missing).unlink()
    with pytest.raises(FileNotFoundError) as error:
        check_voc(voc)
    assert str(error.value).startswith(f'{voc / missing}: no such file')
    assert '--voc-root' in str(error.value)


def test_missing_folder_and_empty_list_of_voc(voc):
    (voc / 'VOC2007/ImageSets/Main/test.txt').write_text('\n')
    with pytest.raises(ValueError, match=r'test\.txt: lists no image'):
        check_voc(voc)
    shutil.rmtree(voc / 'VOC2012/JPEGImages')
    with pytest.raises(FileNotFoundError, match='VOC2012/JPEGImages: no such folder'):
        check_voc(voc)
    with pytest.raises(FileNotFoundError, match=r'absent/VOC2007/ImageSets/Main/trainval\.txt'):
        check_voc(voc / 'absent')


def test_whole_coco_passes(coco):
    check_coco(coco)


@pytest.mark.parametrize(
    'missing',
    [
        'annotations/instances_train2017.json',
        'annotations/instances_val2017.json',
        'train2017/000000000009.jpg',
        'val2017/000000000139.jpg',
    ],
)
def test_first_missing_file_of_coco_is_named(coco, missing):
    (coco / missing).unlink()
    with pytest.raises(FileNotFoundError) as error:
        check_coco(coco)
    assert str(error.value).startswith(f'{coco / missing}: no such file')
    assert '--coco-root' in str(error.value)


@pytest.mark.parametrize('content', ['{"images": [{"file', '[]', '{"annotations": []}', '\0'])
def test_damaged_annotations_of_coco_are_named(coco, content):
    (coco / 'annotations/instances_val2017.json').write_text(content)
    with pytest.raises(ValueError, match=r'instances_val2017\.json: not a whole COCO annotation'):
        check_coco(coco)


def test_folders_and_annotations_of_coco(coco):
    shutil.rmtree(coco / 'val2017')
    with pytest.raises(FileNotFoundError, match='val2017: no such folder'):
        check_coco(coco)
    (coco / 'annotations/instances_train2017.json').write_text('{"images": []}')
    with pytest.raises(ValueError, match=r'instances_train2017\.json: has no image'):
        check_coco(coco)


def test_real_small_data_sets_pass(shared_data):
    check_voc(shared_data / 'voc_mini', MINI_VOC_SPLITS)
    check_coco(shared_data / 'coco_mini')
    with pytest.raises(FileNotFoundError, match='VOC2012'):
        check_voc(shared_data / 'voc_mini')


def test_where_data_are_looked_for(monkeypatch):
    monkeypatch.delenv('DETECTRON2_DATASETS', raising=False)
    assert data_root('voc') == Path('datasets')
    assert data_root('coco') == Path('datasets/coco')
    monkeypatch.setenv('DETECTRON2_DATASETS', '~/sets')
    assert data_root('voc') == Path.home() / 'sets'
    assert data_root('coco') == Path.home() / 'sets/coco'
    assert data_root('voc', '/data/VOCdevkit') == Path('/data/VOCdevkit')
    assert data_root('coco', '~/coco') == Path.home() / 'coco'
    with pytest.raises(ValueError, match="task is 'lvis'"):
        data_root('lvis')


def trial(seed, ap, kinds=('bbox',)):
    return {'seed': seed} | {
        kind: {'AP': ap + i, 'AP50': ap + 20 + i, 'AP75': ap + 5 + i}
        for i, kind in enumerate(kinds)
    }


def test_mean_and_standard_deviation():
    values = [40.0, 41.0, 43.5]
    mean, std = summarise([trial(seed, value) for seed, value in enumerate(values)])
    assert mean['bbox']['AP'] == pytest.approx(statistics.mean(values))
    assert std['bbox']['AP'] == pytest.approx(statistics.stdev(values))
    assert mean['bbox']['AP50'] == pytest.approx(statistics.mean(values) + 20)
    assert 'segm' not in mean
    assert summarise([trial(0, 40.0)]) == ({'bbox': trial(0, 40.0)['bbox']}, None)


def test_metrics_that_were_not_computed():
    trials = [trial(0, 40.0), trial(1, 42.0)]
    trials[1]['bbox']['AP75'] = float('nan')
    mean, std = summarise(trials)
    assert (mean['bbox']['AP75'], std['bbox']['AP75']) == (None, None)
    assert mean['bbox']['AP'] == 41.0


def test_trials_that_do_not_belong_together():
    with pytest.raises(ValueError, match='no trial'):
        summarise([])
    with pytest.raises(ValueError, match='seed 1.*bbox and segm'):
        summarise([trial(0, 40.0, ('bbox', 'segm')), trial(1, 40.0)])
    incomplete = trial(1, 40.0)
    del incomplete['bbox']['AP75']
    with pytest.raises(ValueError, match='seed 1.*AP, AP50, AP75'):
        summarise([trial(0, 40.0), incomplete])
    with pytest.raises(ValueError, match='seed 3 has no bbox'):
        summarise([{'seed': 3}])


def results(init='random', aps=(56.74,), kinds=('bbox',), **changes):
    trials = [trial(seed, ap, kinds) for seed, ap in enumerate(aps)]
    return (
        make_results('detectron2', 'voc', 'configs/voc_R50_C4.yaml', init, None, trials) | changes
    )


def test_written_file(tmp_path):
    path = tmp_path / 'new' / 'results.json'
    broken = trial(1, 50.0)
    broken['bbox']['AP'] = float('nan')
    written = make_results(
        'mmdet', 'coco', 'c4.py', 'a.pth', {'sha256': '00'}, [trial(0, 1), broken]
    )
    write_results(path, written)
    read = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert set(read) == {
        'engine', 'task', 'config', 'init', 'weights', 'trials', 'mean', 'std',
    }  # fmt: skip
    assert read['trials'][1]['bbox']['AP'] is None
    assert read['trials'][0] == written['trials'][0]
    assert read['weights'] == {'sha256': '00'}
    assert [file.name for file in path.parent.iterdir()] == ['results.json']


def test_what_was_written_before_survives_a_failure(tmp_path):
    path = tmp_path / 'results.json'
    write_results(path, results())
    before = path.read_text()
    with pytest.raises(TypeError):
        write_results(path, results(config=object()))
    assert path.read_text() == before


def test_table_has_the_papers_columns():
    one, several = format_table([results()]), format_table([results('a.pth', (56.0, 57.0, 58.0))])
    header, _, row = [[cell.strip() for cell in line.split('|')[1:-1]] for line in one.splitlines()]
    assert header == ['config', 'init', 'trials', 'AP', 'AP50', 'AP75']
    assert row == ['voc_R50_C4', 'random', '1', '56.7', '76.7', '61.7']
    assert several.splitlines()[2].split('|')[4].strip() == '57.0 ± 1.0'

    coco = format_table([results(task='coco', kinds=('bbox', 'segm'))])
    header, _, row = [
        [cell.strip() for cell in line.split('|')[1:-1]] for line in coco.splitlines()
    ]
    assert header[3:] == ['mask AP', 'mask AP50', 'mask AP75', 'box AP', 'box AP50', 'box AP75']
    assert row[3:] == ['57.7', '77.7', '62.7', '56.7', '76.7', '61.7']


def test_table_shows_what_was_not_computed():
    row = format_table([results(aps=(float('nan'),))]).splitlines()[2]
    assert [cell.strip() for cell in row.split('|')[4:-1]] == ['-', '-', '-']


def test_engines_are_not_mixed_in_a_table():
    with pytest.raises(ValueError, match='one engine; these are of detectron2, mmdet'):
        format_table([results(), results(engine='mmdet')])
    with pytest.raises(ValueError, match='one task'):
        format_table([results(), results(task='coco')])
    with pytest.raises(ValueError, match='none'):
        format_table([])


def test_torch_is_not_needed():
    program = (
        'import sys\n'
        'for name in ("torch", "mmengine", "mmcv", "mmpretrain"): sys.modules[name] = None\n'
        'import importlib.util as util\n'
        'spec = util.spec_from_file_location("detection", sys.argv[1])\n'
        'spec.loader.exec_module(util.module_from_spec(spec))\n'
    )
    file = Path(sys.modules[check_voc.__module__].__file__)
    done = subprocess.run(
        [sys.executable, '-c', program, str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
