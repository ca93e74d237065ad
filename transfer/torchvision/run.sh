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
source "$(dirname "${BASH_SOURCE[0]}")/../../tools/common.sh"
script=$root/transfer/torchvision/train.py
[ "$gpus" = 1 ] || launch "$gpus" "$script" "$data" --init "$init" "$@"
exec "$python" "$script" "$data" --init "$init" "$@"
