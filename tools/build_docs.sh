#!/usr/bin/env bash
# Builds the documentation site into site/ from docs/ and the docstrings: bash tools/build_docs.sh
# It installs MkDocs (the extra `docs`) in .venv, which it makes if there is none. More arguments go
# to `mkdocs build`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup_env.sh"
cd "$root"
"$python" -c 'import mkdocs, mkdocstrings_handlers, material' 2>/dev/null ||
    "$python" -m pip install -q --disable-pip-version-check "$root[docs]"
exec "$python" -m mkdocs build --strict "$@"
