"""The metafiles of the configs are what the tables say, and nothing is left out."""

import re
from pathlib import Path

import pytest
import yaml

from mmjoint.paper.metafiles import OURS, metafiles

ROOT = Path(__file__).resolve().parents[2]


def test_metafiles_are_up_to_date():
    """`python tools/paper.py --metafiles` writes them."""
    texts = metafiles(ROOT)
    assert len(texts) == 11
    for name, text in texts.items():
        assert (ROOT / name).read_text() == text, name


def test_every_method_and_config_is_in_the_index():
    named = set()
    for path in yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']:
        for model in yaml.safe_load((ROOT / path).read_text())['Models']:
            assert 'Weights' not in model  # none are published
            named.add(model['Config'])
    configs = {str(path.relative_to(ROOT)) for path in (ROOT / 'configs').glob('[!_]*/*.py')}
    assert named == {c for c in configs if not c.startswith('configs/benchmarks/')}


def test_numbers_say_whose_they_are():
    """Table 1 of the paper: MoCo v2 with J-Blur(0), and table 3: its AP with J-Crop(0)."""
    models = yaml.safe_load((ROOT / 'configs/mocov2/metafile.yml').read_text())['Models']
    by_name = {model['Name']: model for model in models}
    blur = by_name['mocov2_resnet50_jointblur0-8xb32-coslr-200e_in1k']
    (result,) = blur['Results']
    assert result['Metrics'] == {'Top 1 Accuracy (arXiv 2412.16522)': 67.87}
    assert blur['Metadata']['Batch Size'] == 256 and blur['Metadata']['Epochs'] == 200
    crop = by_name['mocov2_resnet50_jointcrop0-8xb32-coslr-200e_in1k']
    voc = [r for r in crop['Results'] if r['Dataset'] == 'PASCAL VOC']
    assert voc[0]['Metrics'] == {'box AP (arXiv 2412.16522)': 57.2}
    assert 'Results' not in by_name['mocov2_resnet18_1xb256-coslr-10e_scenes']


def test_our_numbers_are_those_of_the_model_zoo():
    page = (ROOT / 'docs/model_zoo.md').read_text()
    for config, (knn, linear) in OURS.items():
        assert f'`{config.partition("/")[2]}`' in page
        assert re.search(rf'\| kNN.* {knn} / ', page) and re.search(rf'\| linear.* {linear} ', page)


def test_a_name_without_a_pattern_is_refused(tmp_path):
    (tmp_path / 'configs/byol').mkdir(parents=True)
    (tmp_path / 'configs/byol/mine.py').write_text('')
    with pytest.raises(ValueError, match=r'configs/byol/mine.py: the name does not say'):
        metafiles(tmp_path)
