"""Measure how fast a run trains SimCLR with ResNet-18, compared with a bare PyTorch loop."""

import argparse
import json
import os
from pathlib import Path

import torch
from step_benchmark import VARIANTS, benchmark_step

from mmjoint import engine
from mmjoint.utils.errors import one_line_errors
from mmjoint.utils.files import check_output, write_output

CONFIG = (
    Path(__file__).resolve().parents[2]
    / 'configs/simclr/simclr_resnet18_4xb128-coslr-500e_tiny-imagenet.py'
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=Path, help='file to write the result to')
    parser.add_argument(
        '--variants', nargs='+', default=list(VARIANTS), choices=VARIANTS, help='(default: all)'
    )
    parser.add_argument('--rounds', type=int, default=8, help='rounds of each loop (default: 8)')
    parser.add_argument(
        '--steps', type=int, default=2, help='steps of each loop per round (default: 2)'
    )
    parser.add_argument(
        '--data-root',
        help='Tiny-ImageNet, as published or in folders: both loops train on its images and wait '
        'for a data loader of their own (default: one batch of noise in memory)',
    )
    parser.add_argument('--batch-size', type=int, default=64, help='images per step (default: 64)')
    parser.add_argument(
        '--workers', type=int, default=1, help='workers of each loader (default: 1)'
    )
    parser.set_defaults(config=str(CONFIG), launcher='none', work_dir=None, no_pin_memory=False)
    args = parser.parse_args()
    args.cfg_options = {
        'train_dataloader.batch_size': args.batch_size,
        'train_dataloader.num_workers': args.workers,
    }
    if args.data_root:
        args.cfg_options['train_dataloader.dataset.data_root'] = args.data_root
    return args


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_output(args.json)
        result = dict(
            threads=torch.get_num_threads(),
            torch=torch.__version__,
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
            data='loader' if args.data_root else 'memory',
            load_before=os.getloadavg(),
            variants={},
        )
        print(
            f'{"pairs per second":36}{"Runner":>8}{"bare":>8}   ratio (quartiles);  '
            'per second of CPU time: Runner, ratio'
        )
        for name in args.variants:
            cfg = engine.load_config(args)
            measured = benchmark_step(
                cfg, VARIANTS[name], args.rounds, args.steps, loader=bool(args.data_root)
            )
            result['variants'][name] = measured
            median = {
                key: measured[key]['median']
                for key in ('runner', 'bare', 'ratio', 'runner_cpu', 'cpu_ratio')
            }
            low, high = measured['ratio']['quartiles']
            print(
                f'{name:36}{median["runner"]:8.1f}{median["bare"]:8.1f}   '
                f'{median["ratio"]:.3f} ({low:.3f}-{high:.3f});  {median["runner_cpu"]:.1f}, '
                f'{median["cpu_ratio"]:.3f};  data_time {measured["data_time"] * 1000:.1f} ms',
                flush=True,
            )
            if args.json:
                write_output(args.json, json.dumps(result, indent=2) + '\n')


if __name__ == '__main__':
    main()
