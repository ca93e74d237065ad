#!/usr/bin/env bash
# Trains in several processes: one a GPU, or GPUS processes on the CPU of a machine without GPUs.
#   bash tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Several machines, started on each with its own NODE_RANK (0 is the one that MASTER_ADDR names):
#   NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 PORT=29500 bash tools/dist_train.sh CONFIG GPUS
usage() { sed -n '2,5s/^# \?//p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 2 ] || { usage >&2 && exit 2; }
config=$1
gpus=$2
if ! [[ $gpus =~ ^[1-9][0-9]*$ ]]; then
    echo "error: GPUS must be a number of processes, got '$gpus'" >&2
    exit 2
fi
tools=$(dirname "$0")
PYTHONPATH="$tools/..":$PYTHONPATH exec "${PYTHON:-python}" "$tools/launch.py" \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$gpus" \
    "$tools/train.py" "$config" --launcher pytorch "${@:3}"
