"""The parts of the command line that the tools share.

This file imports only the standard library: a tool reads its arguments before it imports mmjoint,
which takes seconds, so that ``--help`` and a mistyped argument are answered at once.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

DEBUG_HELP = 'MMJOINT_DEBUG=1 in the environment shows the traceback of an error.'


BETA_WORDS = (
    'A beta is a number, or None for independent draws. JointCrop=-1 and JointColor.hue=0 name an '
    'augmentation and, if given, one of its quantities. A beta without a name applies to those '
    'that the config makes joint; if it makes none joint, to the first that could be joint.'
)


def add_config_options(parser: ArgumentParser) -> None:
    """Add ``--cfg-options``, whose values ``mmjoint.engine.read_config`` reads."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        default=[],
        metavar='KEY=VALUE',
        help='settings of the config to change, such as train_dataloader.batch_size=64; a list is '
        'written KEY="[a,b]", an element of a list KEY.0.NAME=VALUE; text stays as it is, spaces '
        'and commas too, where the config has text',
    )


def add_which_option(parser: ArgumentParser) -> None:
    """Add ``--which``, as transfer/convert.py has it."""
    parser.add_argument(
        '--which',
        choices=['online', 'momentum'],
        default='online',
        help="the network trained by gradients, or its moving average, the method's or EMAHook's "
        '(default: online)',
    )


def add_run_options(parser: ArgumentParser) -> None:
    """Add the arguments that train.py and test.py share, under mmpretrain's names."""
    parser.epilog = DEBUG_HELP
    parser.add_argument(
        '--work-dir', help='folder of logs and checkpoints (default: work_dirs/NAME OF THE CONFIG)'
    )
    add_config_options(parser)
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='what started the processes; dist_train.sh and slurm_train.sh set it',
    )
    parser.add_argument(
        '--no-pin-memory', action='store_true', help='no pin_memory in the data loaders'
    )


def not_installed(error: ImportError) -> str:
    """Say what helps where a package cannot be imported."""
    root = Path(__file__).resolve().parents[1]
    if (root / '.venv/bin/activate').is_file() and Path(sys.prefix).resolve() != root / '.venv':
        return f'error: {error}; `source {root}/.venv/bin/activate` chooses what is set up here'
    return (
        f"error: {error}; in this project's folder, "
        f"{sys.executable} -m pip install -e '.[mm]' installs what is needed"
    )


def start(main: Callable[[Namespace], None], args: Namespace) -> None:
    """Run a tool; an error in the user's input ends it with one line and status 1.

    Args:
        main (Callable[[Namespace], None]): The tool, which imports what it needs of mmjoint.
        args (Namespace): Its arguments.
    """
    try:
        from mmjoint.utils.errors import one_line_errors
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        sys.exit(not_installed(error))
    with one_line_errors():
        main(args)
