#!/usr/bin/env bash
# A virtual environment with the newest PyTorch.
# Usage: benchmarks/setup.sh [VENV]    (default benchmarks/.venv; PYTHON chooses the interpreter)
set -euo pipefail
venv=${1:-$(dirname "$0")/.venv}
python=${PYTHON:-python3}

# torch.compile translates to C++ that includes Python.h.
missing=()
command -v g++ >/dev/null || missing+=(g++)
header='import pathlib, sysconfig; print(pathlib.Path(sysconfig.get_path("include"), "Python.h"))'
[[ -e $("$python" -c "$header") ]] || missing+=(python3-dev)
"$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes "${missing[@]}"
    else
        echo "missing: ${missing[*]}; without them the \`compile\` variants are reported as failed" >&2
    fi
fi

# PyPI's wheel for Linux does not load without the CUDA libraries it names, although nothing here
# uses them; hence the plain installation of several gigabytes.
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --upgrade torch numpy safetensors
"$venv/bin/python" -c 'import torch; print("torch", torch.__version__)'
