import json
import math

import pytest

from mmjoint.paper.results import (
    find_results,
    format_table,
    mean_and_error,
    paired_differences,
)
from mmjoint.paper.rows import evaluate_command, pretrain_command
from mmjoint.paper.tables import TABLES, get_table


def rows_of(table: str, method: str) -> list:
    return [row for row in get_table(table).rows if row.method == method]


def test_paper_numbers():
    """Some cells, read off the paper: a table that is shifted by a row or a column would show."""
    values = {
        (table.name, row.method, row.data, row.variant): row.accuracy
        for table in TABLES
        for row in table.rows
    }
    expected = {
        ('8', 'MoCo v1', '', 'J-Crop(0)'): 782.8,
        ('LeOCLR', 'MoCo v2', '', 'LeOCLR'): None,
        ('1', 'SimCLR', '', 'J-Blur(0)'): 61.40,
        ('1', 'MoCo v1', '', 'J-Crop(0)'): 63.29,
        ('1', 'MoCo v2', '', 'J-Blur(0)'): 67.87,
        ('1', 'MoCo v3', '300 epochs', 'J-Crop(0)'): 73.23,
        ('2', 'BYOL', 'STL-10', 'J-Crop(0)'): 92.28,
        ('2', 'SimSiam', 'Tiny-ImageNet', 'baseline'): 44.17,
        ('3', 'MoCo v2', '', 'J-Crop(0)'): 57.2,
        ('4', 'MoCo v1', '', 'baseline'): 38.5,
        ('5', 'BYOL', '', 'J-Crop(-2)'): 51.02,
        ('5', 'MoCo v2', '', 'J-Crop(1)'): 47.81,
        ('6', 'MoCo v2', '', 'J-Crop(0)'): 57.92,
        ('7', 'MoCo v1', '', 'baseline'): 63.18,
        ('10', 'DINO', '', 'J-Crop(0), local'): 66.58,
        ('11', 'MoCo v1', '', 'ContrastiveCrop'): 58.34,
        ('F', 'MoCo v1', '', 'J-Crop(0) or J-Blur(0)'): 61.24,
        ('4.6', 'InfoMin', '', 'J-Crop(0)'): 67.81,
    }
    assert {key: values.get(key) for key in expected} == expected
    # The gains that the paper prints beside its numbers.
    for (table, method, data, variant), gain in {
        ('1', 'SimCLR', '', 'J-Crop(0)'): 1.46,
        ('1', 'MoCo v1', '', 'J-Blur(0)'): 2.27,
        ('2', 'MoCo v2', 'STL-10', 'J-Crop(0)'): 1.67,
        ('2', 'SimSiam', 'Tiny-ImageNet', 'J-Crop(0)'): 1.56,
    }.items():
        baseline = values[table, method, data, 'baseline']
        assert values[table, method, data, variant] - baseline == pytest.approx(gain)
    # Table 5 repeats the Tiny-ImageNet half of table 2.
    for (table, method, _, variant), value in values.items():
        if table == '5' and variant in ('baseline', 'J-Crop(0)'):
            assert values['2', method, 'Tiny-ImageNet', variant] == value


def test_commands():
    row = rows_of('5', 'SimCLR')[4]
    assert pretrain_command(row) == (
        'bash tools/dist_train.sh configs/simclr/'
        'simclr_resnet18_jointcropm1-4xb128-coslr-500e_tiny-imagenet.py 4'
    )
    assert evaluate_command(row) == (
        'bash tools/dist_train.sh configs/benchmarks/'
        'resnet18_4xb128-linear-steplr-100e_tiny-imagenet.py 4 '
        '--cfg-options model.backbone.init_cfg.checkpoint=CKPT'
    )
    assert pretrain_command(rows_of('1', 'MoCo v3')[0]).startswith('NNODES=2 NODE_RANK=')
    assert evaluate_command(rows_of('3', 'MoCo v1')[0]) == (
        'bash transfer/detectron2/run_voc.sh CKPT 8'
    )


def test_further_numbers_of_detectors():
    """Tables 3 and 4, read off the paper; masks stand first in table 4."""
    voc, coco = rows_of('3', 'MoCo v2')[1], rows_of('4', 'MoCo v1')[1]
    assert (voc.accuracy, voc.more) == (57.2, {'AP50': 82.5, 'AP75': 63.9})
    assert coco.accuracy == 38.9
    assert coco.more == {
        'mask AP': 34.0,
        'mask AP50': 55.3,
        'mask AP75': 36.1,
        'AP50': 58.5,
        'AP75': 42.2,
    }
    text = format_table(get_table('3'), {})
    assert '57.20' in text and 'AP50 82.5, AP75 63.9' in text


def test_rows_that_differ_in_beta_alone(tmp_path):
    table = get_table('blur')
    baseline, row = table.rows[0], table.rows[-1]
    assert baseline.config == row.config and row.beta == 'JointBlur=-2'
    assert pretrain_command(row) == f'{pretrain_command(baseline)} --beta JointBlur=-2'
    for chosen, linear in ((baseline, 30.0), (row, 31.5)):
        folder = tmp_path / chosen.folder / 'seed0'
        folder.mkdir(parents=True)
        result = dict(
            config=chosen.config, beta=chosen.beta, seed=0, linear=linear, scale=dict(x=1)
        )
        (folder / 'result.json').write_text(json.dumps(result))
    text = ' '.join(format_table(table, find_results(tmp_path, table.rows)).split())
    assert 'SimCLR baseline 30.00 1' in text and 'SimCLR J-Blur(-2) 31.50 +1.50 1' in text


def test_unknown_table():
    with pytest.raises(ValueError, match='--table 9: there is no such table; there are 1, 2, 3'):
        get_table('9')


def test_mean_and_error():
    mean, error = mean_and_error([1.0, 2.0, 6.0])
    assert mean == 3.0
    assert error == pytest.approx(math.sqrt((4 + 1 + 9) / 2 / 3))
    assert mean_and_error([5.0]) == (5.0, None)


def test_pairs_are_of_one_seed():
    ours = [dict(seed=0, linear=5.0), dict(seed=2, linear=9.0), dict(seed=None, linear=1.0)]
    theirs = [dict(seed=2, linear=6.0), dict(seed=0, linear=1.0), dict(seed=1, linear=0.0)]
    assert paired_differences(ours, theirs, 'linear') == [4.0, 3.0]
    assert paired_differences(ours, theirs, 'knn') == []


@pytest.fixture
def work_dirs(tmp_path):
    """Reduced runs of two rows with two seeds, of other sizes, and a full-size linear probe."""
    baseline, joint = (rows_of('5', 'SimCLR')[i] for i in (0, 3))

    def reduced(row, seed, linear, epochs=10):
        folder = tmp_path / f'{epochs}/{row.config.rpartition("/")[2]}/seed{seed}'
        folder.mkdir(parents=True)
        result = dict(config=row.config, seed=seed, linear=linear, knn=linear / 2)
        result['scale'] = dict(epochs=epochs, images=None)
        (folder / 'result.json').write_text(json.dumps(result))

    for seed, values in enumerate([(30.0, 31.0), (34.0, 37.0)]):
        reduced(baseline, seed, values[0])
        reduced(joint, seed, values[1])
    reduced(joint, 0, 40.0, epochs=20)

    run = tmp_path / 'probe/20260101_000000/vis_data'
    run.mkdir(parents=True)
    name = joint.config.rpartition('/')[2]
    (run / 'config.py').write_text(
        f"model = dict(backbone=dict(init_cfg=dict(checkpoint='work_dirs/{name}/epoch_500.pth')))\n"
    )
    (run / 'scalars.json').write_text(
        '{"loss": 1.5, "step": 1}\n{"accuracy/top1": 40.0, "step": 1}\n'
        '{"accuracy/top1": 47.25, "step": 2}\n'
        '{"accuracy/top1": 9'  # a run that was killed
    )
    return tmp_path


def test_finds_and_compares(work_dirs):
    table = get_table('5')
    results = find_results(work_dirs, table.rows)
    baseline, joint = (rows_of('5', 'SimCLR')[i].config for i in (0, 3))
    assert [r['linear'] for r in results[baseline]] == [30.0, 34.0]
    assert [r['linear'] for r in results[joint]] == [31.0, 37.0, 40.0, 47.25]
    assert not any(found for config, found in results.items() if config not in (baseline, joint))

    text = ' '.join(format_table(table, results).split())
    # Means 32 and 34, standard errors 2 and 3; differences 1 and 3: mean 2, standard error 1.
    assert 'linear accuracy +- standard error of the mean; reduced: epochs 10' in text
    assert 'SimCLR baseline 32.00 +- 2.00 2' in text
    assert 'SimCLR J-Crop(0) 34.00 +- 3.00 +2.00 +- 1.00 2' in text
    assert 'SimCLR J-Crop(0) 17.00 +- 1.50 +1.00 +- 0.50 2' in text  # kNN
    # Neither the run of another size nor the full-size probe is mixed in.
    assert 'of the mean; reduced: epochs 20 mean difference, paired by seed runs' in text
    assert 'SimCLR J-Crop(0) 40.00 1' in text
    assert 'of the mean; full size mean difference, paired by seed runs' in text
    assert 'SimCLR J-Crop(0) 47.25 1' in text


def test_no_results(tmp_path):
    table = get_table('7')
    text = format_table(table, find_results(tmp_path, table.rows))
    assert 'no results found' in text and '63.80' in text and '+0.62' in text


def test_detectors_take_no_linear_accuracy(tmp_path):
    row = rows_of('3', 'MoCo v1')[0]
    result = dict(config=row.config, seed=0, linear=1.0, knn=1.0, scale=None)
    (tmp_path / 'result.json').write_text(json.dumps(result))
    assert find_results(tmp_path, get_table('3').rows) == {}
    assert len(find_results(tmp_path, get_table('1').rows)[row.config]) == 1


def test_broken_result_file(tmp_path):
    (tmp_path / 'result.json').write_text('{"config": ')
    with pytest.raises(ValueError, match='result.json: not a result of tools/paper.py'):
        find_results(tmp_path, get_table('7').rows)
