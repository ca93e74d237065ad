"""Evaluates a checkpoint on the config's test set, as mmpretrain's tools/test.py does."""

import contextlib
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from command_line import add_run_options, start

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description="Evaluate a checkpoint on the config's test set.")
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', metavar='FILE', help='file to write the result to')
    parser.add_argument(
        '--out-item',
        choices=['metrics', 'pred'],
        default='pred',
        help='what to write: the metrics (.json, .yaml, .pkl) or the predictions (.pkl; default)',
    )
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision (bfloat16 on the CPU)'
    )
    add_run_options(parser)
    args = parser.parse_args()
    suffixes = ['.pkl', '.pickle'] + ['.json', '.yaml', '.yml'] * (args.out_item == 'metrics')
    if args.out and Path(args.out).suffix not in suffixes:
        parser.error(
            f'--out {args.out}: for {args.out_item} it must end in {" or ".join(suffixes)}'
        )
    return args


def apply(args: Namespace, cfg: 'Config') -> None:
    """Apply the arguments that are only for testing."""
    if cfg.get('test_dataloader') is None:
        raise ValueError(
            f'{args.config} has no test set (test_dataloader): take the config of a linear probe, '
            'or tools/knn.py for a pretraining config'
        )
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.amp:
        cfg.test_cfg.fp16 = True


def main(args: Namespace) -> None:
    """Test the checkpoint."""
    import mmengine
    from mmengine.dist import is_main_process
    from mmengine.evaluator import DumpResults

    from mmjoint import engine
    from mmjoint.utils.files import check_output, whole_file

    check_output(args.out)
    cfg = engine.load_config(args)
    apply(args, cfg)
    engine.fit_to_machine(cfg)
    runner = engine.build_runner(cfg, strict=True)
    with contextlib.ExitStack() as stack:
        out = None
        if args.out and is_main_process():
            out = stack.enter_context(whole_file(args.out)).name
        if args.out and args.out_item == 'pred':
            runner.test_evaluator.metrics.append(DumpResults(out or args.out))
        metrics = runner.test()
        if out and args.out_item == 'metrics':
            mmengine.dump(metrics, out)
    engine.disconnect()


if __name__ == '__main__':
    start(main, parse_args())
