"""The metafiles of the configs, in OpenMMLab's format: what ``mim search`` shows of them.

Their numbers are the paper's (``tables.py``) or those of our own small runs; the name of each
metric says which. They name no weights, since none are published.
"""

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from .rows import Row
from .tables import TABLES, VARIANTS

# The folder of a method below configs: its name, and where it was published.
METHODS = {
    'byol': ('BYOL', '2006.07733'),
    'dino': ('DINO', '2104.14294'),
    'infomin': ('InfoMin', '2005.10243'),
    'leoclr': ('LeOCLR', '2403.06813'),
    'mocov1': ('MoCo v1', '1911.05722'),
    'mocov2': ('MoCo v2', '2003.04297'),
    'mocov3': ('MoCo v3', '2104.02057'),
    'simclr': ('SimCLR', '2002.05709'),
    'simsiam': ('SimSiam', '2011.10566'),
    'swav': ('SwAV', '2006.09882'),
}
PAPER = 'arXiv 2412.16522'
# Our own numbers: kNN and linear accuracy after the 6 epochs of the quick start, seed 0.
OURS = {
    'simclr/simclr_resnet18_1xb32-coslr-10e_scenes': (45.4, 50.0),
    'simclr/simclr_resnet18_jointcrop0-1xb32-coslr-10e_scenes': (46.5, 46.3),
}
# The ends of configs' names, and the data.
DATA = {
    'coco': 'COCO',
    'folder': 'a folder of images',
    'in100': 'ImageNet-100',
    'in1k': 'ImageNet-1K',
    'scenes': 'the embedded scenes',
    'stl10': 'STL-10',
    'tiny-imagenet': 'Tiny-ImageNet',
}
ARCHITECTURES = {'resnet18': 'ResNet-18', 'resnet50': 'ResNet-50', 'vit-small': 'ViT-S'}
_NAME = re.compile(
    r'(?P<method>\w+)_(?P<architecture>resnet\d+|vit-small)_(?:(?P<variant>[a-z\d-]+?)-)?'
    r'(?P<gpus>\d+)xb(?P<batch>\d+)-.*?(?P<epochs>\d+)e_(?P<data>[\w-]+)'
)
_HEADER = '# Made by `python tools/paper.py --metafiles`.\n'


def metafiles(root: Path) -> dict[str, str]:
    """Make the metafile of each method, and the index that names them.

    Args:
        root (Path): The folder of ``configs``.

    Returns:
        dict[str, str]: The texts by their paths below ``root``.

    Raises:
        ValueError: A config has a name that does not follow mm's pattern.
    """
    texts = {}
    for folder, (method, paper) in METHODS.items():
        names = sorted(path.stem for path in (root / 'configs' / folder).glob('*.py'))
        content = {
            'Collections': [
                {
                    'Name': method,
                    'Paper': f'https://arxiv.org/abs/{paper}',
                    'README': 'configs/README.md',
                }
            ],
            'Models': [_model(folder, method, name) for name in names],
        }
        texts[f'configs/{folder}/metafile.yml'] = _HEADER + _yaml(content)
    texts['model-index.yml'] = _HEADER + _yaml({'Import': sorted(texts)})
    return texts


def _yaml(content: dict) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _model(folder: str, method: str, name: str) -> dict[str, Any]:
    match = _NAME.fullmatch(name)
    if match is None or match['variant'] not in (None, *VARIANTS):
        raise ValueError(
            f'configs/{folder}/{name}.py: the name does not say what it trains; variants are named '
            'in mmjoint/paper/tables.py'
        )
    facts = {
        'Architecture': ARCHITECTURES[match['architecture']],
        'Epochs': int(match['epochs']),
        'Batch Size': int(match['gpus']) * int(match['batch']),
        'Training Data': DATA[match['data']],
    }
    if match['variant']:
        facts['Variant'] = VARIANTS[match['variant']]
    model: dict[str, Any] = {'Name': name, 'Metadata': facts, 'In Collection': method}
    model['Config'] = f'configs/{folder}/{name}.py'
    results = _results(f'{folder}/{name}')
    if results:
        model['Results'] = results
    return model


def _results(config: str) -> list[dict[str, Any]]:
    """Return the numbers of a config, one for each data set and measure."""
    found = {
        _place(row): row.accuracy
        for table in TABLES
        for row in table.rows
        if row.config == config and row.accuracy is not None and 'linear' in table.metrics
    }
    results: list[dict[str, Any]] = [
        {'Task': task, 'Dataset': data, 'Metrics': {f'{metric} ({PAPER})': value}}
        for (task, data, metric), value in found.items()
    ]
    if config in OURS:
        knn, linear = OURS[config]
        place = '(ours, docs/model_zoo.md)'
        metrics = {f'kNN Accuracy {place}': knn, f'Top 1 Accuracy {place}': linear}
        task = 'Image Classification'
        results.append({'Task': task, 'Dataset': DATA['scenes'], 'Metrics': metrics})
    return results


def _place(row: Row) -> tuple[str, str, str]:
    """Return the task, the data set and the measure of a row."""
    if row.probe.endswith('.sh'):
        data = {'run_voc.sh': 'PASCAL VOC', 'run_coco.sh': 'COCO'}[row.probe]
        return 'Object Detection', data, 'box AP'
    return 'Image Classification', DATA[row.probe.rpartition('_')[2]], 'Top 1 Accuracy'
