#!/usr/bin/env bash
# Makes an environment for fine-tuning with mmdet: torch as mmjoint pins it, mmdet, mmcv with its
# compiled ops (78 files, the longest part; a C++ compiler is needed, and nvcc for GPUs) and mmjoint.
# The environment is separate because mmdet needs older versions of numpy and OpenCV than mmjoint.
#   bash transfer/mmdet/install.sh [FOLDER]    (default: .venv-mmdet; PYTHON is what makes it)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
venv=${1:-$root/.venv-mmdet}
python=$venv/bin/python

pinned() {
    grep "^$1==" "$root/requirements.txt"
}

pip_install() {
    "$python" -m pip install -q --disable-pip-version-check "$@"
}

if [ -z "${CXX:-}" ] && ! command -v c++ >/dev/null; then
    echo 'mmjoint: mmcv has to be compiled: install a C++ compiler (Debian: apt-get install g++)' >&2
    exit 1
fi
[ -x "$python" ] || "${PYTHON:-python3}" -m venv "$venv"
# setuptools 81 has no pkg_resources, which mmcv's and mmdet's builds import.
pip_install 'setuptools>=80,<81' wheel 'packaging>=24.2' ninja psutil cython
pip_install "$(pinned torch)" "$(pinned torchvision)"

# torch's headers ask for C++20 while mmcv's setup.py says C++17 (mmcv#3325); the last flag counts.
compiler=$(mktemp -d)/c++
trap 'rm -r "$(dirname "$compiler")"' EXIT
printf '#!/bin/sh\nexec %s "$@" -std=c++20\n' "${CXX:-c++}" >"$compiler"
chmod +x "$compiler"
pip_install --no-build-isolation onedl-mmdetection==3.5.1 \
    "$(pinned onedl-mmengine)" "$(pinned onedl-mmcv)" "$(pinned onedl-mmpretrain)"
if ! "$python" -c 'import mmcv._ext' 2>/dev/null; then
    # pip keeps the wheel without ops that an installation without torch has built.
    CXX=$compiler MMCV_WITH_OPS=1 pip_install --no-build-isolation --no-cache-dir \
        --force-reinstall --no-deps --no-binary onedl-mmcv "$(pinned onedl-mmcv)"
fi
pip_install --no-build-isolation --no-deps -e "$root"
"$python" -c 'import mmcv.ops, mmdet, mmjoint; print("mmdet", mmdet.__version__, "is ready")'
echo "mmjoint: run_voc.sh and run_coco.sh take this environment with PYTHON=$python"
