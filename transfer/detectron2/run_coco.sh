#!/usr/bin/env bash
# Mask R-CNN R50-C4 on COCO 2017, 1x: the paper's table 4.
#   bash transfer/detectron2/run_coco.sh CKPT GPUS [--coco-root FOLDER] [--trials 5] [--init random|torchvision]
#       [--config CONFIG] [--work-dir FOLDER] [--opts KEY VALUE ...]    (all: --help)
# Converts CKPT, fine-tunes, evaluates, prints the table's row and writes results.json.
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/common.sh"
exec "$python" "$root/transfer/detectron2/run.py" coco "$@"
