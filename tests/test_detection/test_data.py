import json
import statistics
from pathlib import Path

import pytest

from mmjoint.detection.data import (
    data_root,
    format_table,
    make_results,
    summarise,
    write_results,
)


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
