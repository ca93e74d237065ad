"""Measure the kNN accuracy of a pretrained backbone."""

import argparse
import json

from command_line import DEBUG_HELP, add_config_options, add_which_option, start


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=DEBUG_HELP)
    parser.add_argument('config', help='a pretraining or linear config with the kNN data sets')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint whose backbone is measured')
    parser.add_argument(
        '--random-init', action='store_true', help='measure the random initialization instead'
    )
    parser.add_argument('--data-root', help="folder to use instead of the data sets' data_root")
    parser.add_argument('--k', type=int, default=20, help='neighbors that vote (default: 20)')
    parser.add_argument(
        '--temperature', type=float, default=0.07, help='temperature of the votes (default: 0.07)'
    )
    parser.add_argument('--json', help='file to write the result to')
    add_which_option(parser)
    add_config_options(parser)
    args = parser.parse_args()
    if (args.checkpoint is None) != args.random_init:
        parser.error('give either a checkpoint or --random-init')
    return args


def main(args: argparse.Namespace) -> None:
    """Evaluate, print and write the result."""
    from mmengine.logging import MMLogger

    from mmjoint.engine import read_config
    from mmjoint.evaluation import evaluate_knn
    from mmjoint.utils.files import check_output, write_output

    # Without this, mmengine logs the initialization of every single weight.
    MMLogger.get_instance('mmjoint', log_level='WARNING')
    check_output(args.json)
    cfg = read_config(args.config, args.cfg_options)
    if args.data_root:
        for name in ('knn_train_dataloader', 'knn_val_dataloader'):
            if not cfg.get(name):
                raise ValueError(
                    f'--data-root {args.data_root}: {args.config} has no {name} whose folder that '
                    'would be; tools/evaluate.py --data FOLDER measures any config on a folder'
                )
            cfg[name].dataset.data_root = args.data_root
    result = evaluate_knn(cfg, args.checkpoint, args.k, args.temperature, which=args.which)
    result |= {'k': args.k, 'temperature': args.temperature}
    result |= {'config': args.config, 'checkpoint': args.checkpoint}
    result |= {'which': args.which if args.checkpoint else None}
    if args.json:
        write_output(args.json, json.dumps(result, indent=2) + '\n')
    accuracy = ', '.join(
        f'top-{top} {result[f"top{top}"]:.2f} %' for top in (1, 5) if f'top{top}' in result
    )
    print(
        f'kNN (k {args.k}, temperature {args.temperature}, {result["num_train"]} training and '
        f'{result["num_test"]} test images): {accuracy}'
    )


if __name__ == '__main__':
    start(main, parse_args())
