"""Measure how fast a run trains SimCLR, beside a bare PyTorch loop and with real data loaders."""

import argparse
import json
import os
from pathlib import Path

import torch
from step_benchmark import (
    ARCHITECTURES,
    LOADERS,
    OPTIMIZERS,
    VARIANTS,
    benchmark_config,
    benchmark_loading,
    benchmark_step,
)

from mmjoint.utils.device import choose_device
from mmjoint.utils.errors import one_line_errors
from mmjoint.utils.files import check_output, write_output


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--device', help='cpu, cuda or cuda:NUMBER (default: the GPU if there is one)'
    )
    parser.add_argument(
        '--arch', default='resnet18', choices=ARCHITECTURES, help='network (default: resnet18)'
    )
    parser.add_argument(
        '--size', type=int, help='side of the views, pixels (default: 64; 224 for resnet50)'
    )
    parser.add_argument(
        '--optimizer',
        nargs='+',
        default=['sgd'],
        choices=OPTIMIZERS,
        help='optimizers to measure (default: sgd)',
    )
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=VARIANTS,
        help='formats and layouts to measure (default: on the CPU all but float16; on a GPU those '
        'with the channels last, not compiled)',
    )
    parser.add_argument('--rounds', type=int, default=8, help='rounds of each (default: 8)')
    parser.add_argument(
        '--steps', type=int, default=2, help='steps of each in a round (default: 2)'
    )
    parser.add_argument('--batch-size', type=int, default=64, help='images per step (default: 64)')
    parser.add_argument(
        '--data-root',
        metavar='FOLDER',
        help='photos, at any depth: the run is measured on what data loaders make of them, too',
    )
    parser.add_argument(
        '--workers', nargs='+', type=int, default=[1], help='of the loaders (default: 1)'
    )
    parser.add_argument(
        '--loaders',
        nargs='+',
        default=list(LOADERS),
        choices=LOADERS,
        help="pipelines: the config's and mmpretrain's own (default: both)",
    )
    parser.add_argument('--json', type=Path, help='file to write the result to')
    args = parser.parse_args()
    if min(args.workers) < 0:
        parser.error(f'--workers: expected numbers of at least 0, got {min(args.workers)}')
    return args


def device_facts(name: str | None) -> dict:
    """Choose the device and say what it is."""
    chosen, default = choose_device(name), choose_device()
    if chosen != default:
        raise ValueError(
            f'--device {name}: a run trains on the GPU where there is one; '
            'CUDA_VISIBLE_DEVICES=-1 hides it'
        )
    if chosen.type != 'cuda':
        return dict(device=str(chosen))
    return dict(
        device=torch.cuda.get_device_name(chosen),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
    )


def default_variants(gpu: bool) -> list[str]:
    if gpu:
        return [name for name, options in VARIANTS.items() if options[-1:] == ('channels_last',)]
    return [name for name in VARIANTS if not name.startswith('float16')]


def main() -> None:
    args = parse_args()
    with one_line_errors():
        check_output(args.json)
        result = dict(
            **device_facts(args.device),
            torch=torch.__version__,
            threads=torch.get_num_threads(),
            arch=args.arch,
            size=args.size or {'resnet18': 64, 'resnet50': 224}[args.arch],
            load_before=os.getloadavg(),
            rows=[],
        )
        print(
            f'{result["device"]}, torch {result["torch"]}, {result["threads"]} threads; '
            f'{args.arch}, {result["size"]} px, {args.batch_size} images per step\n'
            f'{"images per second":42}{"run":>8}{"bare":>9}   run / bare (quartiles)'
        )

        def keep(row: dict) -> None:
            result['rows'].append(row)
            if args.json:
                write_output(args.json, json.dumps(result, indent=2) + '\n')

        variants = args.variants or default_variants('cuda' in result)
        for optimizer, variant in ((o, v) for o in args.optimizer for v in variants):
            cfg = benchmark_config(args.arch, optimizer, result['size'], args.batch_size)
            options = VARIANTS[variant]
            names = dict(optimizer=optimizer, variant=variant)
            row = benchmark_step(cfg, options, args.rounds, args.steps)
            keep(dict(names, data='memory', **row))
            print(describe_step(f'{optimizer}, {variant}', row), flush=True)
            if not args.data_root:
                continue
            for loader, workers in ((name, w) for name in args.loaders for w in args.workers):
                loaded = benchmark_loading(
                    cfg,
                    options,
                    args.data_root,
                    loader,
                    args.arch,
                    workers,
                    args.rounds,
                    args.steps,
                )
                loaded['ratio'] = loaded['runner']['median'] / row['bare']['median']
                keep(dict(names, data=loader, **loaded))
                print(describe_loading(f'  {loader}, {workers} workers', loaded), flush=True)


def describe_step(name: str, row: dict) -> str:
    low, high = row['ratio']['quartiles']
    line = (
        f'{name:42}{row["runner"]["median"]:8.1f}{row["bare"]["median"]:9.1f}   '
        f'{row["ratio"]["median"]:.3f} ({low:.3f}-{high:.3f}); of CPU time '
        f'{row["runner_cpu"]["median"]:.1f}, {row["cpu_ratio"]["median"]:.3f}; '
        f'waits for data {row["waiting"]:.1%}'
    )
    if 'memory' in row:
        run, bare = (size / 2**30 for size in row['memory'])
        line += f'; memory {run:.1f} and {bare:.1f} GiB'
    return line


def describe_loading(name: str, row: dict) -> str:
    return (
        f'{name:42}{row["runner"]["median"]:8.1f}{"":9}   {row["ratio"]:.3f}; '
        f'waits for data {row["waiting"]:.1%}'
    )


if __name__ == '__main__':
    main()
