"""Writes a folder of images as tar files of the WebDataset format."""

import argparse

from command_line import start


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description='Write a folder of images as tar files of the WebDataset format, with their '
        'indices, for the data set WebDatasetShards. The files go in as they are.'
    )
    parser.add_argument('folder', help='folder of images, at any depth')
    parser.add_argument('out', help='folder to make')
    parser.add_argument(
        '--labels', action='store_true', help='each subfolder is a class; write its number'
    )
    parser.add_argument(
        '--images-per-shard', type=int, default=2000, metavar='N', help='default: 2000'
    )
    return parser.parse_args()


def main(args: argparse.Namespace) -> None:
    """Write the shards."""
    from mmjoint.datasets import write_shards

    images, shards = write_shards(args.folder, args.out, args.images_per_shard, args.labels)
    print(f'{args.out}: {images} images in {shards} shards')


if __name__ == '__main__':
    start(main, parse_args())
