# Sourced by run_voc.sh and run_coco.sh, which name the data set: starts train.py in GPUS processes.
set -euo pipefail
usage() { sed -n '2,4s/^# \?//p' "$0"; }
data=$1
init=${2:-}
case $init in -h | --help) usage && exit ;; '' | -*) usage >&2 && exit 2 ;; esac
command=("${PYTHON:-python}")
if [ "${GPUS:-1}" != 1 ]; then
    command+=(-m torch.distributed.run --standalone --nproc_per_node "$GPUS")
fi
exec "${command[@]}" "$(dirname "$0")/train.py" "$data" --init "$init" "${@:3}"
