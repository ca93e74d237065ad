"""Two processes that share features: the first prints the kNN accuracy of all of them.

Called as ``python knn_worker.py FOLDER``, with data.pt in the folder.
"""

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from mmjoint.hooks.knn import shared_knn_accuracy

if __name__ == '__main__':
    folder = Path(sys.argv[1])
    other = os.fork()  # sooner there than a process that imports everything
    rank = 0 if other else 1
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    train, train_labels, test, test_labels = torch.load(folder / 'data.pt')
    accuracy = shared_knn_accuracy(
        train[rank::2], train_labels[rank::2], test[rank::2], test_labels[rank::2], k=7
    )
    if rank == 0:
        print(json.dumps(accuracy))
    dist.destroy_process_group()
    if other:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
