#!/usr/bin/env bash
# Fine-tunes Mask R-CNN with FPN from a checkpoint on COCO train2017 and tests it on val2017.
#   bash transfer/torchvision/run_coco.sh CKPT [GPUS] [--coco-root FOLDER] [--trials 5] [--small] [...]
# CKPT is a checkpoint of a ResNet, `random` or `torchvision`; GPUS is a number of processes. The
# same command goes on after a kill. All options: python transfer/torchvision/train.py --help
source "$(dirname "${BASH_SOURCE[0]}")/run.sh" coco "$@"
