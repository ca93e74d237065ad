#!/usr/bin/env bash
# Mask R-CNN R50-C4 on COCO: the recipe of the paper's table 4, with mmdet.
#   bash transfer/mmdet/run_coco.sh CKPT GPUS [--coco-root FOLDER] [--trials 5] [--init random|torchvision]
#       [--config CONFIG] [--work-dir FOLDER] [--cfg-options KEY=VALUE ...]    (all: --help)
# Converts CKPT, fine-tunes, evaluates, prints the table's row and writes results.json. It needs
# mmdet: transfer/mmdet/install.sh.
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/common.sh"
exec "$python" "$root/transfer/mmdet/run.py" coco "$@"
