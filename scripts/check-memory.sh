#!/usr/bin/env bash
# The memory that training takes: hardly more after 280 steps than after 100, and at most 200 MB with the evaluation, the
# scores and the report at the end.
# Reads /proc, so elsewhere than on Linux nothing is checked.
# Usage: scripts/check-memory.sh [BINARY]
set -euo pipefail
binary=$(realpath "${1:-target/release/betavae}")
# Threads differ in when they first need their memory; a leak of one batch per step would be 190 MB.
most=200 growth=30 # MB
if [ ! -r /proc/self/status ]; then
    echo "skipped: there is no /proc/self/status"
    exit
fi
work=$(mktemp -d)
pid=
cleanup() {
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

# The default recipe. Every thread has memory of its own, so their number is fixed. Checkpoints and
# their pictures come often enough to be part of the first 100 steps.
"$binary" train --steps 300 --threads 2 --out "$work/run" --set train.log_every=10 \
    --set train.checkpoint_every=50 >"$work/log" 2>&1 &
pid=$!

# The largest resident memory so far, in MB; nothing once the process has ended.
peak() { awk '/^VmHWM:/ { printf "%d", $2 * 1024 / 1e6 }' "/proc/$pid/status" 2>/dev/null || true; }

# Whether metrics.csv has the row of a step.
reached() { grep -q "^$1," "$work/run/metrics.csv" 2>/dev/null; }

early='' late='' last=''
while now=$(peak) && [ -n "$now" ]; do
    last=$now
    if [ -z "$early" ] && reached 100; then early=$now; fi
    if [ -z "$late" ] && reached 280; then late=$now; fi
    sleep 0.05
done
status=0
wait "$pid" || status=$?
pid=
if [ "$status" -ne 0 ] || [ -z "$early" ] || [ -z "$late" ]; then
    cat "$work/log" >&2
    echo "check-memory.sh: expected a run of 300 steps, found exit code $status" >&2
    exit 1
fi
echo "peak resident memory: $early MB after 100 steps, $late MB after 280, $last MB at the end"
fail() {
    echo "check-memory.sh: $1: expected at most $2 MB, found $3 MB" >&2
    exit 1
}
[ "$last" -le "$most" ] || fail "peak resident memory" "$most" "$last"
[ $((late - early)) -le "$growth" ] || fail "growth from step 100 to 280" "$growth" $((late - early))
