#!/usr/bin/env bash
# Tests in several processes: one a GPU, or GPUS processes on the CPU of a machine without GPUs.
#   bash tools/dist_test.sh CONFIG CKPT GPUS [arguments of tools/test.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT as for dist_train.sh.
usage() { sed -n '2,4s/^# \?//p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 3 ] || { usage >&2 && exit 2; }
config=$1
checkpoint=$2
gpus=$3
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
    "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "${@:4}"
