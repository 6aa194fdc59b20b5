#!/usr/bin/env bash
# Kernels are generic over the instruction set, and as fast as meant only where the compiler inlines
# all of a kernel into the function that enables the instructions. Elsewhere every operation on
# vectors becomes a call of an intrinsic that stands by itself. There must be none of those.
# Usage: scripts/check-inlined.sh BINARY
set -euo pipefail
binary=${1:?expected the binary, found nothing}
symbols=$(nm --demangle "$binary" 2>/dev/null || true)
[[ $symbols == *betavae_kernels* ]] || { echo "skipped: no symbols of betavae_kernels in $binary"; exit; }
if calls=$(grep -E 'core_arch::x86::(avx|fma)' <<<"$symbols"); then
    printf 'check-inlined.sh: expected no intrinsics by themselves in %s, found\n%s\n' "$binary" "$calls" >&2
    echo "hint: in a kernel, put a macro, a loop or an #[inline(always)] function in place of a closure" >&2
    exit 1
fi
