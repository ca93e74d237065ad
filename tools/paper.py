"""The paper (arXiv 2412.16522): its tables, figures and open checks; reduced runs; studies.

A reduced run trains a row of a table with tools/train.py at a size that one machine can do, and
measures kNN and linear accuracy of its frozen backbone. A study compares betas over many paired
seeds. A second start continues where the last one ended.
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
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--list', action='store_true', help='list the tables and the studies')
    what.add_argument(
        '--index', action='store_true', help='print all tables as configs/README.md has them'
    )
    what.add_argument(
        '--metafiles',
        action='store_true',
        help='write model-index.yml and the metafiles of configs',
    )
    what.add_argument('--table', metavar='NAME', help='the table or check; see --list')
    what.add_argument(
        '--figure',
        choices=['5', '7'],
        help='5: training loss of SimSiam by beta, from runs of table 5; 7: distance of the '
        'centers by beta, 3 times 100,000 pairs',
    )
    what.add_argument('--study', metavar='NAME', help='the study; see --list')
    parser.add_argument('--out', type=Path, help='also draw the figure into this file (.svg, .png)')
    parser.add_argument(
        '--evidence',
        type=Path,
        default=ROOT / 'docs/evidence',
        help='folder of the results of studies and of their page (docs/evidence)',
    )
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
    parser.add_argument(
        '--jobs',
        type=int,
        help='runs at the same time (one per core, or one on a GPU, which gets loader workers)',
    )
    parser.add_argument(
        '--beta',
        nargs='+',
        metavar='BETA',
        help=f'beta for all rows, in place of what their configs have. {BETA_WORDS}',
    )
    parser.add_argument('--amp', action='store_true', help='mixed precision: quicker, less exact')
    for name, text in (
        ('epochs', 'epochs of a run (10; 5 for table 8)'),
        ('images', 'training images (all)'),
        ('batch-size', 'images per step (128)'),
        ('size', 'side of the views in pixels (64)'),
        ('width', "channels of the ResNet-18's first stage (32)"),
    ):
        parser.add_argument(f'--{name}', type=int, help=text)
    args = parser.parse_args()
    if args.out and (not args.figure or args.out.suffix not in ('.svg', '.png', '.pdf')):
        parser.error('--out is the file of a --figure, .svg, .png or .pdf')
    if args.run != (args.scale is not None):
        parser.error(
            '--run needs --scale small, and the other way round: full-size runs are for the '
            'commands that --table prints'
        )
    if args.run and (args.list or args.index or args.metafiles or args.figure == '7'):
        parser.error('--run is for a --table, --figure 5 or a --study')
    own = ('epochs', 'images', 'batch_size', 'size', 'width', 'amp', 'beta', 'methods')
    if args.study and (given := [name for name in own if getattr(args, name)]):
        parser.error(f'--{given[0].replace("_", "-")}: a study sets its size and betas itself')
    for name in ('seeds', 'jobs'):
        if (value := getattr(args, name)) is not None and value < 1:
            parser.error(f'--{name} must be at least 1, got {value}')
    return args


def main(args: Namespace) -> None:
    """List, print, draw or run what the command line asks for."""
    from mmengine.logging import MMLogger

    from mmjoint.paper.metafiles import metafiles
    from mmjoint.paper.rows import format_markdown
    from mmjoint.paper.studies import STUDIES
    from mmjoint.paper.tables import TABLES
    from mmjoint.utils.files import write_output

    MMLogger.get_instance('mmjoint', log_level='WARNING')
    if args.list:
        for table in TABLES:
            print(f'{table.name:<7}{table.label}: {table.title} ({len(table.rows)} rows)')
        for study in STUDIES:
            runs = study.seeds + sum(study.settings.values())
            print(f'{study.name} Study: {study.title}, {", ".join(study.settings)} ({runs} runs)')
    elif args.index:
        print('\n\n'.join(format_markdown(table) for table in TABLES))
    elif args.metafiles:
        for name, text in metafiles(ROOT).items():
            write_output(ROOT / name, text)
    elif args.study:
        show_study(args)
    elif args.figure:
        draw_figure(args)
    else:
        show_table(args)


def show_table(args: Namespace) -> None:
    """Run the rows of a table, or print their commands; then print numbers and results."""
    from dataclasses import replace

    from mmjoint.pairs.betas import one_setting, parse_beta, setting_label
    from mmjoint.paper.results import find_results, format_table
    from mmjoint.paper.rows import evaluate_command, pretrain_command
    from mmjoint.paper.runs import choose_rows, run_table
    from mmjoint.paper.tables import get_table

    rows = choose_rows(args)
    if args.beta:
        args.beta = one_setting([parse_beta(word) for word in args.beta])
    if args.run:
        run_table(ROOT, args, rows)
    else:
        for row in rows:
            print(f'# {row.method} {row.data} {row.variant}'.replace('  ', ' '))
            beta = f' --beta {setting_label(args.beta)}' if args.beta else ''
            print(f'{pretrain_command(row)}{beta}\n{evaluate_command(row)}'.rstrip())
    results = find_results(args.work_dirs, rows) if args.work_dirs.is_dir() else {}
    print('\n' + format_table(replace(get_table(args.table), rows=rows), results))
    if args.run:
        print(f'\n{NOTE}')


def draw_figure(args: Namespace) -> None:
    """Measure a figure, print its numbers and draw it."""
    from mmjoint.paper import figures
    from mmjoint.paper.runs import choose_rows, run_table
    from mmjoint.utils.files import check_output

    check_output(args.out)
    if args.figure == '7':
        measured = figures.figure_7()
        print(figures.format_figure_7(measured))
        if args.out:
            figures.plot_figure_7(measured, args.out)
        return
    args.table, args.methods = '5', args.methods or ['SimSiam']
    rows = choose_rows(args)
    if args.run:
        run_table(ROOT, args, rows)
        print()
    measured = figures.figure_5(args.work_dirs, rows)
    print(figures.format_figure_5(measured))
    if args.out:
        figures.plot_figure_5(measured, args.out)


def show_study(args: Namespace) -> None:
    """Run what of a study has no result yet; write and print the page of all studies."""
    from mmjoint.paper.evidence import write_page
    from mmjoint.paper.studies import get_study, run_study

    study = get_study(args.study)
    results = args.evidence / f'{study.name}.json'
    if args.run:
        folder = args.work_dirs.resolve() / study.name
        run_study(ROOT, study, args.data_root, folder, results, args.jobs)
    elif not results.is_file():
        raise FileNotFoundError(f'{results}: no such results; --run makes them')
    print(write_page(args.evidence))


if __name__ == '__main__':
    start(main, parse_args())
