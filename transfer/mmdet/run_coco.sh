#!/usr/bin/env bash
# Mask R-CNN R50-C4 on COCO with mmdet: convert, fine-tune, test, AP / AP50 / AP75.
#   bash transfer/mmdet/run_coco.sh CKPT GPUS [--trials 5] [--coco-root FOLDER] [--config FILE] [--out FOLDER]
# CKPT may be random or torchvision. PYTHON is the environment that install.sh made.
exec "${PYTHON:-python}" "$(dirname "$0")/run.py" coco "$@"
