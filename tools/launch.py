"""Starts the processes of dist_train.sh and dist_test.sh: torchrun, fit for the CPU too.

Its arguments are torchrun's. On a machine without GPUs the CPU's cores are shared out among the
processes (torchrun would give each one thread), and a failed process is left to speak for itself:
torchrun would bury its message under a traceback of the launcher's own.
"""

import logging
import os
import sys

import torch
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import determine_local_world_size, parse_args, run


def main() -> None:
    """Run torchrun's command line and end with the status of the process that failed first."""
    args = parse_args(sys.argv[1:])
    if not torch.cuda.is_available():
        affinity = getattr(os, 'sched_getaffinity', None)  # Linux only
        cores = len(affinity(0)) if affinity else os.cpu_count()
        processes = determine_local_world_size(args.nproc_per_node)
        os.environ.setdefault('OMP_NUM_THREADS', str(max(1, cores // processes)))
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    try:
        run(args)
    except SignalException as error:
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:  # it had no chance to speak
            print(
                f'error: process {rank} was killed by signal {-failure.exitcode}', file=sys.stderr
            )
            sys.exit(128 - failure.exitcode)
        sys.exit(failure.exitcode)
    except torch.distributed.DistError as error:
        reason = str(error).splitlines()[0]
        sys.exit(f'error: the processes cannot connect at MASTER_ADDR:PORT: {reason}')


if __name__ == '__main__':
    main()
