"""SDF: how difficult the pairs of a config are for a trained model."""

import copy
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.utils import ProgressBar
from mmpretrain.models import BaseSelfSupervisor, SwAVNeck
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..checkpoints import load_backbone
from ..models.dino_head import DINONeck
from ..transforms import JointView
from ..transforms.base import JointQuantity
from ..transforms.draws import seed_draws
from ..utils.device import choose_device
from .betas import OWN, Betas, beta_label, setting_label
from .quantities import pair_differences, quantities_of
from .source import PairSource, pair_sets

LAYERS = ('backbone', 'projector')


@dataclass(frozen=True)
class Setting:
    """One way of drawing pairs.

    Args:
        label (str): The name of the setting in tables.
        betas (dict | None): Betas to set, as documented in ``betas.set_betas``.
        fixed_ratio (tuple[str, float] | None): The name of a quantity, such as
            ``'JointCrop.area'``, and the ratio that every pair has in it.
        argument (tuple[str, Any] | None): An argument of what makes the views, such as
            ``'JointCrop.overlap'`` or ``'JointView.coupling'``, and its value.
    """

    label: str
    betas: Betas | None = None
    fixed_ratio: tuple[str, float] | None = None
    argument: tuple[str, Any] | None = None

    @property
    def kind(self) -> str:
        """``'fixed_ratio'``, ``'argument'``, ``'beta'``, or ``'configured'``: the config's own."""
        if self.fixed_ratio is not None:
            return 'fixed_ratio'
        if self.argument is not None:
            return 'argument'
        return 'beta' if self.betas else 'configured'

    @property
    def of(self) -> list[str]:
        """The names of what the setting changes; ``OWN`` for a beta without a name."""
        changed = self.fixed_ratio or self.argument
        return [changed[0]] if changed else list(self.betas or ())


def settings_of(
    betas: Sequence[Betas],
    ratios: Sequence[tuple[str, float]] = (),
    arguments: Sequence[tuple[str, Any]] = (),
) -> list[Setting]:
    """List the settings to measure: the config as it is, fixed ratios, betas and arguments.

    Args:
        betas (Sequence[dict]): Betas to set, as ``betas.split_settings`` returns them.
        ratios (Sequence[tuple[str, float]]): Names of quantities, such as ``'JointCrop.area'``, and
            the ratios that all pairs shall have in them. Defaults to none.
        arguments (Sequence[tuple[str, Any]]): Names of arguments, such as ``'JointCrop.overlap'``,
            and their values. Defaults to none.

    Returns:
        list[Setting]: The config, then the ratios, the betas and the arguments.
    """
    settings = [Setting('as configured')]
    for name, ratio in ratios:
        label = f'{name.split(".")[-1]} ratio 1:{ratio:g}'.strip()
        settings.append(Setting(label, fixed_ratio=(name, ratio)))
    for setting in betas:
        if list(setting) == [OWN]:
            independent = ' (independent)' * (setting[OWN] is None)
            label = f'beta {beta_label(setting[OWN])}{independent}'
        else:
            label = setting_label(setting)
        settings.append(Setting(label, betas=setting))
    settings += [Setting(f'{name}={value}', argument=(name, value)) for name, value in arguments]
    return settings


def measure_sdf(
    cfg: Config,
    checkpoint: str | Path,
    settings: Sequence[Setting],
    layer: str = 'backbone',
    images: str | Path | None = None,
    num_images: int = 1000,
    batch_size: int = 128,
    num_workers: int = 0,
    seed: int = 0,
    device: str | None = None,
) -> list[dict]:
    """Measure the Statistical Difficulty Factor of pairs under a trained model.

    SDF is the mean cosine similarity of the features of the two views, over all pairs that an
    augmentation gives on a data set; the lower it is, the harder are the pairs. Source: arXiv
    2412.16522, equation 2 and figures 2 and 4. All settings use the same images and one draw of the
    views per image, which is seeded by the number of the image, so that the result depends neither
    on the batches nor on the number of workers.

    Args:
        cfg (Config): A pretraining config with its photos, views and model.
        checkpoint (str | Path): A checkpoint of that model; the backbone (and the projector, if it
            is measured) must fit strictly.
        settings (Sequence[Setting]): The settings to measure.
        layer (str): ``'backbone'``, its last output averaged over space; or ``'projector'``, the
            output of the model's neck. Defaults to ``'backbone'``.
        images (str | Path, optional): Folder of photos to use instead of those of the config.
        num_images (int): Number of photos, drawn without replacement; if there are fewer, all are
            used. Defaults to 1000.
        batch_size (int): Photos per batch. Defaults to 128.
        num_workers (int): Number of processes that make views. Defaults to 0, none.
        seed (int): Seed of the choice of photos and of the draws. Defaults to 0.
        device (str, optional): Where to compute. Defaults to the GPU if there is one.

    Returns:
        list[dict]: One dict per setting and set of pairs (multi-crop has several sets), with

        - ``setting``, the label; ``kind``; ``of``, the names of what is changed; ``beta``,
          ``fixed_ratio`` and ``argument``, the values,
        - ``views``, the numbers of the first pair's views, from 1,
        - ``sdf`` and its ``standard_error`` over images; ``num_images``, ``num_pairs``,
        - one value for each joint quantity that the views declare, over the pairs whose views both
          underwent it, as carried out: ``area_ratio`` and the like, the geometric mean of larger
          over smaller; ``hue_difference`` and the like, the mean absolute difference; for pairs
          that are measured in another way ``distance`` and the like, the mean. None if there is no
          such pair,
        - ``change`` and ``change_error``, the difference from the preceding setting of this kind
          and its standard error over the same images; None in the first.

    Raises:
        ValueError: An argument is out of range, the config lacks something that is needed, the
            checkpoint does not fit (``CheckpointError``), or a feature has no direction because it
            is zero or not finite.
        OSError: A photo cannot be read.
    """
    if layer not in LAYERS:
        raise ValueError(f'layer must be one of {LAYERS}, got {layer!r}')
    for name, value, least in (
        ('num_images', num_images, 2),
        ('batch_size', batch_size, 1),
        ('num_workers', num_workers, 0),
        ('seed', seed, 0),
    ):
        if value < least:
            raise ValueError(f'{name} must be at least {least}, got {value}')
    source = PairSource(cfg, images)
    views = [source.build_views(s.betas, s.fixed_ratio, s.argument) for s in settings]
    pairs = pair_sets(views[0].num_views) if views else []
    if views and not pairs:
        raise ValueError(f'{source.name}: one view an image makes no pairs')
    quantities = quantities_of(views[0]) if views else {}
    chosen_device = choose_device(device)
    model = _load_model(cfg, checkpoint, layer).to(chosen_device).eval()
    photos = source.build_dataset()
    if len(photos) < 2:
        raise ValueError(f'{source.name}: its data set has {len(photos)} photos, SDF needs two')
    chosen = np.random.default_rng(seed).permutation(len(photos))[:num_images]

    progress = ProgressBar(len(settings) * math.ceil(len(chosen) / batch_size), file=sys.stderr)
    rows: list[dict] = []
    above: dict[tuple, Tensor] = {}
    for setting, joint_view in zip(settings, views, strict=True):
        loader = DataLoader(
            _PairDataset(photos, joint_view, source.after, chosen.tolist(), seed),
            batch_size,
            num_workers=num_workers,
            collate_fn=_collate,
        )
        try:
            measured = _measure(model, loader, pairs, quantities, layer, chosen_device, progress)
        except Exception as error:
            print(file=sys.stderr)  # ends the line of the progress bar
            if isinstance(error, FloatingPointError):
                raise ValueError(f'{checkpoint}: its {layer} {error}') from None
            raise
        for pair_set, (per_image, drawn) in zip(pairs, measured, strict=True):
            row = dict(
                setting=setting.label,
                kind=setting.kind,
                of=setting.of,
                beta=next(iter(setting.betas.values())) if setting.betas else None,
                fixed_ratio=setting.fixed_ratio and setting.fixed_ratio[1],
                argument=setting.argument and setting.argument[1],
                views=[view + 1 for view in pair_set[0]],
                sdf=float(per_image.mean()),
                standard_error=_standard_error(per_image),
                **{key_of(q): _mean(q, drawn[name]) for name, q in quantities.items()},
                num_images=len(per_image),
                num_pairs=len(per_image) * len(pair_set),
                change=None,
                change_error=None,
            )
            key = setting.kind, *setting.of, pair_set[0]
            if key in above:
                change = per_image - above[key]
                row |= dict(change=float(change.mean()), change_error=_standard_error(change))
            above[key] = per_image
            rows.append(row)
    print(file=sys.stderr)
    return rows


def _measure(
    model: BaseSelfSupervisor,
    loader: DataLoader,
    pairs: list[list[tuple[int, int]]],
    quantities: dict[str, JointQuantity],
    layer: str,
    device: torch.device,
    progress: ProgressBar,
) -> list[tuple[Tensor, dict[str, list[float]]]]:
    """Compute the similarities of each set of pairs, averaged per image, and |t| per quantity."""
    similarities: list[list[Tensor]] = [[] for _ in pairs]
    drawn: list[dict[str, list[float]]] = [{name: [] for name in quantities} for _ in pairs]
    used = sorted({view for pair_set in pairs for pair in pair_set for view in pair})
    for inputs, params in loader:
        features = {view: _features(model, inputs[view].to(device), layer) for view in used}
        for number, pair_set in enumerate(pairs):
            batch = [F.cosine_similarity(features[i], features[j]) for i, j in pair_set]
            similarities[number].append(torch.stack(batch, 1).double().cpu())
            for views in params:
                for i, j in pair_set:
                    found = pair_differences(views[i], views[j], quantities, done=True)
                    for name, t in found.items():
                        drawn[number][name].append(abs(t))
        progress.update()
    return [
        (torch.cat(batches).mean(1), own) for batches, own in zip(similarities, drawn, strict=True)
    ]


def _load_model(cfg: Config, checkpoint: str | Path, layer: str) -> BaseSelfSupervisor:
    if 'backbone' not in (cfg.get('model') or {}):
        raise ValueError(f'{cfg.filename}: has no model.backbone')
    model_cfg = copy.deepcopy(cfg.model)
    model_cfg.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    model = MODELS.build(model_cfg)
    if not isinstance(model, BaseSelfSupervisor):
        raise ValueError(
            f'{cfg.filename}: model is a {type(model).__name__}; SDF needs a pretraining config'
        )
    load_backbone(model.backbone, checkpoint)
    if layer == 'projector':
        if not model.with_neck:
            raise ValueError(
                f'{cfg.filename}: {type(model).__name__} has no neck, so no projector to measure'
            )
        load_backbone(model.neck, checkpoint, prefix='neck.')
    return model


@torch.no_grad()
def _features(model: BaseSelfSupervisor, view: Tensor, layer: str) -> Tensor:
    """Compute the features (N, C) of one view of a batch, uint8 (N, C, H, W)."""
    inputs = model.data_preprocessor(dict(inputs=[view], data_samples=None), False)['inputs'][0]
    output = model.backbone(inputs)
    if layer == 'projector':
        output = _project(model.neck, output)
    if isinstance(output, (tuple, list)):
        output = output[-1]
    if output.ndim not in (2, 4):
        raise ValueError(
            f'the {layer} of {type(model).__name__} gives features of shape '
            f'{tuple(output.shape)}; SDF needs maps (N, C, H, W) or vectors (N, C)'
        )
    features = (output.mean((2, 3)) if output.ndim == 4 else output).float()
    if not features.isfinite().all():
        raise FloatingPointError('gives features that are not finite')
    if (features == 0).all(1).any():
        raise FloatingPointError('gives features that are all zero')
    return features


def _project(neck: nn.Module, output: Any) -> Any:
    output = output if isinstance(output, (tuple, list)) else (output,)
    if isinstance(neck, SwAVNeck):  # takes several views, one after the other
        return neck([output])
    if isinstance(neck, DINONeck):  # takes pooled features
        output = output[-1]
        return neck((output.mean((2, 3)) if output.ndim == 4 else output,))
    return neck(output)


class _PairDataset(Dataset):
    """The views of some photos, packed as in training, with the parameters drawn for them."""

    def __init__(
        self, photos: Dataset, views: JointView, after: list, chosen: list[int], seed: int
    ) -> None:
        self.photos, self.views, self.chosen, self.seed = photos, views, chosen, seed
        self.after = Compose(after)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> tuple[list[Tensor], list]:
        number = self.chosen[index]
        seed_draws(self.seed, number)
        results = self.photos[number]
        results = self.views(results)
        if results is None:
            raise ValueError(f'photo {number} of the data set was dropped by its view pipeline')
        params = results['view_params']
        packed = self.after(results)
        if 'inputs' not in packed:
            raise ValueError('the training pipeline has no PackInputs after its views')
        return packed['inputs'], params


def _collate(items: list) -> tuple[list[Tensor], list]:
    return default_collate([inputs for inputs, _ in items]), [params for _, params in items]


def key_of(quantity: JointQuantity) -> str:
    """Return the key of a quantity in the rows of ``measure_sdf``, such as ``'area_ratio'``."""
    return quantity.name if quantity.space == 'pair' else f'{quantity.name}_{quantity.space}'


def _mean(quantity: JointQuantity, sizes: list[float]) -> float | None:
    if not sizes:
        return None
    mean = float(np.mean(sizes))
    return math.exp(mean) if quantity.space == 'ratio' else mean


def _standard_error(values: Tensor) -> float:
    return float(values.std() / math.sqrt(len(values)))
