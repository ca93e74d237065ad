#!/usr/bin/env bash
# From a fresh clone, with no data and no GPU: sets up .venv, pretrains on the embedded data set with
# and without joint views, evaluates both, fine-tunes a detector from JointCrop(0)'s backbone and
# from scratch, and writes work_dirs/quickstart/report.html and results.json.
# Arguments go to tools/quickstart.py (see its --help).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
exec "$python" "$root/tools/quickstart.py" "$@"
