#!/usr/bin/env bash
# Faster R-CNN R50-C4 on VOC 07+12 with mmdet: convert, fine-tune, test, AP / AP50 / AP75.
#   bash transfer/mmdet/run_voc.sh CKPT GPUS [--trials 5] [--voc-root FOLDER] [--config FILE] [--out FOLDER]
# CKPT may be random or torchvision. PYTHON is the environment that install.sh made.
exec "${PYTHON:-python}" "$(dirname "$0")/run.py" voc "$@"
