#!/usr/bin/env bash
# Trains in several processes: one per GPU, or GPUS processes on the CPU of a machine without GPUs.
#   bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Several machines, started on each with its own NODE_RANK (0 is the one that MASTER_ADDR names):
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh CONFIG GPUS
usage() { sed -n '2,5s/^# \?//p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 2 ] || { usage >&2 && exit 2; }
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
launch "$2" "$root/tools/train.py" "$1" --launcher pytorch "${@:3}"
