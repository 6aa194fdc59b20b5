#!/usr/bin/env bash
# Opens the pages that betavae writes in a headless Chromium and compares what they show with the
# binary's own results: scripts/check-pages.sh BINARY [FOLDER for screenshots]
set -euo pipefail
binary=$(realpath "${1:-target/release/betavae}")
out=$(realpath -m "${2:-$(mktemp -d)}")
here=$(dirname "$(realpath "$0")")/browser
mkdir -p "$out"

missing=()
command -v chromium > /dev/null || missing+=(chromium)
command -v node > /dev/null || missing+=(nodejs npm)
if ((${#missing[@]})); then
  echo "installing Debian's ${missing[*]}" >&2
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -q >&2
  $as_root apt-get install -qy --no-install-recommends "${missing[@]}" >&2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.mjs "$here"/package*.json "$work"
cd "$work"
npm ci --silent --no-audit --no-fund
CHROMIUM=$(command -v chromium)
export CHROMIUM
node explore.mjs "$binary" "$out"
node reports.mjs "$binary" "$out"
echo "screenshots are in $out"
