"""Starts the processes of dist_train.sh, dist_test.sh and transfer's scripts.

It is torchrun, with its arguments, except for four things. On a machine without GPUs the CPU's
cores are divided among the processes (torchrun would give each one thread). The store through which
the processes of one machine meet listens only on the loopback interface (torchrun's listens on
every interface and accepts every connection), at a free port unless --master_port names one. A
failed process reports its own error: torchrun would hide that message under a traceback of the
launcher. And the current folder is not put on the path.
"""

import argparse
import logging
import os
import socket
import sys

from command_line import not_installed

try:
    import torch
    from torch.distributed import TCPStore
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import (
        RendezvousInfo,
        RendezvousParameters,
        rendezvous_handler_registry,
    )
    from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous
    from torch.distributed.run import determine_local_world_size, parse_args, run
except ImportError as error:
    sys.exit(not_installed(error))

LOOPBACK = '127.0.0.1'


class LoopbackRendezvous(StaticTCPRendezvous):
    """The meeting point of one machine's processes: a store that other machines cannot reach."""

    def get_backend(self) -> str:
        return 'loopback'

    def next_rendezvous(self) -> RendezvousInfo:
        if self._store is None:
            # TCPStore listens on all interfaces, whatever its address, unless it gets a socket.
            listener = socket.create_server((LOOPBACK, self.master_port))
            self.master_port = listener.getsockname()[1]
            self._store = TCPStore(
                LOOPBACK,
                self.master_port,
                self.world_size,
                True,
                self.timeout,
                multi_tenant=True,
                master_listen_fd=listener.detach(),
            )
        return super().next_rendezvous()


def loopback_rendezvous(parameters: RendezvousParameters) -> LoopbackRendezvous:
    port = int(parameters.endpoint.rpartition(':')[2])
    return LoopbackRendezvous(LOOPBACK, port, 0, 1, parameters.run_id, timeout=600)


def choose_rendezvous(args: argparse.Namespace) -> None:
    """Make the processes meet on the loopback interface unless there are several machines."""
    port = int(args.master_port or 0)
    if args.nnodes == '1' and args.rdzv_backend == 'static' and not args.rdzv_endpoint:
        rendezvous_handler_registry.register('loopback', loopback_rendezvous)
        args.rdzv_backend, args.rdzv_endpoint = 'loopback', f'{LOOPBACK}:{port}'
    else:
        args.master_port = port or 29500


def main() -> None:
    """Run torchrun's command line and exit with the status of the process that failed first."""
    args = parse_args(sys.argv[1:])
    choose_rendezvous(args)
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
        if failure.exitcode < 0:  # it could not report an error itself
            print(
                f'error: process {rank} was killed by signal {-failure.exitcode}', file=sys.stderr
            )
            sys.exit(128 - failure.exitcode)
        sys.exit(failure.exitcode)
    except (torch.distributed.DistError, OSError) as error:
        reason = str(error).splitlines()[0]
        sys.exit(f'error: the processes cannot connect at MASTER_ADDR:PORT: {reason}')


if __name__ == '__main__':
    main()
