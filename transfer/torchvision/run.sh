# Sourced by run_voc.sh and run_coco.sh, which name the data set: starts train.py in GPUS processes.
set -euo pipefail
usage() { sed -n '2,5s/^# \?//p' "$0"; }
data=$1
init=${2:-}
case $init in -h | --help) usage && exit ;; '' | -*) usage >&2 && exit 2 ;; esac
shift 2
gpus=1
if [[ ${1:-} =~ ^[1-9][0-9]*$ ]]; then
    gpus=$1
    shift
fi
here=$(dirname "$0")
export PYTHONPATH=$here/../..:${PYTHONPATH:-}
command=("${PYTHON:-python}")
if [ "$gpus" != 1 ]; then
    command+=(-m torch.distributed.run --standalone --nproc_per_node "$gpus")
fi
exec "${command[@]}" "$here/train.py" "$data" --init "$init" "$@"
