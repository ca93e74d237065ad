# Sourced by quickstart.sh, run_tests.sh and .ci/run: makes the clone's own environment, .venv, or
# returns at once when it is up to date. Sets `root` (the clone) and `python` (its interpreter).

fail() {
    echo "mmjoint: $*" >&2
    exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
python=$venv/bin/python
# Nothing of the caller's environment may shadow what is installed here, or have every start compile
# it anew.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    fail 'no Python 3.10 or later on the PATH (tried python3 and python3.10 to python3.14)'
}

make_venv() {
    local base
    base=$(find_python)
    "$base" -c 'import ensurepip' 2>/dev/null ||
        fail "$base cannot make environments: on Debian and Ubuntu, apt-get install python3-venv"
    "$base" -m venv "$venv"
}

set_up() {
    # Holds the installing process's id; found later, it means that the set-up was interrupted.
    local marker=$venv/.mmjoint-installing
    if [ -e "$marker" ]; then
        kill -0 "$(cat "$marker")" 2>/dev/null &&
            fail "process $(cat "$marker") is setting up $venv: wait for it, or delete the folder"
        echo "mmjoint: the last set-up of $venv was interrupted, starting again"
        rm -rf "$venv"
    fi
    mkdir -p "$venv"
    echo $$ >"$marker"
    echo "mmjoint: installing requirements.txt and mmjoint in $venv (6 GB, some minutes)"
    [ -x "$python" ] || make_venv
    "$python" -m pip install -qq --disable-pip-version-check --no-compile -r "$root/requirements.txt"
    "$python" -m pip install -qq --disable-pip-version-check --no-deps -e "$root"
    "$python" -c 'import cv2' ||
        fail 'OpenCV does not load (error above): on Debian and Ubuntu,' \
            'apt-get install libgl1 libglib2.0-0'
    # Compiles what is imported; pip would compile all 14,000 files, which takes more than a minute.
    "$python" -c 'import mmjoint.quickstart' >/dev/null
    rm "$marker"
}

# The folder's name belongs to the fingerprint: an environment does not survive a move.
fingerprint=$(cd "$root" && echo "$root" | cat - requirements.txt setup.py mmjoint/version.py | cksum)
if [ "$(cat "$venv/.mmjoint-installed" 2>/dev/null)" != "$fingerprint" ]; then
    set_up
    echo "$fingerprint" >"$venv/.mmjoint-installed"
fi
