"""The page that shows the pairs of a config, and how they get harder with beta."""

import base64
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np

from ..pairs.betas import OWN, Betas, own_names, setting_label
from ..pairs.quantities import box_of, pair_differences, quantities_of, record_of
from ..pairs.replay import replay
from ..pairs.source import PairSource, pair_sets
from ..pairs.statistics import Draws, PairStatistics, pair_statistics
from ..pixels.operations import resize
from ..transforms import JointView
from ..transforms.base import Declaration, JointParams, JointQuantity, PairTransform
from ..transforms.draws import seed_draws
from ..utils.files import encode
from .charts import density_chart, histogram, number_ticks, ratio_ticks

# Okabe and Ito's palette, indexed by the number of the view; white text is readable on all.
COLORS = ('#0072b2', '#b86e00', '#007d5a', '#a34f82', '#b94a00', '#31688e', '#6b6b00', '#8a3b3b')
MAX_BYTES = 4_800_000
# (longer side of the source, of a view, JPEG quality): the first that fits in MAX_BYTES is used.
_SIZES = ((480, 224, 85), (400, 160, 80), (320, 128, 75), (240, 96, 70), (160, 64, 60))


def browse_views(
    source: PairSource,
    betas: Sequence[Betas] | None = None,
    num_photos: int = 6,
    num_pairs: int = 4000,
    seed: int = 0,
    draws: Sequence[str] = (),
) -> tuple[str, list[str]]:
    """Make the page: photos with the crops of their views, the views, the draws and statistics.

    Photos and views are made as in training; every beta gets the same photos.

    Args:
        source (PairSource): The source of photos and views.
        betas (Sequence[dict], optional): Settings to show, as ``betas.split_settings`` returns
            them; ``[]`` for the config as it is. Defaults to None: the config as it is and, if the
            views hold a joint augmentation, None, 2, 0 and -2 for what the config makes joint.
        num_photos (int): Number of photos shown. Defaults to 6.
        num_pairs (int): Number of pairs for the statistics. Defaults to 4000.
        seed (int): Seed of the choice of photos and of all draws. Defaults to 0.

    Returns:
        tuple[str, list[str]]: The page, below 5 MB, and messages about photos that could not be
        read, which other photos replace.

    Raises:
        ValueError: An argument is out of range, no photo can be read, or the page would be larger.
    """
    for name, value, least in (('num_photos', num_photos, 1), ('num_pairs', num_pairs, 1)):
        if value < least:
            raise ValueError(f'{name} must be at least {least}, got {value}')
    laws = source.laws()
    tabs: dict[str, Betas | None] = {} if betas else {'as configured': None}
    if betas is None:
        betas = [{OWN: beta} for beta in (None, 2.0, 0.0, -2.0)] if laws else []
    for setting in betas:
        tabs[setting_label(setting).replace('-', '−')] = setting
    changed = own_names(laws) if any(OWN in setting for setting in betas) else []
    names, views = list(tabs), [source.build_views(given) for given in tabs.values()]

    photos, broken = _read_photos(source, max(num_photos, 40), seed)
    if draws:
        shown = [(photo, [drawn]) for photo, drawn in replay(source, draws, seed)]
    else:
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
            facts=_facts(source, views[0], changed, len(photos), seed),
            names=names,
            photos=[
                _photo(photo, drawn, views[0], source_side, view_side, quality)
                for photo, drawn in shown
            ],
            charts=charts,
            broken=broken,
            colors=COLORS,
        )
        if len(encode(page)) <= MAX_BYTES:
            return page, broken
    raise ValueError(f'{num_photos} photos make a page of more than 5 MB: show fewer')


def _read_photos(source: PairSource, num: int, seed: int) -> tuple[list[dict], list[str]]:
    """Read some photos, drawn without replacement; report and leave out those that fail."""
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
    quantities = quantities_of(views)
    tabs = []
    for images, params in drawn:
        shown = []
        for i, (image, records) in enumerate(zip(images, params, strict=True)):
            part = box_of(records)
            box = None
            if part:  # on the photo as shown, even if it was resized before the crop
                sides = (width, height, width, height)
                box = [round(one * side, 2) for one, side in zip(part, sides, strict=True)]
            shown.append(
                dict(
                    number=i + 1,
                    size=f'{image.shape[1]} × {image.shape[0]}',
                    image=_data_uri(image, view_side, quality),
                    box=box,
                    lines=[describe_params(record) for _, record in records],
                )
            )
        told = [_compare(params, i, j, quantities) for i, j in pairs]
        tabs.append(dict(views=shown, pairs=told))
    return dict(
        name=Path(str(photo.get('img_path', 'photo'))).name
        + (f', draw {photo["draw"]}' if 'draw' in photo else ''),
        image=_data_uri(img, source_side, quality),
        width=width,
        height=height,
        tabs=tabs,
    )


def describe_params(record: Any) -> str:
    """Describe in one line what was drawn for a view.

    Args:
        record (Any): A record of ``view_params``.
    """
    if isinstance(record, JointParams):
        return record.describe()
    return f'{type(record).__name__}: {record}'


def _compare(params: list, i: int, j: int, quantities: dict[str, JointQuantity]) -> str:
    """Describe how much the views of a pair differ."""
    differences = pair_differences(params[i], params[j], quantities, done=True)
    told = [quantities[name].describe(t) for name, t in differences.items()]
    missing = [
        quantity.title
        for name, quantity in quantities.items()
        if name not in differences and all(record_of(quantity, params[k]) for k in (i, j))
    ]
    if missing:
        told.append(f'not both with {", ".join(missing)}')
    return f'Views {i + 1} and {j + 1}: ' + (', '.join(told) or 'nothing recorded to compare')


def _facts(
    source: PairSource, views: JointView, changed: Sequence[str], photos: int, seed: int
) -> dict[str, str]:
    facts = {'Config': source.name}
    facts['Views a photo'] = ' + '.join(map(str, views.num_views))
    if changed:
        facts['Beta of'] = ', '.join(changed) + '; everything else as the config has it'
    facts['Statistics over'] = f'{photos} photos, seed {seed}'
    before = []
    for pipeline in views.pipelines:
        for transform in pipeline:
            if isinstance(transform, (Declaration, PairTransform)):
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
    """Draw the charts of every set of pairs: per quantity one chart per tab, on the same scales."""
    sets = []
    for number, first in enumerate(statistics[0]):
        quantities = []
        for key, draws in first.draws.items():
            own = [tab[number].draws[key] for tab in statistics]
            if any(len(d.values) for d in own):
                title, note = draws.quantity.title, draws.quantity.note
                title = title[0].upper() + title[1:]
                title += ', first : second view' * (draws.quantity.space == 'ratio')
                title += ', second − first view' * (draws.quantity.space == 'difference')
                tabs = _quantity_charts(title, own, names)
                quantities.append(dict(title=title, note=note, tabs=tabs))
        sets.append(dict(views=[view + 1 for view in first.views], quantities=quantities))
    return sets


def _bins(values: np.ndarray) -> int:
    """Return a number of bins that shows the shape rather than the noise."""
    return min(48, max(12, len(values) // 60))


def _limits(draws: list[Draws]) -> tuple[float, float]:
    """Return the ends of the axis: those of the widest distribution, or else of the values."""
    laws = [law for d in draws for law in d.laws if law is not None]
    limit = max((law.limit for law in laws), default=math.inf)
    if not math.isfinite(limit):
        limit = max((float(np.abs(d.values).max()) for d in draws if len(d.values)), default=1.0)
    limit = limit or 1.0
    return (0.0, limit) if draws[0].quantity.space == 'pair' else (-limit, limit)


def _quantity_charts(title: str, draws: list[Draws], names: list[str]) -> list[dict]:
    quantity, limits = draws[0].quantity, _limits(draws)
    grid = np.linspace(*limits, 161)
    laws = [law for d in draws for law in d.laws if law is not None and law.has_density]
    independent = None
    if laws and quantity.space != 'pair':
        widest = max(laws, key=lambda law: law.limit)
        independent = widest.with_beta(None).density(grid)
    expected = [d.expected('density', grid) for d in draws]
    bars = [histogram(d.values, limits, _bins(d.values)) for d in draws]
    lines = [curve for curve in (*expected, independent) if curve is not None]
    top = 1.06 * max(float(np.max(curve)) for curve in (*bars, *lines))
    ticks = ratio_ticks if quantity.space == 'ratio' else number_ticks
    reference = names.index('None') if 'None' in names else None
    tabs = []
    for i, (name, d) in enumerate(zip(names, draws, strict=True)):
        curves: list[tuple[str, np.ndarray, np.ndarray]] = []
        outline, text = None, _told(d)
        if independent is not None:
            curves.append(('independent', grid, independent))
        if (density := expected[i]) is not None:
            curves.append(('expected', grid, density))
        if not np.array_equal(d.values, d.done):
            outline = histogram(d.done, limits, _bins(d.done))
        elif not laws and reference not in (None, i):
            outline = bars[reference]
            text += '; the line is beta None’s'
        label = f'{title}, beta {name}: {text}'
        svg = density_chart(label, limits, top, bars[i], outline, curves, ticks(*limits))
        tabs.append(dict(svg=svg, text=text))
    return tabs


def _told(draws: Draws) -> str:
    """Describe in one line what pairs drew of a quantity."""
    num, size = len(draws.values), np.abs(draws.values)
    if not num:
        return 'no pairs'
    text = f'{num:,} pairs, '
    if draws.quantity.space == 'ratio':
        text += f'{np.mean(size > math.log(2)):.0%} beyond 1:2'
    else:
        text += f'mean {size.mean():.3g}{draws.quantity.unit}'
    distance = draws.kolmogorov_smirnov()
    if distance is not None:
        text += (
            f'. Largest distance from the distribution function {distance:.3f} '
            f'(1 % of samples exceed {1.628 / math.sqrt(num):.3f})'
        )
    return text
