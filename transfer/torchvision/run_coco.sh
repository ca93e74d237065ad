#!/usr/bin/env bash
# Fine-tunes Mask R-CNN with FPN from a checkpoint on COCO train2017 and tests it on val2017.
#   bash transfer/torchvision/run_coco.sh CKPT [arguments of train.py, such as --coco-root FOLDER]
# CKPT is a checkpoint of a ResNet, `random` or `torchvision`. Several processes: GPUS=8 in front.
source "$(dirname "${BASH_SOURCE[0]}")/run.sh" coco "$@"
