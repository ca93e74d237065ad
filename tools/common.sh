# Sourced by the scripts of tools/ and transfer/. Sets `root`, the folder of both, and `python`, the
# interpreter: PYTHON, or else python, or else python3.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-$(command -v python || command -v python3)}
if [ -z "$python" ]; then
    echo 'error: neither python nor python3 is on the PATH; name the interpreter with PYTHON=' >&2
    exit 1
fi
# No colon where there was no PYTHONPATH: an empty entry is the current folder.
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}

# Replaces the shell by PROCESSES processes of SCRIPT on this machine, which is one of NNODES:
#   launch PROCESSES SCRIPT [arguments of SCRIPT]
launch() {
    if ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
        echo "error: GPUS must be a number of processes, got '$1'" >&2
        exit 2
    fi
    exec "$python" "$root/tools/launch.py" \
        --nnodes="${NNODES:-1}" \
        --node_rank="${NODE_RANK:-0}" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${PORT:-0}" \
        --nproc_per_node="$1" "${@:2}"
}
