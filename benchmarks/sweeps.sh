#!/usr/bin/env bash
# Runs per hour of a sweep: as many processes of one thread as there are cores, one process of all threads, and eight
# processes, in turns.
#
#     benchmarks/sweeps.sh target/release/betavae [ROUNDS]
#
# Eight runs of 200 steps of the Burgess network on dSprites, batch 64, without scores of their own.
set -euo pipefail
betavae=$(realpath "$1") rounds=${2:-3} cores=$(nproc)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat > "$scratch/sweep.toml" << 'TOML'
name = "throughput"
recipe = "burgess2018-dsprites-gamma-100"
[set]
train.steps = 200
train.checkpoint_every = 200
[grid]
seed = "1..=8"
[scores]
names = ["mig"]
limit = 1000
TOML
run() { # JOBS THREADS
    local start end
    rm -rf "$scratch/runs"
    start=$(date +%s.%N)
    "$betavae" --threads "$2" sweep run "$scratch/sweep.toml" --out "$scratch/runs" --jobs "$1" > /dev/null 2>&1
    end=$(date +%s.%N)
    echo "$start $end" | awk '{ printf "%.1f\n", $2 - $1 }'
}
echo "round,jobs,threads,seconds"
for round in $(seq "$rounds"); do
    for setting in "$cores 1" "1 $cores" "8 1"; do
        read -r jobs threads <<< "$setting"
        echo "$round,$jobs,$threads,$(run "$jobs" "$threads")"
    done
done
