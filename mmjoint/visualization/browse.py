"""The page that shows what a config's pairs look like, and how they get harder with beta."""

import base64
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from ..distributions import JointDistribution
from ..pairs.source import PairSource, pair_sets, seed_draws
from ..pairs.statistics import Draws, PairStatistics, pair_statistics
from ..transforms import BlurParams, ColorParams, CropParams, JointView
from ..transforms.joint_crop import resize
from .charts import chart, histogram, ratio_ticks

JOINT_TYPES = ('JointCrop', 'JointBlur')
# Okabe and Ito's palette, by number of the view; white text is readable on all.
COLOURS = ('#0072b2', '#b86e00', '#007d5a', '#a34f82', '#b94a00', '#31688e', '#6b6b00', '#8a3b3b')
MAX_BYTES = 4_800_000
# (longer side of the source, of a view, JPEG quality), the first that fits MAX_BYTES.
_SIZES = ((480, 224, 85), (400, 160, 80), (320, 128, 75), (240, 96, 70), (160, 64, 60))


def browse_views(
    source: PairSource,
    betas: Sequence[float | None] | None = None,
    joint: Sequence[str] | None = None,
    num_photos: int = 6,
    num_pairs: int = 4000,
    seed: int = 0,
) -> tuple[str, list[str]]:
    """Make the page: photos with the crops of their views, the views, what was drawn, statistics.

    The photos and their views are those of training; every beta gets the same photos.

    Args:
        source (PairSource): Photos and views.
        betas (Sequence[float | None], optional): What to show; ``[]`` for the config as it is.
            Defaults to None: the config as it is and, if the views hold a transform of ``joint``,
            None, 2, 0 and -2.
        joint (Sequence[str], optional): Types of transforms that get the beta. Defaults to those of
            ``JOINT_TYPES`` that the views hold.
        num_photos (int): Photos shown. Defaults to 6.
        num_pairs (int): Pairs for the statistics. Defaults to 4000.
        seed (int): Of the photos and of all draws. Defaults to 0.

    Returns:
        tuple[str, list[str]]: The page, below 5 MB, and what was wrong with photos that could not
        be read, for which others are shown.

    Raises:
        ValueError: An argument is out of range, no photo can be read, or the page would be larger.
    """
    for name, value, least in (('num_photos', num_photos, 1), ('num_pairs', num_pairs, 1)):
        if value < least:
            raise ValueError(f'{name} must be at least {least}, got {value}')
    if joint is None:
        joint = source.joint_types(JOINT_TYPES)
    if betas and not joint:
        raise ValueError(
            f'{source.name}: the views hold none of {", ".join(JOINT_TYPES)} whose beta could be '
            'set; without betas the page shows the config as it is'
        )
    tabs = {} if betas else {'as configured': None}
    for beta in (None, 2.0, 0.0, -2.0) if betas is None and joint else betas or ():
        tabs[_beta_text(beta)] = dict.fromkeys(joint, beta)
    names, views = list(tabs), [source.build_views(given) for given in tabs.values()]

    photos, broken = _read_photos(source, max(num_photos, 40), seed)
    shown = [_draw(photo, views, seed, i) for i, photo in enumerate(photos[:num_photos])]
    statistics = [pair_statistics(view, photos, num_pairs, seed) for view in views]
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template('browse.html')
    charts = _charts(statistics, names)
    for source_side, view_side, quality in _SIZES:
        page = template.render(
            title=f'Pairs of {Path(source.name).stem}',
            facts=_facts(
                source, views[0], joint if len(tabs) > 1 or betas else (), len(photos), seed
            ),
            names=names,
            photos=[_photo(*item, views[0], source_side, view_side, quality) for item in shown],
            charts=charts,
            broken=broken,
            colours=COLOURS,
        )
        if len(page.encode()) <= MAX_BYTES:
            return page, broken
    raise ValueError(f'{num_photos} photos make a page of more than 5 MB: show fewer')


def _beta_text(beta: float | None) -> str:
    return 'None' if beta is None else f'{beta:g}'.replace('-', '−')


def _read_photos(source: PairSource, num: int, seed: int) -> tuple[list[dict], list[str]]:
    """Read some photos, drawn without replacement; leave out and tell of those that fail."""
    dataset = source.build_dataset()
    photos, broken = [], []
    for index in np.random.default_rng(seed).permutation(len(dataset)):
        seed_draws(seed, int(index))
        try:
            results = dataset[int(index)]
        except OSError as error:
            broken.append(' '.join(str(error).split()))
            continue
        if not isinstance(results.get('img'), np.ndarray):
            raise ValueError(f'{source.name}: the steps before the views give no image array')
        photos.append(results)
        if len(photos) == num:
            break
    if not photos:
        told = f'; the first: {broken[0]}' if broken else ''
        raise ValueError(f'no photo can be read, of {len(dataset)}{told}')
    return photos, broken


def _draw(photo: dict, views: list[JointView], seed: int, number: int) -> tuple:
    """Make the views of a photo for every beta, all with the same seed."""
    drawn = []
    for view in views:
        seed_draws(seed, number)
        results = view({**photo, 'img': photo['img'].copy()})
        if results is None:
            raise ValueError(f'{photo.get("img_path")}: dropped by the view pipeline')
        if not all(isinstance(img, np.ndarray) for img in results['img']):
            kind = type(results['img'][0]).__name__
            raise ValueError(f'the views are {kind}, not the arrays that mm transforms give')
        drawn.append((results['img'], results['view_params']))
    return photo, drawn


def _photo(
    photo: dict, drawn: list, views: JointView, source_side: int, view_side: int, quality: int
) -> dict:
    """Prepare one photo for the template."""
    img = photo['img']
    height, width = img.shape[:2]
    pairs = [pair for pair_set in pair_sets(views.num_views) for pair in pair_set]
    tabs = []
    for images, params in drawn:
        shown = []
        for i, (image, records) in enumerate(zip(images, params, strict=True)):
            crop = _find(records, CropParams)
            box = None
            if crop:
                # On the photo as shown, should something before the crop have resized it.
                x, y = width / crop.image_shape[1], height / crop.image_shape[0]
                box = [crop.x * x, crop.y * y, crop.width * x, crop.height * y]
            shown.append(
                dict(
                    number=i + 1,
                    image=_data_uri(image, view_side, quality),
                    box=box,
                    lines=[describe_params(record, image) for _, record in records],
                )
            )
        tabs.append(dict(views=shown, pairs=[_compare(params, i, j) for i, j in pairs]))
    return dict(
        name=Path(str(photo.get('img_path', 'photo'))).name,
        image=_data_uri(img, source_side, quality),
        width=width,
        height=height,
        tabs=tabs,
    )


def _find(records: list, kind: type) -> Any:
    return next((record for _, record in records if isinstance(record, kind)), None)


def describe_params(params: Any, image: np.ndarray) -> str:
    """Say what was drawn for a view.

    Args:
        params: A record of ``view_params``.
        image (np.ndarray): The view.

    Returns:
        str: One line.
    """
    if isinstance(params, CropParams):
        share = params.width * params.height / (params.image_shape[0] * params.image_shape[1])
        text = f'crop {params.width} × {params.height} at ({params.x}, {params.y}): {share:.1%}'
        # Rounding to whole pixels moves an area by less than this.
        if abs(share - params.area) > 0.02 * params.area + 0.002:
            text += f' of the photo; {params.area:.1%} drawn, which did not fit'
        else:
            text += ' of the photo'
        return f'{text}; as {image.shape[1]} × {image.shape[0]}'
    if isinstance(params, BlurParams):
        return f'blur σ {params.sigma:.2f} px' if params.applied else 'no blur'
    if isinstance(params, ColorParams):
        factors = [
            f'hue {params.hue:+.3f}'
            if name == 'hue'
            else f'{name}\u00a0×\u00a0{getattr(params, name):.2f}'
            for name in params.order
        ]
        return ', '.join(factors) or 'no colour jitter'
    if dataclasses.is_dataclass(params):
        values = dataclasses.asdict(params).items()
        return f'{type(params).__name__}: ' + ', '.join(f'{key} {value}' for key, value in values)
    return f'{type(params).__name__}: {params}'


def _compare(params: list, i: int, j: int) -> str:
    """Say how the views of a pair differ."""
    told = []
    a, b = (_find(params[k], CropParams) for k in (i, j))
    if a and b:
        ratio = math.exp(abs(math.log(b.width * b.height / (a.width * a.height))))
        centres = [
            ((c.x + c.width / 2) / c.image_shape[1], (c.y + c.height / 2) / c.image_shape[0])
            for c in (a, b)
        ]
        told += [f'areas 1 : {ratio:.2f}', f'centres {math.dist(*centres):.2f} apart']
    a, b = (_find(params[k], BlurParams) for k in (i, j))
    if a and b and a.applied and b.applied:
        ratio = math.exp(abs(math.log(b.sigma / a.sigma)))
        told.append(f'sigmas 1 : {ratio:.2f}')
    elif a and b:
        told.append('not both blurred')
    return f'Views {i + 1} and {j + 1}: ' + (', '.join(told) or 'nothing recorded to compare')


def _facts(
    source: PairSource, views: JointView, joint: Sequence[str], photos: int, seed: int
) -> dict[str, str]:
    facts = {'Config': source.name}
    facts['Views a photo'] = ' + '.join(map(str, views.num_views))
    if joint:
        facts['Beta of'] = ', '.join(joint) + '; everything else as the config has it'
    facts['Statistics over'] = f'{photos} photos, seed {seed}'
    before = []
    for pipeline in views.pipelines:
        for transform in pipeline:
            if hasattr(transform, 'sample') or hasattr(transform, 'pipelines'):
                break
            before.append(type(transform).__name__)
        else:
            before = before[: len(before) - len(pipeline)]
    if before:
        facts['Before the crop'] = (
            f'{", ".join(before)}: the boxes lie on the image as these leave it'
        )
    return facts


def _data_uri(image: np.ndarray, side: int, quality: int) -> str:
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        image = resize(image, (max(1, round(width * scale)), max(1, round(height * scale))))
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(image), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode()


def _charts(statistics: list[list[PairStatistics]], names: list[str]) -> list[dict]:
    """Draw the charts of every set of pairs: for each quantity one a tab, on the same scales."""
    sets = []
    for number, first in enumerate(statistics[0]):
        own = [tab[number] for tab in statistics]
        quantities = []
        for title, draws, cuts in (
            ('Crop area, first : second view', [s.area for s in own], [s.cut for s in own]),
            ('Blur sigma, first : second view', [s.sigma for s in own], None),
        ):
            if any(len(d.values) for d in draws):
                quantities.append(dict(title=title, tabs=_ratio_charts(title, draws, cuts, names)))
        distances = [s.distance for s in own]
        if any(map(len, distances)):
            title = 'Distance of the crops’ centres'
            quantities.append(dict(title=title, tabs=_distance_charts(title, distances, names)))
        sets.append(dict(views=[view + 1 for view in first.views], quantities=quantities))
    return sets


def _bins(values: np.ndarray) -> int:
    """Return how many bins show the shape rather than the noise."""
    return min(48, max(12, len(values) // 60))


def _ratio_charts(
    title: str, draws: list[Draws], cuts: list[np.ndarray] | None, names: list[str]
) -> list[dict]:
    sources = [source for d in draws for source in d.sources if source is not None]
    widest = max(sources, key=lambda source: source.limit, default=None)
    limit = max((float(np.abs(d.values).max()) for d in draws if len(d.values)), default=1.0)
    limit = widest.limit if widest and math.isfinite(widest.limit) else limit or 1.0
    limits, grid = (-limit, limit), np.linspace(-limit, limit, 161)
    independent = None
    if widest:
        independent = JointDistribution(widest.low, widest.high, None).density(grid)
    expected = [d.expected('density', grid) for d in draws]
    bars = [histogram(d.values, limits, _bins(d.values)) for d in draws]
    lines = [curve for curve in (*expected, independent) if curve is not None]
    top = 1.06 * max(float(np.max(curve)) for curve in (*bars, *lines))
    tabs = []
    for i, (name, d) in enumerate(zip(names, draws, strict=True)):
        curves = []
        if independent is not None:
            curves.append(('independent', grid, independent))
        if expected[i] is not None:
            curves.append(('expected', grid, expected[i]))
        outline = None
        if cuts is not None and len(cuts[i]):
            outline = histogram(cuts[i], limits, _bins(cuts[i]))
        beyond = np.mean(np.abs(d.values) > math.log(2)) if len(d.values) else 0.0
        text = f'{len(d.values):,} pairs, {beyond:.0%} beyond 1:2'
        distance = d.kolmogorov_smirnov()
        if distance is not None:
            critical = 1.628 / math.sqrt(len(d.values))
            text += (
                f'. Largest distance from the distribution function {distance:.3f} '
                f'(1 % of samples exceed {critical:.3f})'
            )
        svg = chart(
            f'{title}, beta {name}: {text}',
            limits,
            top,
            bars[i],
            outline,
            curves,
            ratio_ticks(limit),
        )
        tabs.append(dict(svg=svg, text=text))
    return tabs


def _distance_charts(title: str, distances: list[np.ndarray], names: list[str]) -> list[dict]:
    limit = max(0.2, 0.1 * math.ceil(10 * max(float(d.max()) for d in distances if len(d))))
    limits = (0.0, limit)
    bars = [histogram(d, limits, _bins(d)) for d in distances]
    top = 1.06 * max(float(b.max()) for b in bars)
    ticks = [(t / 5, f'{t / 5:g}') for t in range(int(limit * 5 + 1e-9) + 1)]
    tabs = []
    reference = names.index('None') if 'None' in names else None
    for i, (name, d, own) in enumerate(zip(names, distances, bars, strict=True)):
        text = f'{len(d):,} pairs, mean {d.mean():.3f}' if len(d) else 'no pairs'
        outline = None
        if reference not in (None, i):
            text += '; the line is beta None’s'
            outline = bars[reference]
        svg = chart(
            f'{title}, beta {name}: {text}',
            limits,
            top,
            own,
            outline,
            ticks=ticks,
        )
        tabs.append(dict(svg=svg, text=text))
    return tabs
