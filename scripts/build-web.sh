#!/usr/bin/env bash
# Builds the WASM module of the explorer's page from crates/betavae-web and what it depends on.
#
#   scripts/build-web.sh          writes crates/betavae/src/explore/explorer.wasm
#   scripts/build-web.sh --check  fails if that file is not what the source gives
#
# So that the bytes are the same everywhere, the compiler is always Debian's rustc-web (1.96) with the
# standard library built from its source.
set -euo pipefail
cd "$(dirname "$0")/.."
module=crates/betavae/src/explore/explorer.wasm

if ! [ -x /usr/bin/cargo ] || ! [ -d /usr/lib/rustlib/src ] && ! [ -d /usr/src/rustc-web ]; then
  echo "installing Debian's packages rustc-web cargo-web rust-web-src lld" >&2
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -q >&2
  $as_root apt-get install -qy --no-install-recommends rustc-web cargo-web rust-web-src lld >&2
fi

export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Ctarget-feature=+simd128 \
  --remap-path-prefix=$PWD=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo -Cstrip=symbols \
  -Zunstable-options -Cpanic=immediate-abort"
export CARGO_PROFILE_RELEASE_OPT_LEVEL=3 CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_PANIC=abort
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_DEBUG=0
target=${CARGO_TARGET_DIR:-target}/web
/usr/bin/cargo build --release --locked -p betavae-web --lib --target wasm32-unknown-unknown \
  --ignore-rust-version --target-dir "$target" \
  -Zbuild-std=std,panic_abort >&2
built=$target/wasm32-unknown-unknown/release/betavae_web.wasm

if [ "${1:-}" = --check ]; then
  cmp "$built" "$module" || { echo "$module is not what the source gives: run scripts/build-web.sh" >&2; exit 1; }
  echo "explorer.wasm is what the source gives"
else
  mkdir -p "$(dirname "$module")"
  cp "$built" "$module"
  ls -l "$module"
fi
