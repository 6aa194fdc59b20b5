#!/usr/bin/env bash
# Runs a command once for every instruction set of this processor, with BETAVAE_SIMD set to it.
# Without /proc/cpuinfo, so elsewhere than on Linux, only `portable` counts as there.
# Usage: scripts/each-simd.sh COMMAND [ARGUMENT...]
set -euo pipefail
[ $# -gt 0 ] || { echo "each-simd.sh: expected a command, found nothing" >&2; exit 2; }

# What a level needs is what `SimdLevel::supported` in crates/betavae-kernels/src/simd asks for.
for level in "portable" "avx2 avx2 fma" "avx512 avx512f"; do
    read -r name needed <<<"$level"
    for feature in $needed; do
        if ! grep -qw "$feature" /proc/cpuinfo 2>/dev/null; then
            printf '\n== BETAVAE_SIMD=%s skipped: /proc/cpuinfo does not list %s\n' "$name" "$feature"
            continue 2
        fi
    done
    printf '\n== BETAVAE_SIMD=%s\n' "$name"
    BETAVAE_SIMD=$name "$@"
done
