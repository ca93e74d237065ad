#!/usr/bin/env bash
# Fine-tunes Faster R-CNN with FPN from a checkpoint on VOC07+12 and tests it on VOC2007.
#   bash transfer/torchvision/run_voc.sh CKPT [GPUS] [--voc-root FOLDER] [--trials 5] [--small] [...]
# CKPT is a checkpoint of a ResNet, `random` or `torchvision`; GPUS is a number of processes. The
# same command goes on after a kill. All options: python transfer/torchvision/train.py --help
source "$(dirname "${BASH_SOURCE[0]}")/run.sh" voc "$@"
