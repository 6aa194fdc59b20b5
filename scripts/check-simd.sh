#!/usr/bin/env bash
# The unit tests, the operators against their reference implementations, and the comparison with PyTorch, on every
# instruction set of this processor. By themselves they run on the fastest.
set -euo pipefail
cd "$(dirname "$0")/.."
# The whole workspace, so that dependencies are built as for all other tests.
scripts/each-simd.sh cargo test --workspace --locked --lib --test ops --test golden
