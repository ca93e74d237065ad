"""Compare what every joint augmentation draws with its closed form: Kolmogorov-Smirnov distances.

The distance of n pairs from their own distribution exceeds 1.63 / sqrt(n) in 1 of 100 cases.
JointCrop with beta None draws areas that do not fit the square image anew, so it differs.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from command_line import start

AUGMENTATIONS = dict(
    JointCrop=dict(crop_ratio_range=(0.2, 1.0)),
    JointBlur=dict(prob=1.0),
    JointColor=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    JointRotation=dict(),
    JointErasing=dict(prob=1.0),
    JointSolarize=dict(prob=1.0),
    JointFlip=dict(prob=0.5),
    JointGray=dict(prob=0.2),
)
# The range of the area, and a law of the relative position.
LAWS: list[tuple[tuple[float, float], str, tuple[float, float]]] = [
    ((0.08, 1.0), 'overlap', (0.2, 0.6)),
    ((0.08, 0.5), 'overlap', (0.2, 0.6)),
    ((0.08, 0.5), 'overlap', (0.0, 1.0)),
    ((0.08, 1.0), 'distance', (0.1, 0.3)),
    ((0.08, 0.5), 'distance', (0.1, 0.3)),
]
BETAS = (None, 2, 0, -2)
RHOS = (None, 1, 0.5, -0.25)


def parse_args() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--pairs', type=int, default=100_000, help='pairs of each law (100000)')
    args = parser.parse_args()
    if args.pairs < 1:
        parser.error(f'--pairs must be at least 1, got {args.pairs}')
    return args


def distances(kind: str, settings: dict, pairs: int) -> Iterator[tuple[str, float, float]]:
    """Yield each quantity with its distance as drawn, and the share carried out otherwise."""
    import numpy as np

    from mmjoint import transforms
    from mmjoint.pairs.statistics import Draws
    from mmjoint.transforms.draws import seed_draws

    transform = getattr(transforms, kind)(**settings)
    results = dict(img=np.empty((224, 224, 3), np.uint8))
    seed_draws(0)
    drawn = [transform.sample(results) for _ in range(pairs)]
    for quantity in transform.joint:
        if quantity.law is None:
            continue
        values, done = (
            np.array([quantity.compare(*pair, done=how) for pair in drawn]) for how in (False, True)
        )
        found = Draws(quantity, values, done, [quantity.law] * pairs).kolmogorov_smirnov()
        assert found is not None  # every quantity here has a distribution
        # Whole pixels move overlaps and distances by less than this.
        yield quantity.name, found, float(np.mean(np.abs(values - done) > 0.02))


def main(args: Namespace) -> None:
    """Print the tables."""
    print(f'{args.pairs:,} pairs; 1 of 100 exceeds {1.628 / args.pairs**0.5:.4f}\n')
    for names, argument, values in (
        (list(AUGMENTATIONS)[:6], 'beta', BETAS),
        (list(AUGMENTATIONS)[6:], 'rho', RHOS),
    ):
        print('| quantity | ' + ' | '.join(f'{argument} {value}' for value in values) + ' |')
        print('|---' * (len(values) + 1) + '|')
        for name in names:
            columns = [
                list(distances(name, {**AUGMENTATIONS[name], argument: value}, args.pairs))
                for value in values
            ]
            for row in zip(*columns, strict=True):
                told = ' | '.join(f'{distance:.4f}' for _, distance, _ in row)
                print(f'| {name}.{row[0][0]} | {told} |', flush=True)
        print()
    print('| JointCrop(beta=0), area | law | distance | pairs moved to the nearest |')
    print('|---|---|---|---|')
    for areas, name, limits in LAWS:
        settings = dict(crop_ratio_range=areas, beta=0, **{name: limits})
        for quantity, distance, moved in distances('JointCrop', settings, args.pairs):
            if quantity == name:
                told = f'{name} {limits[0]} to {limits[1]}'
                print(
                    f'| {areas[0]} to {areas[1]} | {told} | {distance:.4f} | {moved:.1%} |',
                    flush=True,
                )


if __name__ == '__main__':
    start(main, parse_args())
