#!/usr/bin/env bash
# Faster R-CNN R50-C4 on VOC 07+12 trainval, tested on 07: the recipe of the paper's table 3, with mmdet.
#   bash transfer/mmdet/run_voc.sh CKPT GPUS [--voc-root FOLDER] [--trials 5] [--init random|torchvision]
#       [--config CONFIG] [--work-dir FOLDER] [--cfg-options KEY=VALUE ...]    (all: --help)
# Converts CKPT, fine-tunes, evaluates, prints the table's row and writes results.json. It needs
# mmdet: transfer/mmdet/install.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/common.sh"
exec "$python" "$root/transfer/mmdet/run.py" voc "$@"
