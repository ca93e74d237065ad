#!/usr/bin/env bash
# From a fresh clone, with no data and no GPU: sets up .venv, pretrains on the embedded data set with
# and without joint views, evaluates both and writes work_dirs/quickstart/report.html.
# Arguments go to tools/quickstart.py (see its --help).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
exec "$python" "$root/tools/quickstart.py" "$@"
