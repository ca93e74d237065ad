#!/usr/bin/env bash
# Tests in several processes: one per GPU, or GPUS processes on the CPU of a machine without GPUs.
#   bash tools/dist_test.sh CONFIG CKPT GPUS [arguments of tools/test.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT as for dist_train.sh.
usage() { sed -n '2,4s/^# \?//p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 3 ] || { usage >&2 && exit 2; }
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
launch "$3" "$root/tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
