#!/usr/bin/env bash
# Sets up .venv if necessary and runs the tests, with one worker per core: bash tools/run_tests.sh
# [pytest args]. Those that take over 5 seconds: bash tools/run_tests.sh -m slow.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$root"
workers=()
if "$python" -c 'import xdist' 2>/dev/null; then
    workers=(-n auto --dist worksteal)
fi
exec "$python" -m pytest "${workers[@]}" "$@"
