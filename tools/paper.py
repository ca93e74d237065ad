"""The tables of the paper (arXiv 2412.16522): their numbers, commands and results; reduced runs.

A reduced run trains every row of a table with tools/train.py at a size that a CPU can do, with
several seeds, and measures kNN and linear accuracy of its frozen backbone. A second start continues
where the last one ended.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from command_line import BETA_WORDS, start

ROOT = Path(__file__).resolve().parents[1]
NOTE = (
    'A reduced run shows that a row trains and how it compares at that size. It is not a '
    "reproduction of the paper's number, which is for another size and data set."
)


def parse_args() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--list', action='store_true', help='list the tables')
    parser.add_argument(
        '--index', action='store_true', help='print all tables as configs/README.md has them'
    )
    parser.add_argument(
        '--metafiles',
        action='store_true',
        help='write model-index.yml and the metafiles of configs',
    )
    parser.add_argument('--table', metavar='NAME', help='the table; see --list')
    parser.add_argument(
        '--figure', choices=['7'], help='7: distance of the centers by beta, 3 times 100,000 pairs'
    )
    parser.add_argument('--out', type=Path, help='also draw the figure into this file (.svg, .png)')
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help='only these, such as SimCLR')
    parser.add_argument(
        '--work-dirs', type=Path, default=Path('work_dirs'), help='folder of runs (work_dirs)'
    )
    parser.add_argument('--run', action='store_true', help='run what has no result yet')
    parser.add_argument('--scale', choices=['small'], help='the size of --run: only small')
    parser.add_argument(
        '--data-root',
        default='data/tiny-imagenet-200',
        help='labeled images, train/<class>/* and val/<class>/*, or Tiny-ImageNet as published '
        '(data/tiny-imagenet-200)',
    )
    parser.add_argument('--seeds', type=int, default=2, help='runs of each row (2)')
    parser.add_argument('--jobs', type=int, default=1, help='runs at the same time (1)')
    parser.add_argument(
        '--beta',
        nargs='+',
        metavar='BETA',
        help=f'beta for all rows, in place of what their configs have. {BETA_WORDS}',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: quicker, less exact')
    for name, text in (
        ('epochs', 'epochs of a run (10)'),
        ('images', 'training images (all)'),
        ('batch-size', 'images per step (128)'),
        ('size', 'side of the views in pixels (64)'),
        ('width', "channels of the ResNet-18's first stage (32)"),
    ):
        parser.add_argument(f'--{name}', type=int, help=text)
    args = parser.parse_args()
    asked = args.list + args.index + args.metafiles
    if asked + (args.table is not None) + (args.figure is not None) != 1:
        parser.error('give one of --list, --index, --metafiles, --table and --figure')
    if args.out and (not args.figure or args.out.suffix not in ('.svg', '.png', '.pdf')):
        parser.error('--out is the file of a --figure, .svg, .png or .pdf')
    if args.run != (args.scale is not None):
        parser.error(
            '--run needs --scale small, and the other way round: full-size runs are for the '
            'commands that --table prints'
        )
    for name in ('seeds', 'jobs'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be at least 1, got {getattr(args, name)}')
    return args


def main(args: Namespace) -> None:
    """List the tables, print one, or run its rows."""
    from mmengine.logging import MMLogger

    from mmjoint.pairs.betas import one_setting, parse_beta, setting_label
    from mmjoint.paper.results import find_results, format_table
    from mmjoint.paper.runs import choose_rows, run_table
    from mmjoint.paper.tables import (
        TABLES,
        evaluate_command,
        format_markdown,
        get_table,
        pretrain_command,
    )

    MMLogger.get_instance('mmjoint', log_level='WARNING')
    if args.figure:
        from mmjoint.paper.figures import figure_7, format_figure, plot_figure
        from mmjoint.utils.files import check_output

        check_output(args.out)
        measured = figure_7()
        print(format_figure(measured))
        if args.out:
            plot_figure(measured, args.out)
        return
    if args.list:
        for table in TABLES:
            print(f'{table.name:<5}{table.label}: {table.title} ({len(table.rows)} rows)')
        return
    if args.index:
        print('\n\n'.join(format_markdown(table) for table in TABLES))
        return
    if args.metafiles:
        from mmjoint.paper.metafiles import metafiles
        from mmjoint.utils.files import write_output

        for name, text in metafiles(ROOT).items():
            write_output(ROOT / name, text)
        return
    rows = choose_rows(args)
    if args.beta:
        args.beta = one_setting([parse_beta(word) for word in args.beta])
    if args.run:
        run_table(ROOT, args, rows)
        print()
    else:
        for row in rows:
            print(f'# {row.method} {row.data} {row.variant}'.replace('  ', ' '))
            beta = f' --beta {setting_label(args.beta)}' if args.beta else ''
            print(f'{pretrain_command(row)}{beta}\n{evaluate_command(row)}')
        print()
    results = find_results(args.work_dirs, rows) if args.work_dirs.is_dir() else {}
    table = get_table(args.table)
    print(format_table(type(table)(table.name, table.title, rows, table.note), results))
    if args.run:
        print(f'\n{NOTE}')


if __name__ == '__main__':
    start(main, parse_args())
