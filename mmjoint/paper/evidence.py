"""The page of the studies: what the results say, in numbers, words and plots."""

import json
import statistics
from pathlib import Path

from ..utils.files import write_output
from ..visualization.plots import write_plot
from .results import format_mean, paired_differences
from .studies import BASELINE, STUDIES, Study, read_results, runs_of
from .verdict import Verdict, can_judge, judge

PAGE = 'README.md'
METRICS = ('linear', 'knn')
# The initial weights from which the quick start fine-tunes a detector.
_QUICK_DETECTORS = ('random', 'jointcrop0')
_NAMES = {'linear': 'linear', 'knn': 'kNN'}


def judge_study(results: dict) -> dict[tuple[str, str], Verdict]:
    """Judge every setting of a study that has at least three paired seeds, not all alike.

    Args:
        results (dict): As documented in ``read_results``.

    Returns:
        dict[tuple[str, str], Verdict]: By setting and metric (``'linear'``, ``'knn'``).
    """
    baseline = runs_of(results, BASELINE)
    verdicts = {}
    for setting in _settings(results)[1:]:
        for metric in METRICS:
            gains = paired_differences(runs_of(results, setting), baseline, metric)
            if can_judge(gains):
                verdicts[setting, metric] = judge(gains)
    return verdicts


def _settings(results: dict) -> list[str]:
    """Return the settings that have results: the baseline, then easy to hard."""
    found = {run['setting'] for run in results['runs']} - {BASELINE}
    return [BASELINE, *sorted(found, key=lambda words: -float(words.rpartition('=')[2]))]


def write_page(folder: Path) -> str:
    """Write the page and the plots of all studies that have results.

    Args:
        folder (Path): Holds ``STUDY.json`` of each study; the page is ``README.md`` in it.

    Returns:
        str: The page.

    Raises:
        ValueError: There are no results, or a file is damaged.
    """
    found = [
        (study, read_results(folder / f'{study.name}.json'))
        for study in STUDIES
        if (folder / f'{study.name}.json').is_file()
    ]
    if not found:
        raise ValueError(f'{folder}: holds no results of a study; --run makes them')
    lines = [
        '# Evidence: what joint crops change, at a size that two cores can train',
        '',
        '`python tools/paper.py --study NAME` writes this page from the results beside it, '
        '`NAME.json`;',
        '`python tools/paper.py --study NAME --run --scale small --data-root FOLDER` repeats the '
        'runs. On one machine',
        'a repeated run gives the same weights to the bit: its checksum stands in the results.',
        '',
        'A difference is that of two runs with the same seed: the same initialization and the same '
        'order of images.',
        "It is **supported** if the 95 % interval of the mean difference by Student's t lies above "
        '0.',
        '',
        '| study | setting | seeds | linear, points | kNN, points | by linear accuracy |',
        '|---|---|---|---|---|---|',
    ]
    for study, results in found:
        verdicts = judge_study(results)
        for setting in _settings(results)[1:]:
            both = [verdicts[setting, m] for m in METRICS if (setting, m) in verdicts]
            if len(both) < len(METRICS):
                continue
            told = [f'{v.mean:+.2f} [{v.t_interval[0]:+.2f}, {v.t_interval[1]:+.2f}]' for v in both]
            cells = [study.title, setting, str(len(both[0].differences)), *told, both[0].words]
            lines.append(f'| {" | ".join(cells)} |')
    for study, results in found:
        lines += ['', *_section(study, results)]
        plot_study(results, folder / f'{study.name}.svg')
    lines += _quick_starts(folder)
    lines += [
        '',
        '## What this cannot tell',
        '',
        'The networks are small, the runs short and the images 64 pixels wide. The paper trains '
        'ResNet-18 for 500 epochs',
        'and ResNet-50 for 100 to 300; harder pairs may pay only there. A setting that is not '
        'supported here is therefore',
        'not refuted, and one that is supported here may vanish there.',
    ]
    page = '\n'.join(lines) + '\n'
    write_output(folder / PAGE, page)
    return page


def _section(study: Study, results: dict) -> list[str]:
    scale, verdicts = results['scale'], judge_study(results)
    settings = _settings(results)
    lines = [
        f'## {study.title}',
        '',
        f'`{study.config}`, reduced: {scale["epochs"]} epochs, batch {scale["batch_size"]}, views '
        f'of {scale["size"]} pixels, a ResNet-18 of width {scale["width"]}.',
        'kNN and linear accuracy on all test images.',
        study.chosen,
    ]
    if 'random' in results:
        random = results['random']
        lines.append(
            f'The random initialization has {random["linear"]:.2f} % (linear) and '
            f'{random["knn"]:.2f} % (kNN).'
        )
    lines += [
        '',
        '| setting | seeds | linear, % | kNN, % | SDF | last loss |',
        '|---|---|---|---|---|---|',
    ]
    for setting in settings:
        runs = runs_of(results, setting)
        sdf = results.get('sdf', {}).get(setting)
        cells = [
            setting,
            str(len(runs)),
            *(_with_error([run[metric] for run in runs]) for metric in METRICS),
            f'{sdf[0]:.4f} ± {sdf[1]:.4f}' if sdf else '',
            _with_error([run['last_loss'] for run in runs], 3),
        ]
        lines.append(f'| {" | ".join(cells)} |')
    lines += [
        '',
        'Means with their standard errors. SDF is the mean cosine similarity of the pairs, the '
        "paper's equation 2, under the",
        'baseline of seed 0: lower is harder.',
        '',
        '| setting | metric | difference | 95 %, t | 95 %, bootstrap | sign-flip p | could have '
        'seen |',
        '|---|---|---|---|---|---|---|',
    ]
    for (setting, metric), verdict in verdicts.items():
        intervals = (verdict.t_interval, verdict.bootstrap_interval)
        cells = [
            setting,
            _NAMES[metric],
            f'{verdict.mean:+.2f}',
            *(f'{low:+.2f} to {high:+.2f}' for low, high in intervals),
            f'{verdict.sign_flip:.3f}',
            f'{verdict.detectable:.2f}',
        ]
        lines.append(f'| {" | ".join(cells)} |')
    lines += [
        '',
        '"Could have seen" is the true difference that the t-test would have found with a power of '
        '80 %.',
        study.paper,
        *_dose(results, settings),
        '',
        f'![Differences from the baseline by seed: {study.title}]({study.name}.svg)',
    ]
    return lines


def _quick_starts(folder: Path) -> list[str]:
    """Compare JointCrop(0) with the baseline over quick starts with several seeds."""
    paths = sorted(folder.glob('quickstart-*.json'))
    if not paths:
        return []
    found = [_read_quick_start(path) for path in paths]
    lines = [
        '',
        '## The quick start, with a detector',
        '',
        '`bash tools/quickstart.sh --seed N` with N = '
        f'{", ".join(str(run["seed"]) for run in found)}: SimCLR on the embedded scenes, a '
        f'ResNet-18, {found[0]["epochs"]} epochs.',
        'Its results are `quickstart-N.json`.',
        '',
        '| measure | random | baseline | JointCrop(0) | JointCrop(0) - baseline, by seed | mean |',
        '|---|---|---|---|---|---|',
    ]
    for name in ('linear', 'knn'):
        values = {
            kind: [run['runs'][kind][name] for run in found]
            for kind in ('random', 'baseline', 'jointcrop0')
        }
        gains = [
            ours - theirs
            for ours, theirs in zip(values['jointcrop0'], values['baseline'], strict=True)
        ]
        cells = [
            f'{_NAMES[name]}, %',
            *(_with_error(values[kind]) for kind in values),
            ', '.join(f'{gain:+.1f}' for gain in gains),
            _with_error(gains),
        ]
        lines.append(f'| {" | ".join(cells)} |')
    boxes = {
        kind: [run['runs'][kind]['detection']['AP'] for run in found] for kind in _QUICK_DETECTORS
    }
    pairs = list(zip(*boxes.values(), strict=True))
    by_seed = ', '.join(f'{theirs:.1f} and {ours:.1f}' for theirs, ours in pairs)
    above = sum(ours > theirs for theirs, ours in pairs)
    gained = _with_error([ours - theirs for theirs, ours in pairs])
    lines += [
        '',
        'Box AP of a detector after a short training, from random weights and from those of '
        f'JointCrop(0): {" and ".join(map(_with_error, boxes.values()))}; by seed {by_seed}. '
        f'JointCrop(0) is above in {above} of {len(pairs)} seeds, the mean difference {gained}.',
        'So few iterations do not tell two betas apart: another number of threads, which rounds '
        'otherwise, moved AP by up to 2.2 points.',
    ]
    return lines


def _read_quick_start(path: Path) -> dict:
    try:
        results = json.loads(path.read_text())
        results['seed'], results['epochs']
        for kind in ('random', 'baseline', 'jointcrop0'):
            run = results['runs'][kind]
            run['linear'], run['knn']
        for kind in _QUICK_DETECTORS:
            results['runs'][kind]['detection']['AP']
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path}: not the results of a quick start ({error!r})') from None
    return results


def _dose(results: dict, settings: list[str]) -> list[str]:
    """Say in which order the settings stand, where there are several."""
    if len(settings) < 3:
        return []
    lines = []
    for metric in METRICS:
        seeds = set.intersection(
            *({run['seed'] for run in runs_of(results, setting)} for setting in settings)
        )
        means = {
            setting: statistics.fmean(
                run[metric] for run in runs_of(results, setting) if run['seed'] in seeds
            )
            for setting in settings
        }
        order = sorted(means, key=lambda setting: -means[setting])
        told = ', '.join(f'{setting} {means[setting]:.2f}' for setting in order)
        lines.append(
            f'Over the {len(seeds)} seeds that all settings have, {_NAMES[metric]} accuracy ranks '
            f'them: {told}.'
        )
    intervals = [verdict.t_interval for verdict in judge_study(results).values()]
    if intervals and all(low <= 0 <= high for low, high in intervals):
        lines.append('None of these orders is beyond chance: every interval above includes 0.')
    return lines


def _with_error(values: list[float], digits: int = 2) -> str:
    return format_mean(values, digits, between='±')


def plot_study(results: dict, path: Path) -> None:
    """Plot the differences from the baseline, one point per seed, with mean and 95 % interval."""
    from matplotlib.figure import Figure

    settings, verdicts = _settings(results)[1:], judge_study(results)
    baseline = runs_of(results, BASELINE)
    figure = Figure(figsize=(4 + 1.4 * len(settings), 3.6), layout='constrained')
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), METRICS, strict=True):
        for place, setting in enumerate(settings):
            gains = paired_differences(runs_of(results, setting), baseline, metric)
            axes.plot([place - 0.12] * len(gains), gains, 'o', color='C0', alpha=0.6, ms=5)
            if verdict := verdicts.get((setting, metric)):
                low, high = verdict.t_interval
                spread = [[verdict.mean - low], [high - verdict.mean]]
                axes.errorbar(place + 0.12, verdict.mean, spread, fmt='s', color='C1', capsize=4)
        axes.axhline(0, color='gray', linewidth=0.8)
        axes.set_xticks(range(len(settings)), settings)
        axes.set_xlim(-0.6, len(settings) - 0.4)
        axes.set_title(f'{_NAMES[metric]} accuracy')
    figure.axes[0].set_ylabel('difference from the baseline, points')
    write_plot(path, figure)
