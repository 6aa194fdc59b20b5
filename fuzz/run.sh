#!/usr/bin/env bash
# Fuzzes every reader for SECONDS (60) each, or the targets that are named, starting from the fixtures.
# Needs cargo-fuzz and a nightly toolchain. Memory is limited: to 1 GiB in one allocation, and to 3 GiB
# in all, which include what AddressSanitizer keeps.
set -euo pipefail
cd "$(dirname "$0")"
fixtures=../crates/betavae/fixtures/official
seconds=${SECONDS_EACH:-60}
[ $# -gt 0 ] || set -- idx norb hdf5 matlab cars chairs celeba archive npz safetensors torch config

# Files of a set in one input: a byte per border, in 255ths of what follows, and the files.
joined() {
    local bytes="" total=0 sizes=() file
    for file in "$@"; do sizes+=("$(stat -c %s "$file")"); total=$((total + ${sizes[-1]})); done
    local i
    for ((i = 0; i < ${#sizes[@]} - 1; i++)); do
        bytes+=$(printf '\\x%02x' $(((sizes[i] * 255 + total - 1) / total)))
        total=$((total - sizes[i]))
    done
    printf "%b" "$bytes"
    cat "$@"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for packed in "$fixtures"/*.gz; do gunzip -c "$packed" > "$scratch/$(basename "${packed%.gz}")"; done
for target in "$@"; do
    mkdir -p "corpus/$target"
    case $target in
    idx) joined "$scratch"/t10k-{images-idx3,labels-idx1}-ubyte > corpus/idx/seed ;;
    norb) joined "$scratch"/smallnorb-*-testing-{dat,cat,info}.mat > corpus/norb/seed ;;
    hdf5) cp "$fixtures"/{contiguous,shuffle,plain-chunks}-*.h5 "$fixtures"/userblock.h5 corpus/hdf5 ;;
    matlab) cp "$fixtures"/plain.mat corpus/matlab ;;
    cars) cp "$fixtures"/nips2015-analogy-data.tar.gz "$scratch"/nips2015-analogy-data.tar corpus/cars ;;
    chairs) cp "$fixtures"/rendered_chairs.tar corpus/chairs ;;
    celeba) joined "$fixtures"/{img_align_celeba.zip,list_attr_celeba.txt} > corpus/celeba/seed ;;
    npz) cp seeds/codes.npz corpus/npz ;;
    safetensors) cp seeds/model.safetensors corpus/safetensors ;;
    archive) cp "$fixtures"/../data/images.{tar,tgz,zip} ../crates/betavae/fixtures/data/shard-000.tar corpus/archive ;;
    torch) cp "$fixtures"/../weights/{collection.ckpt,collection-legacy.pth,command.pt} corpus/torch ;;
    config) cp ../recipes/*.toml corpus/config ;;
    esac
    echo "=== $target"
    cargo +nightly fuzz run --release "$target" -- -max_total_time="$seconds" -timeout=20 \
        -malloc_limit_mb=1024 -rss_limit_mb=3072 -max_len=400000 -print_final_stats=1 2>&1 |
        grep -aE "panicked|ERROR|SUMMARY|number_of_executed|peak_rss|Test unit|exec/s: 0 .*DONE|libFuzzer:" || true
done
