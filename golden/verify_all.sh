#!/usr/bin/env bash
# Trains every network for three steps with the real binary and has PyTorch recompute one batch of
# each: values, loss terms and all gradients, for losses H and B.
# Usage: golden/verify_all.sh PYTHON   (a Python with the packages of requirements.txt)
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(command -v "${1:?usage: golden/verify_all.sh PYTHON}")
cargo build --release
cargo build --release -p betavae --example dump
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check() {
    local name=$1
    shift
    local changes=()
    for change in train.batch=8 train.previews=false "$@"; do changes+=(--set "$change"); done
    target/release/betavae train --steps 3 --out "$work/$name" "${changes[@]}" >/dev/null 2>&1
    target/release/examples/dump "$work/$name" "$work/$name.safetensors"
    printf '%-28s' "$name"
    "$python" -B golden/verify.py "$work/$name.safetensors" | tail -n 1
}

for kind in h b; do
    for network in burgess higgins-fc higgins-conv locatello; do
        check "$network-$kind" "model.architecture=$network" "objective.kind=$kind"
        check "$network-$kind-gaussian-mean" "model.architecture=$network" \
            "objective.kind=$kind" objective.likelihood=gaussian objective.reduction=mean
    done
    check "pytorch-vae-$kind-sum" data.name=dsprites-color model.architecture=pytorch-vae \
        "objective.kind=$kind"
    check "pytorch-vae-$kind-mean" data.name=dsprites-color model.architecture=pytorch-vae \
        model.latents=128 "objective.kind=$kind" objective.reduction=mean
    check "custom-$kind" model.architecture=custom 'model.widths=[16,32]' model.norm=batch \
        model.activation=leaky-relu model.kernel=3 "objective.kind=$kind"
done
