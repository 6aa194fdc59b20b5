#!/usr/bin/env bash
# Steps on a GPU, beside PyTorch where there is one, in about ten minutes on a card:
#
#     benchmarks/gpu.sh BETAVAE [DEVICE] [PYTHON]       DEVICE gpu by default, PYTHON with torch for the other side
#
# It prints the adapter; what a launch costs; plans against PyTorch's numbers, if PLANS names the test binary (cargo test --no-run
# --test plans); milliseconds per step of three networks and batches, and of larger images; PyTorch's of the same (gpu_torch.py);
# the losses of a run on the CPU and on the device. Every part has a limit of its own, and what fails is said and passed over.
# SMALL=1 is for a dry run on a software driver.
set -uo pipefail
betavae=$(realpath "$1") device=${2:-gpu} python=${3:-}
here=$(dirname "$(realpath "$0")")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ -n "${SMALL:-}" ]; then
    batches="2" images="64" networks="burgess pytorch-vae higgins-fc" steps=3 run=20
else
    batches="64 256 1024" images="64 128 256" networks="burgess pytorch-vae higgins-fc" steps=1000 run=2000
fi
part() { printf '\n== %s  (%ss)\n' "$*" "$SECONDS"; }
limited() { timeout "$@" || echo "failed or took too long: ${*:2}"; }
bench() { limited 60 "$betavae" --device "$device" bench --steps "$steps" "$@" | tail -1; }

part "adapters"
"$betavae" devices --report
command -v nvidia-smi > /dev/null && nvidia-smi --query-gpu=name,driver_version,clocks.sm,power.limit --format=csv

part "what a launch costs: a step of next to no work, and its launches"
bench --image 8x8x1 --batch 1
"$betavae" describe --set 'data={name="blobs",size=[8,8]}' --set train.batch=1 --launches | grep -c '^ *[0-9]'

if [ -n "${PLANS:-}" ]; then
    part "plans against PyTorch's numbers, every kernel twenty times"
    BETAVAE_TEST_DEVICE=$device limited 120 "$PLANS" --ignored
fi

part "milliseconds per step"
for network in $networks; do
    for batch in $batches; do bench --architecture "$network" --batch "$batch"; done
done

part "each launch of a step"
limited 60 "$betavae" --device "$device" bench --layers --batch "$(echo "$batches" | cut -d' ' -f1)"

part "larger images, batch 64"
channels=1
for side in $images; do bench --image "${side}x${side}x$channels" --batch "$(echo "$batches" | cut -d' ' -f1)"; done

if [ -n "$python" ]; then
    part "PyTorch: eager, compiled, compiled in one CUDA graph; f32 and TF32"
    for network in $networks; do
        for batch in $batches; do
            limited 120 "$python" -B "$here/gpu_torch.py" --architecture "$network" --batch "$batch" --steps "$steps"
        done
    done
fi

part "the losses of $run steps, on the CPU and on the device"
for where in cpu "$device"; do
    limited 150 "$betavae" --device "$where" train --out "$scratch/$where" --steps "$run" --set train.log_every=$((run / 10)) \
        --set train.checkpoint_every="$run" --set train.previews=false --set train.tensorboard=false > "$scratch/log" 2>&1
    echo "$where: $(grep ',total,' "$scratch/$where/metrics.csv" | cut -d, -f3 | tr '\n' ' ')"
done
