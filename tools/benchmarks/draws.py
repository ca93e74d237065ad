"""Measure what it costs to tie the draws of a sample to (seed, epoch, index).

Batches of 32 samples are loaded with and without it, in turn.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from command_line import start

VIEWS = Path(__file__).resolve().parents[2] / 'configs/_base_/views'
BATCH = 32


def parse_args() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', help='photos, searched with its subfolders')
    names = sorted(file.stem for file in VIEWS.glob('*.py'))
    parser.add_argument('--views', choices=names, default='simclr', help='(simclr)')
    parser.add_argument('--seconds', type=float, default=60, help='of measurement (60)')
    return parser.parse_args()


def main(args: Namespace) -> None:
    """Run the benchmark."""
    from mmengine.config import Config
    from rounds import summary, time_rounds

    from mmjoint.datasets import ImageFolder
    from mmjoint.transforms.draws import Draw, tie_dataset

    config = Config.fromfile(VIEWS / f'{args.views}.py')
    dataset = tie_dataset(ImageFolder(args.folder, pipeline=config.train_pipeline), seed=0)
    batches = [
        [Draw(index % len(dataset), index // len(dataset)) for index in range(first, first + BATCH)]
        for first in range(0, max(len(dataset), 20 * BATCH), BATCH)
    ]
    functions = dict(
        free=lambda batch: [dataset[int(index)] for index in batch], tied=dataset.__getitems__
    )
    rounds = time_rounds(functions, batches, args.seconds, photos_per_round=1)
    milliseconds = summary([row['free'] / BATCH for row in rounds])['median']
    costs = summary([100 * (row['tied'] / row['free'] - 1) for row in rounds])
    low, high = costs['quartiles']
    print(
        f'{args.views}: {milliseconds:.3f} ms per sample; tied draws cost {costs["median"]:.1f} % '
        f'(quartiles {low:.1f} to {high:.1f}) more, {len(rounds)} rounds'
    )


if __name__ == '__main__':
    start(main, parse_args())
