#!/usr/bin/env bash
# The tests of betavae-kernels, the only crate with `unsafe`, under AddressSanitizer, which finds
# reads and writes beyond what was allocated. On every instruction set of this processor.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
if [[ $host != *-linux-gnu ]]; then
    echo "skipped: expected the host to be some *-linux-gnu, found $host"
    exit
fi

# The sanitizer is behind an unstable flag, which this variable allows with any compiler.
export RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address"
# Instrumented code must not get mixed with other code; build scripts stay as they are with --target.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan
# Thread pools live as long as the process. That is no leak worth a report.
export ASAN_OPTIONS=detect_leaks=0
# Most of the time goes into building, so dependencies are not optimised.
test=(
    cargo --config 'profile.dev.package."*".opt-level=0'
    test --locked --target "$host" -p betavae-kernels
)
# The unit tests visit every instruction set by themselves.
"${test[@]}" --lib
scripts/each-simd.sh "${test[@]}" --test ops
