#!/usr/bin/env bash
# Trains on a slurm cluster.
#   bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
# From the environment: GPUS (8), all processes; GPUS_PER_NODE (8); CPUS_PER_TASK (5);
# GRES (gpu:GPUS_PER_NODE; empty for nodes without GPUs); SRUN_ARGS, more arguments for srun;
# PORT (29500), which two jobs on one node must not share.
usage() { sed -n '2,6s/^# \?//p' "$0"; }
case ${1:-} in -h | --help) usage && exit ;; esac
[ $# -ge 4 ] || { usage >&2 && exit 2; }
partition=$1
job_name=$2
config=$3
work_dir=$4
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
gpus_per_node=${GPUS_PER_NODE:-8}
gres=${GRES-gpu:$gpus_per_node}
# shellcheck disable=SC2086  # SRUN_ARGS is several words
MASTER_PORT=${PORT:-29500} exec srun \
    --partition="$partition" \
    --job-name="$job_name" \
    ${gres:+--gres="$gres"} \
    --ntasks="${GPUS:-8}" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "$python" -u "$root/tools/train.py" "$config" --work-dir="$work_dir" --launcher slurm \
    "${@:5}"
