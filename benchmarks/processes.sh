#!/usr/bin/env bash
# How well processes of one thread share the steps of one training, against one process of one thread that takes all parts,
# in turns, for batches of 64, 256 and 1024 images of the Burgess network.
#
#     cargo build --release --features mpi && benchmarks/processes.sh target/release/betavae [PROCESSES] [ROUNDS]
set -euo pipefail
betavae=$(realpath "$1") processes=${2:-2} rounds=${3:-3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# The median of the steps per second that a run notes in timing.csv, without the first row.
train() { # PROCESSES BATCH STEPS
    rm -rf "$scratch/run"
    mpirun --allow-run-as-root --oversubscribe -np "$1" "$betavae" --threads 1 train --out "$scratch/run" --steps "$3" \
        --set train.batch="$2" --set train.parts="$processes" --set train.log_every=$(($3 / 10)) \
        --set train.checkpoint_every="$3" --set train.previews=false --set train.tensorboard=false > "$scratch/log" 2>&1 &
    local pid=$!
    # What comes after the last step is not of interest.
    while kill -0 "$pid" 2> /dev/null && ! [ -e "$scratch/run/checkpoints/step-$(printf %09d "$3")/DONE" ]; do sleep 0.2; done
    kill "$pid" 2> /dev/null || true
    wait "$pid" 2> /dev/null || true
    awk -F, 'NR > 2 { print $NF }' "$scratch/run/timing.csv" | sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'
}
echo "round,batch,processes,steps_per_second"
for round in $(seq "$rounds"); do
    for batch in 64 256 1024; do
        for count in 1 "$processes"; do
            echo "$round,$batch,$count,$(train "$count" "$batch" $((12800 / batch)))"
        done
    done
done
