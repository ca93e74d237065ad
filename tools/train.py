"""Trains from a config, with the interface of mmpretrain's tools/train.py."""

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import TYPE_CHECKING

from command_line import BETA_WORDS, add_run_options, start

if TYPE_CHECKING:
    from mmengine.config import Config


def parse_args() -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description='Train from a config, on GPUs or on the CPU.')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--beta',
        nargs='+',
        metavar='BETA',
        help=f'beta of the joint augmentations, in place of what the config has. {BETA_WORDS}',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CKPT',
        help='continue from a checkpoint; without CKPT, from the last in the work directory if any',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='start again although the work directory holds a run: its checkpoints are removed',
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision: float16 on a GPU, or bfloat16 with --cfg-options '
        'optim_wrapper.dtype=bfloat16; bfloat16 on the CPU',
    )
    parser.add_argument(
        '--channels-last',
        action=BooleanOptionalAction,
        help='convolutions in the memory layout NHWC (default: on the CPU, and on a GPU unless the '
        'backbone is a transformer)',
    )
    parser.add_argument(
        '--compile', action='store_true', help='compile the backbone with torch.compile'
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help="scale the learning rate by batch size / the config's auto_scale_lr.base_batch_size",
    )
    parser.add_argument('--no-validate', action='store_true', help='no validation while training')
    parser.add_argument(
        '--tensorboard', action='store_true', help='write TensorBoard files beside the logs'
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='restart the data loader workers in every epoch',
    )
    parser.add_argument(
        '--hook',
        nargs='+',
        action='append',
        metavar=('TYPE', 'KEY=VALUE'),
        help='add a hook, or change the one of this type, such as --hook KNNHook interval=5; may '
        'be given several times',
    )
    add_run_options(parser)
    return parser.parse_args()


def apply(args: Namespace, cfg: 'Config') -> None:
    """Apply the arguments that are only for training."""
    from mmengine.config import ConfigDict
    from mmengine.device import get_device

    from mmjoint.engine import acceleration
    from mmjoint.pairs.betas import one_setting, parse_beta, setting_label
    from mmjoint.pairs.source import set_config_betas

    if args.beta:
        changed = set_config_betas(cfg, one_setting([parse_beta(word) for word in args.beta]))
        print(f'--beta: {setting_label(changed)}')
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        acceleration.use_amp(cfg)
    channels_last = args.channels_last
    if channels_last is None:
        channels_last = acceleration.suits_channels_last(cfg, get_device())
    if channels_last:
        acceleration.use_channels_last(cfg)
    acceleration.use_tf32(get_device())
    if args.compile:
        acceleration.use_compile(cfg)
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f'--auto-scale-lr: {args.config} has no auto_scale_lr.base_batch_size, the batch '
                'size that its learning rate is for'
            )
        cfg.auto_scale_lr.enable = True
    if args.tensorboard:
        visualizer = cfg.get('visualizer') or ConfigDict(type='Visualizer')
        backends = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
        visualizer.vis_backends = [*backends, dict(type='TensorboardVisBackend')]
        cfg.visualizer = visualizer
    loader = cfg.get('train_dataloader') or ConfigDict()
    if args.no_persistent_workers:
        loader.persistent_workers = False
    loader.setdefault('persistent_workers', True)


def main(args: Namespace) -> None:
    """Train the model."""
    from mmjoint import engine

    cfg = engine.load_config(args)
    apply(args, cfg)
    engine.enter_work_dir(cfg, args.resume, args.overwrite)
    engine.guard_run(cfg)
    engine.fit_to_machine(cfg)
    engine.build_runner(cfg, strict=bool(cfg.get('resume'))).train()
    engine.disconnect()


if __name__ == '__main__':
    start(main, parse_args())
