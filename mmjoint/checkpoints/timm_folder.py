"""A backbone as a folder that timm and the Hugging Face hub take as it is."""

import json
from pathlib import Path

# Of 0 to 1, RGB: what torchvision, timm and the configs for photos use.
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 224

Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def write_timm_folder(
    folder: Path, weights: bytes, provenance: dict, normalization: Normalization | None
) -> None:
    """Write ``config.json``, ``model.safetensors`` and ``README.md``, the model card.

    ``timm.create_model('local-dir:FOLDER', pretrained=True)`` loads it, and so does
    ``'hf-hub:OWNER/NAME'`` once it is uploaded.

    Args:
        folder (Path): An existing folder.
        weights (bytes): The file of the weights.
        provenance (dict): The origin of the weights, as documented in ``convert``.
        normalization (tuple, optional): Mean and standard deviation of R, G and B, from 0 to 1;
            None if the checkpoint does not tell them, which then are ImageNet's.
    """
    mean, std = normalization or IMAGENET
    name = f'resnet{provenance["depth"]}'
    channels = 2048 if provenance['depth'] >= 50 else 512
    pretrained = dict(
        input_size=[3, SIDE, SIDE],
        interpolation='bilinear',
        crop_pct=0.875,
        mean=list(mean),
        std=list(std),
        num_classes=0,
        pool_size=[SIDE // 32, SIDE // 32],
        first_conv='conv1',
        classifier='fc',
    )
    config = dict(
        architecture=name,
        num_classes=0,
        num_features=channels,
        global_pool='avg',
        pretrained_cfg=pretrained,
    )
    (folder / 'model.safetensors').write_bytes(weights)
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n')
    (folder / 'README.md').write_text(_card(name, channels, provenance, normalization is not None))


def _card(name: str, channels: int, provenance: dict, told: bool) -> str:
    rows = {
        'checkpoint': f'`{provenance["source"]}`',
        'SHA-256 of the checkpoint': f'`{provenance["sha256"]}`',
        'method': provenance['algorithm'],
        'epoch': provenance['epoch'],
        'iteration': provenance['iter'],
        'network': f'the {provenance["which"]} one, under `{provenance["prefix"]}`',
        'converted by': f'mmjoint {provenance["mmjoint"]}',
    }
    table = ''.join(f'| {key} | {value} |\n' for key, value in rows.items() if value is not None)
    source = 'the checkpoint' if told else 'ImageNet: the checkpoint does not tell its own'
    return f"""---
library_name: timm
tags:
- timm
- image-feature-extraction
- self-supervised-learning
pipeline_tag: image-feature-extraction
---

# {name}, pretrained without labels

A backbone without a classifier: {channels} features per image. The normalization in
`config.json` is that of {source}.

```python
import timm

model = timm.create_model('local-dir:FOLDER', pretrained=True)  # or 'hf-hub:OWNER/NAME'
```

| origin | |
|---|---|
{table}
The license, the training data and the accuracy are not known to the program that wrote this page:
fill them in before you publish it.
"""
