"""Print detectron2's own names and shapes, against which the converter is tested everywhere.

Needs detectron2 (transfer/README.md says how to build it). From the repository's root:

    python tests/test_transfer/print_detectron2_names.py tests/test_transfer/data
"""

import argparse
import json
from pathlib import Path

from detectron2 import model_zoo
from detectron2.modeling import build_model

MODELS = {
    'detectron2_r50_c4': 'COCO-InstanceSegmentation/mask_rcnn_R_50_C4_1x.yaml',
    'detectron2_r50_fpn': 'COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml',
}


def names_and_shapes(config: str) -> dict[str, list[int]]:
    """Build a model of detectron2's zoo, with BN that is trained, and list its weights.

    Args:
        config (str): The zoo's name of the config.

    Returns:
        dict[str, list[int]]: The shape of every weight and buffer, by name.
    """
    cfg = model_zoo.get_config(config)
    cfg.MODEL.DEVICE = 'cpu'
    cfg.MODEL.RESNETS.NORM = 'BN'
    return {name: list(value.shape) for name, value in build_model(cfg).state_dict().items()}


def main() -> None:
    """Write one JSON file a model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='where the JSON files go')
    folder = parser.parse_args().folder
    for name, config in MODELS.items():
        lines = [
            f'  {json.dumps(key)}: {json.dumps(shape)}'
            for key, shape in names_and_shapes(config).items()
        ]
        path = folder / f'{name}.json'
        path.write_text('{\n' + ',\n'.join(lines) + '\n}\n')
        print(f'{path}: {len(lines)} weights')


if __name__ == '__main__':
    main()
