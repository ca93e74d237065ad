"""The studies: their runs, their files and their page."""

import json
from pathlib import Path

import pytest

from mmjoint.paper.evidence import judge_study, write_page
from mmjoint.paper.studies import (
    STUDIES,
    cells_of,
    get_study,
    read_results,
    run_study,
    write_results,
)

EVIDENCE = Path(__file__).resolve().parents[2] / 'docs/evidence'


def results(gains: list[float]) -> dict:
    """Make a study's results with given linear gains of JointCrop(0) and none of kNN."""
    runs = []
    for seed, gain in enumerate(gains):
        for setting, more in (('JointCrop=0', gain), ('baseline', 0.0)):
            knn = 30 + more * seed - 2 * seed
            run = dict(setting=setting, seed=seed, linear=40.0 + seed + more, knn=knn)
            runs.append(run | dict(last_loss=5.0, seconds=60, iterations=36))
    scale = dict(epochs=1, batch_size=256, size=64, width=16)
    return dict(study='simclr-tiny', config='simclr/x', scale=scale, runs=runs)


def test_cells_are_paired_and_the_longest_comparison_comes_first():
    cells = cells_of(get_study('simclr-imagenette'), Path('runs'))
    named = [(cell.row.variant, cell.seed) for cell in cells]
    assert len(named) == len(set(named)) == 24
    assert named[:4] == [('baseline', 0), ('JointCrop=0', 0), ('baseline', 1), ('JointCrop=0', 1)]
    assert {name for name, _ in named[:16]} == {'baseline', 'JointCrop=0'}
    assert [cell.row.beta for cell in cells[:2]] == ['', 'JointCrop=0']
    assert cells[1].folder == Path('runs/JointCrop=0/seed0')


def test_page(tmp_path):
    found = results([0.5, 1.2, -0.3, 0.8, 0.9, 0.1, 1.5, 0.4])
    verdict = judge_study(found)['JointCrop=0', 'linear']
    assert verdict.mean == pytest.approx(0.6375)
    write_results(tmp_path / 'simclr-tiny.json', found)
    assert read_results(tmp_path / 'simclr-tiny.json') == found
    page = write_page(tmp_path)
    assert page == (tmp_path / 'README.md').read_text()
    assert '| JointCrop=0 | 8 | +0.64 [+0.15, +1.13] |' in page and '| supported |' in page
    assert '<svg' in (tmp_path / 'simclr-tiny.svg').read_text()


def test_differences_that_are_all_equal_give_a_page_without_a_verdict(tmp_path):
    write_results(tmp_path / 'simclr-tiny.json', results([1.0, 1.0, 1.0]))
    page = write_page(tmp_path)
    assert 'supported |' not in page and '| JointCrop=0 | 3 | 42.00 ± 0.58 |' in page


def test_quick_starts_are_compared_by_seed(tmp_path):
    write_results(tmp_path / 'simclr-tiny.json', results([0.5, 1.2, -0.3]))
    for seed, (ours, theirs) in enumerate([(50.0, 49.0), (52.0, 49.0), (51.0, 49.0)]):
        runs = {
            kind: dict(knn=40.0, linear=linear)
            for kind, linear in dict(random=28.0, baseline=theirs, jointcrop0=ours).items()
        }
        for kind, ap in dict(random=5.0, jointcrop0=9.0 + seed).items():
            runs[kind]['detection'] = dict(AP=ap, AP50=20.0)
        content = dict(runs=runs, epochs=8, seed=seed)
        (tmp_path / f'quickstart-{seed}.json').write_text(json.dumps(content))
    page = write_page(tmp_path)
    # Differences 1, 3, 2: mean 2, standard error 1 / sqrt(3).
    row = '28.00 ± 0.00 | 49.00 ± 0.00 | 51.00 ± 0.58 | +1.0, +3.0, +2.0 | 2.00 ± 0.58 |'
    assert f'| linear, % | {row}' in page and 'box AP |' not in page
    assert '5.00 ± 0.00 and 10.00 ± 0.58; by seed 5.0 and 9.0, 5.0 and 10.0, 5.0 and 11.0.' in page


def test_the_committed_page_is_made_from_the_committed_results(tmp_path):
    for path in EVIDENCE.glob('*.json'):  # the studies', and the quick starts'
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert write_page(tmp_path) == (EVIDENCE / 'README.md').read_text()


@pytest.mark.parametrize('study', STUDIES, ids=lambda study: study.name)
def test_committed_results_are_of_the_study(study):
    """Every run is one of the study's, is there once, and has the study's size."""
    path = EVIDENCE / f'{study.name}.json'
    if not path.is_file():
        pytest.skip('has not been run')
    found = read_results(path)
    runs = [(run['setting'], run['seed']) for run in found['runs']]
    assert len(runs) == len(set(runs))
    assert set(runs) <= {(cell.row.variant, cell.seed) for cell in cells_of(study, Path())}
    assert found['scale'] | study.size == found['scale']
    assert found['config'] == study.config and found['scale']['data_root'] == study.data


def test_wrong_input(tmp_path):
    with pytest.raises(ValueError, match='--study x: there is no such study; there are simclr-im'):
        get_study('x')
    with pytest.raises(ValueError, match='holds no results of a study'):
        write_page(tmp_path)
    for text in ('{', '[]', json.dumps(dict(study='simclr-tiny', runs=[dict(seed=0)]))):
        (tmp_path / 'simclr-tiny.json').write_text(text)
        with pytest.raises(ValueError, match=r'simclr-tiny\.json: not the results of a study'):
            read_results(tmp_path / 'simclr-tiny.json')
    (tmp_path / 'other/train/a').mkdir(parents=True)
    (tmp_path / 'other/val/a').mkdir(parents=True)
    with pytest.raises(ValueError, match='--data-root .*other: the study simclr-tiny is of'):
        run_study(tmp_path, get_study('simclr-tiny'), str(tmp_path / 'other'), tmp_path, tmp_path)
