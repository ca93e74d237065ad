#!/usr/bin/env bash
# Adds mmdet to the environment that has mmjoint. Nothing is compiled: the two operations of mmcv that
# the detectors call are torchvision's (see mmcv_ops.py), unless mmcv has compiled ones.
#   bash transfer/mmdet/install.sh    (PYTHON is the environment's; default: .venv/bin/python)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}

if ! "$python" -c 'import mmcv, mmengine, mmjoint' >/dev/null 2>&1; then
    echo "mmjoint: $python has no mmjoint with mmcv; PYTHON names an environment that has them" >&2
    exit 1
fi
# Without their dependencies, of which some ask for older versions of numpy and OpenCV than mmjoint's.
"$python" -m pip install -q --disable-pip-version-check --no-deps \
    onedl-mmdetection==3.5.1 imaug==0.4.3 shapely==2.2.0 six==1.17.0 terminaltables==3.1.10
# And those of them that mmjoint's environment may lack.
"$python" -m pip install -q --disable-pip-version-check \
    'pycocotools>=2.0.7' 'scikit-image>=0.22' 'scipy>=1.11' tqdm
cd "$root/transfer/mmdet"
"$python" -c 'import mmdet_extras, mmdet; print("mmdet", mmdet.__version__, "is ready")'
