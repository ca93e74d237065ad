"""One of two processes that share features: prints the kNN accuracy of all of them."""

import json
import sys

import torch
import torch.distributed as dist

from mmjoint.hooks.knn import shared_knn_accuracy

if __name__ == '__main__':
    rank, port, path = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    train, train_labels, test, test_labels = torch.load(path)
    accuracy = shared_knn_accuracy(
        train[rank::2], train_labels[rank::2], test[rank::2], test_labels[rank::2], k=7
    )
    if rank == 0:
        print(json.dumps(accuracy))
    dist.destroy_process_group()
