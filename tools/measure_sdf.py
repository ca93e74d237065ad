"""Measure SDF (equation 2 of the paper): how hard a config's pairs are for its trained model."""

import argparse
import json
from pathlib import Path

from command_line import BETA_WORDS, DEBUG_HELP, add_config_options, start

LAYERS = ('backbone', 'projector')
FORMATS = ('.pdf', '.png', '.svg')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=DEBUG_HELP)
    parser.add_argument('config', help='a pretraining config')
    parser.add_argument('checkpoint', help="checkpoint of the config's trained model")
    parser.add_argument(
        '--beta',
        nargs='*',
        metavar='BETA',
        help='betas to measure; without a value the config as it is (default, if no ratio is asked '
        'for: the config as it is and, if there is a joint augmentation, None 2 1 0 -1 -2). '
        f'{BETA_WORDS}',
    )
    parser.add_argument(
        '--fixed-ratio',
        nargs='*',
        default=[],
        metavar='RATIO',
        help='fixed ratios to measure, such as 1 2 3 4 5 (of the crop areas) or JointBlur=2 '
        '(default: none)',
    )
    parser.add_argument(
        '--vary',
        nargs='+',
        action='append',
        default=[],
        metavar=('ARGUMENT', 'VALUE'),
        help='an argument of the views, and the values to measure, such as JointCrop.overlap 0 0.5 '
        '1 or JointView.coupling -1 0 1; may be repeated',
    )
    parser.add_argument(
        '--layer',
        choices=LAYERS,
        default='backbone',
        help='layer whose features are used (default: backbone)',
    )
    parser.add_argument('--images', help="folder of photos to take instead of the config's")
    parser.add_argument('--num-images', type=int, default=1000, help='photos (default: 1000)')
    parser.add_argument(
        '--batch-size', type=int, default=128, help='photos per batch (default: 128)'
    )
    parser.add_argument(
        '--num-workers', type=int, default=0, help='processes that make views (default: 0)'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of photos and draws (default: 0)')
    parser.add_argument('--json', type=Path, help='file to write the result to')
    parser.add_argument('--plot', type=Path, help='.png, .svg or .pdf to plot to')
    add_config_options(parser)
    args = parser.parse_args()
    if args.plot and args.plot.suffix not in FORMATS:
        parser.error(f'--plot {args.plot}: the name must end with one of {", ".join(FORMATS)}')
    for name, *values in args.vary:
        if not values:
            parser.error(f'--vary {name}: no values, such as --vary JointCrop.overlap 0 0.5 1')
    return args


def table(rows: list[dict], quantities: list[str]) -> str:
    several = len({tuple(row['views']) for row in rows}) > 1
    shown = [name for name in quantities if any(row[name] is not None for row in rows)]
    titles = [f'{name.replace("_", " "):>{len(name) + 2}}' for name in shown]
    head = f'{"pairs":32}{"SDF":>8}  {"error":>7}{"change":>10}  {"error":>7}'
    lines = [head + ''.join(titles)]
    for row in rows:
        name = row['setting'] + f', views {row["views"][0]}-{row["views"][1]}' * several
        line = f'{name:32}{row["sdf"]:8.4f}  {row["standard_error"]:7.4f}'
        change = (
            '' if row['change'] is None else f'{row["change"]:+10.4f}  {row["change_error"]:7.4f}'
        )
        means = [
            f'{"" if row[name] is None else format(row[name], ".3g"):>{len(name) + 2}}'
            for name in shown
        ]
        lines.append(f'{line}{change:19}{"".join(means)}'.rstrip())
    return '\n'.join(lines)


def main(args: argparse.Namespace) -> None:
    """Measure, print and write the result."""
    from mmengine.logging import MMLogger

    from mmjoint.engine import read_config
    from mmjoint.pairs.betas import OWN, parse_beta, split_settings
    from mmjoint.pairs.quantities import quantities_of
    from mmjoint.pairs.sdf import key_of, measure_sdf, settings_of
    from mmjoint.pairs.sdf_series import is_monotonic, plot_sdf
    from mmjoint.pairs.source import PairSource
    from mmjoint.utils.files import check_output, write_output
    from mmjoint.utils.literals import read_literal
    from mmjoint.visualization.plots import write_plot

    # Without this, mmengine logs the initialization of every single weight.
    MMLogger.get_instance('mmjoint', log_level='WARNING')
    for path in (args.json, args.plot):
        check_output(path)
    cfg = read_config(args.config, args.cfg_options)
    source = PairSource(cfg, args.images)
    betas = [parse_beta(word) for word in args.beta or ()]
    if args.beta is None and not (args.fixed_ratio or args.vary) and source.laws():
        betas = [(OWN, beta) for beta in (None, 2, 1, 0, -1, -2)]
    fixed = [parse_beta(word) for word in args.fixed_ratio]
    ratios = [(name or source.ratio_name(), ratio) for name, ratio in fixed]
    varied = [
        (name, read_literal(value, f'--vary {name}'))
        for name, *values in args.vary
        for value in values
    ]
    settings = settings_of(split_settings(betas), ratios, varied)
    if args.beta or args.fixed_ratio or args.vary:
        settings = [setting for setting in settings if setting.kind != 'configured']
    rows = measure_sdf(
        cfg,
        args.checkpoint,
        settings,
        args.layer,
        args.images,
        args.num_images,
        args.batch_size,
        args.num_workers,
        args.seed,
    )
    quantities = [key_of(q) for q in quantities_of(source.build_views()).values()]
    print(table(rows, quantities))
    monotonic = {kind: is_monotonic(rows, kind) for kind in ('fixed_ratio', 'beta')}
    for kind, name in (('fixed_ratio', 'the ratio'), ('beta', 'falling beta')):
        if monotonic[kind] is not None:
            print(f'SDF falls from each to the next with {name}: {monotonic[kind]}')
    if args.json:
        names = ('config', 'checkpoint', 'images', 'layer', 'seed')
        result = {name: getattr(args, name) for name in names}
        result |= {
            'cfg_options': dict(text.split('=', 1) for text in args.cfg_options),
            'monotonic': monotonic,
            'rows': rows,
        }
        write_output(args.json, json.dumps(result, indent=2) + '\n')
    if args.plot:
        write_plot(args.plot, plot_sdf(rows, f'{Path(args.config).stem}, {args.layer}'))


if __name__ == '__main__':
    start(main, parse_args())
