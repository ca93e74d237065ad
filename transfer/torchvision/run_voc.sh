#!/usr/bin/env bash
# Fine-tunes Faster R-CNN with FPN from a checkpoint on VOC07+12 and tests it on VOC2007.
#   bash transfer/torchvision/run_voc.sh CKPT [arguments of train.py, such as --voc-root FOLDER]
# CKPT is a checkpoint of a ResNet, `random` or `torchvision`. Several processes: GPUS=8 in front.
source "$(dirname "${BASH_SOURCE[0]}")/run.sh" voc "$@"
