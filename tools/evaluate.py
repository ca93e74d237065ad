"""Measure a frozen backbone: kNN, linear and few-shot accuracy from one pass over the images."""

import argparse
from pathlib import Path

from command_line import DEBUG_HELP, add_config_options, add_which_option, start

PROTOCOLS = ('knn', 'linear', 'few-shot')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=DEBUG_HELP)
    parser.add_argument('config', help='the pretraining config of the checkpoint')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint whose backbone is measured')
    parser.add_argument(
        '--random-init', action='store_true', help='measure the random initialization instead'
    )
    parser.add_argument(
        '--data',
        metavar='FOLDER',
        help='labeled images: train/CLASS/IMAGE and val/CLASS/IMAGE, or Tiny-ImageNet as '
        "published (default: the config's knn data loaders)",
    )
    parser.add_argument(
        '--protocol',
        default=','.join(PROTOCOLS),
        metavar='NAMES',
        help=f'some of {",".join(PROTOCOLS)} (default: all)',
    )
    parser.add_argument('--k', type=int, default=20, help='neighbors that vote (default: 20)')
    parser.add_argument(
        '--temperature', type=float, default=0.07, help='temperature of the votes (default: 0.07)'
    )
    parser.add_argument(
        '--draws', type=int, default=5, help='label subsets of each size (default: 5)'
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='seed of the label subsets (default: 0)'
    )
    parser.add_argument(
        '--json',
        metavar='FILE',
        help="file of the result (default: evaluation.json in the checkpoint's folder)",
    )
    parser.add_argument(
        '--cache', metavar='FOLDER', help='keep the features there and take them from there'
    )
    add_which_option(parser)
    add_config_options(parser)
    args = parser.parse_args()
    args.protocol = [name.strip() for name in args.protocol.split(',')]
    for name in args.protocol:
        if name not in PROTOCOLS:
            parser.error(f'--protocol {name}: choose from {",".join(PROTOCOLS)}')
    if (args.checkpoint is None) != args.random_init:
        parser.error('give either a checkpoint or --random-init')
    return args


def main(args: argparse.Namespace) -> None:
    """Evaluate, print and write the result."""
    from mmengine.logging import MMLogger

    from mmjoint import evaluation
    from mmjoint.engine import read_config
    from mmjoint.utils.files import check_output

    # Without this, mmengine logs the initialization of every single weight.
    MMLogger.get_instance('mmjoint', log_level='WARNING')
    out = args.json
    if out is None and args.checkpoint:
        out = Path(args.checkpoint).with_name('evaluation.json')
        if not Path(args.checkpoint).is_file():
            raise ValueError(f'{args.checkpoint}: no such checkpoint file')
    check_output(out)
    cfg = read_config(args.config, args.cfg_options)
    if args.data:
        evaluation.use_folder(cfg, args.data)
    features = evaluation.cached_features(cfg, args.checkpoint, args.cache, args.which)
    result = evaluation.provenance(cfg, args.checkpoint, args.which)
    result |= dict(num_train=len(features[0][1]), num_test=len(features[1][1]))
    result['results'] = evaluation.evaluate_protocols(
        features, args.protocol, args.k, args.temperature, args.draws, args.seed
    )
    result['seed'] = args.seed
    if out:
        evaluation.write_evaluation(out, result)
    print(f'{result["num_train"]} training and {result["num_test"]} test images')
    for line in describe(result['results']):
        print(line)
    if out:
        print(f'wrote {out}')


def describe(results: dict) -> list[str]:
    """Format the accuracies as lines."""
    lines = []
    if 'knn' in results:
        knn = results['knn']
        tops = ', '.join(f'{top} {knn[top]:.2f} %' for top in ('top1', 'top5') if top in knn)
        lines.append(f'kNN: {tops} (k {knn["k"]}, temperature {knn["temperature"]})')
    if 'linear' in results:
        linear = results['linear']
        lines.append(f'linear: top1 {linear["top1"]:.2f} % (weight decay {linear["weight_decay"]})')
    for fraction, few in results.get('few-shot', {}).items():
        spread = '' if few['std'] is None else f' +- {few["std"]:.2f}'
        lines.append(
            f'{fraction} of the labels: top1 {few["top1"]:.2f}{spread} % '
            f'({len(few["draws"])} draws of {few["num_train"]} images)'
        )
    return lines


if __name__ == '__main__':
    start(main, parse_args())
