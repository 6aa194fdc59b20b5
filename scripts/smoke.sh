#!/usr/bin/env bash
# The built binary, used as a newcomer would: train, stop, resume, look, encode, a full disk.
# Usage: scripts/smoke.sh [BINARY]
set -euo pipefail
binary=$(realpath "${1:-target/release/betavae}")
work=$(mktemp -d)
disk=$work/disk
cleanup() {
    mountpoint -q "$disk" && umount "$disk"
    rm -rf "$work"
}
trap cleanup EXIT
cd "$work"
say() { printf '\n== %s\n' "$*"; }

say "the default recipe, 30 steps"
"$binary" train --steps 30 --out run
"$binary" resume run --steps 40
"$binary" evaluate run --limit 256 --json | grep -q '"elbo"'

say "figures and codes"
"$binary" reconstruct run
"$binary" sample run
"$binary" traverse run
"$binary" traverse run --output traversal.gif
"$binary" encode run --input dsprites --limit 200 --output codes.npz
"$binary" decode run --input codes.npz --output grid.png
test -s traversal.gif && test -s grid.png

say "export and describe"
"$binary" data export dsprites --indices 0..1000 --output first.npz
"$binary" data info first.npz

say "a full disk in mid-run"
mkdir "$disk"
if mount -t tmpfs -o size=20m tmpfs "$disk" 2>/dev/null; then
    status=0
    "$binary" train --steps 1000 --out "$disk/run" --set train.checkpoint_every=3 \
        --set train.keep_checkpoints=0 --set train.previews=false 2>full.log || status=$?
    cat full.log
    test "$status" -eq 1
    grep -q 'No space left' full.log
    grep -q 'hint: free some space' full.log
    # What was complete before is still a model.
    "$binary" evaluate "$disk/run" --limit 64 >evaluation.txt
    cat evaluation.txt
    # 573 MB of pixels, more than are kept in memory, and no room for them.
    "$binary" data export dsprites --indices 0..140000 --output large.npz
    status=0
    BETAVAE_DATA=$disk/data "$binary" data info large.npz 2>full.log || status=$?
    cat full.log
    test "$status" -eq 1
    grep -q 'cannot write 0.6 GB of prepared pixels' full.log
    grep -q 'hint: .*BETAVAE_DATA' full.log
    test -z "$(find "$disk/data" -type f -size +0)"
    BETAVAE_DATA=$work/data "$binary" data info large.npz
else
    echo "skipped: mounting a small file system needs root"
fi

say "done"
