#!/usr/bin/env bash
# The comparison with PyTorch, on every instruction set of this processor; by itself it runs on the fastest. The kernels'
# own tests visit every instruction set by themselves, and check-unsafe.sh runs the operators' on each.
set -euo pipefail
cd "$(dirname "$0")/.."
# The whole workspace, so that dependencies are built as for all other tests.
scripts/each-simd.sh cargo test --workspace --locked --test golden
