"""Measure how fast SimCLR's views are made from a folder of photos: mmjoint against others."""

import argparse
import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# albumentations, which mmpretrain imports if it is there, asks PyPI for its newest version.
os.environ['NO_ALBUMENTATIONS_UPDATE'] = '1'

from mmengine.config import Config  # noqa: E402

from mmjoint.evaluation.view_benchmark import benchmark_views  # noqa: E402

SUFFIXES = {'.jpg', '.jpeg', '.png', '.webp', '.bmp'}
COMPARED = (
    'mmjoint',
    'torch',
    'torchvision',
    'opencv-python',
    'pillow',
    'albumentations',
    'lightly',
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', type=Path, help='folder of photos, searched with its subfolders')
    parser.add_argument('--json', type=Path, help='file to write the result to')
    parser.add_argument('--size', type=int, default=224, help='of the views, pixels (default: 224)')
    parser.add_argument(
        '--seconds', type=float, default=60, help='how long to measure (default: 60)'
    )
    return parser.parse_args()


def versions() -> dict[str, str | None]:
    found = {}
    for name in COMPARED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def main() -> None:
    args = parse_args()
    files = sorted(str(f) for f in args.folder.rglob('*') if f.suffix.lower() in SUFFIXES)
    if not files:
        sys.exit(f'benchmark_views: no photos ({", ".join(sorted(SUFFIXES))}) in {args.folder}')
    if args.json and not args.json.parent.is_dir():
        sys.exit(f'benchmark_views: --json {args.json}: there is no folder {args.json.parent}')
    base = Path(__file__).resolve().parents[1] / 'configs/_base_/views/simclr.py'
    (views,) = Config.fromfile(base).train_pipeline[1].transforms
    try:
        result = benchmark_views(files, views, args.size, args.seconds)
    except OSError as error:
        sys.exit(f'benchmark_views: {error}')
    result = dict(photos=len(files), size=args.size, versions=versions(), **result)

    print(f'{"":26}{"pairs/s and core":>20}{"times mmpretrain":>22}   (median, quartiles)')
    for name, speed in result['pairs_per_second'].items():
        low, high = speed['quartiles']
        ratio = result['times_mmpretrain'][name]
        print(
            f'{name:26}{speed["median"]:8.1f} {low:6.1f}-{high:5.1f}'
            f'{ratio["median"]:12.2f} {ratio["quartiles"][0]:.2f}-{ratio["quartiles"][1]:.2f}'
        )
    joint = result['joint_to_independent']
    print(
        f'mmjoint joint / mmjoint: {joint["median"]:.3f} '
        f'({joint["quartiles"][0]:.3f}-{joint["quartiles"][1]:.3f}) over {result["rounds"]} rounds'
    )
    for name in ('albumentations', 'lightly'):
        if result['versions'][name] is None:
            print(f"{name} is not installed (pip install 'mmjoint[bench]' to compare with it)")
    if args.json:
        aside = args.json.with_name(args.json.name + '.part')
        aside.write_text(json.dumps(result, indent=2) + '\n')
        os.replace(aside, args.json)


if __name__ == '__main__':
    main()
