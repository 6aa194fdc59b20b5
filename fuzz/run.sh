#!/usr/bin/env bash
# Fuzzes readers: all of them, or the targets that are named, for SECONDS_EACH (60) each, starting from the
# fixtures and from what earlier runs have found. Appends a line per target to results.md.
#
# It needs `cargo install cargo-fuzz` and the stable toolchain: without a sanitizer it is several times
# faster, and safe Rust needs none (the unsafe code has scripts/check-unsafe.sh). Arithmetic that overflows
# and failed debug assertions are findings, and so are an allocation beyond 1 GiB (2 GiB for Parquet), 2 GiB
# in all, and 20 s for one input. Only targets that need tensors build Burn.
set -euo pipefail
cd "$(dirname "$0")"
fixtures=../crates/betavae/fixtures
seconds=${SECONDS_EACH:-60}
readers="idx norb hdf5 matlab cars chairs celeba archive pictures parquet tables labels npz"
models="safetensors torch config program"
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $readers $models

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

# In memory, because every input becomes a file.
scratch=$(mktemp -d --tmpdir="$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch"/{files,inputs,cache}
for packed in "$fixtures"/official/*.gz; do gunzip -c "$packed" > "$scratch/files/$(basename "${packed%.gz}")"; done
tar -xf "$fixtures/data/images.tar" -C "$scratch/files"

seed() {
    local official=$fixtures/official files=$scratch/files into=corpus/$1 file
    mkdir -p "$into"
    case $1 in
    idx) joined "$files"/t10k-{images-idx3,labels-idx1}-ubyte > "$into/seed" ;;
    norb) joined "$files"/smallnorb-*-testing-{dat,cat,info}.mat > "$into/seed" ;;
    hdf5) cp "$official"/{contiguous,shuffle,plain-chunks}-*.h5 "$official"/userblock.h5 "$into" ;;
    matlab) cp "$official"/plain.mat "$into" ;;
    cars) cp "$official"/nips2015-analogy-data.tar.gz "$files"/nips2015-analogy-data.tar "$into" ;;
    chairs) cp "$official"/rendered_chairs.tar "$into" ;;
    celeba) joined "$official"/{img_align_celeba.zip,list_attr_celeba.txt} > "$into/seed" ;;
    archive) cp "$fixtures"/data/{images.{tar,tgz,zip},shard-000.tar} "$into" ;;
    pictures)
        find "$files" -name '*.png' -o -name '*.jp*g' | while read -r file; do
            { case $file in *.png) printf '\0' ;; *) printf '\1' ;; esac; cat "$file"; } > "$into/seed-$(basename "$file")"
        done
        ;;
    parquet) cp "$fixtures"/data/*.parquet "$into" ;;
    tables)
        printf '\0index,file,mean_0,mean_1,log_var_0,log_var_1\n0,a.png,1,2,-1,-2\n1,b.png,3e-2,4.5,-3,-4\n' > "$into/codes"
        printf '\0\xef\xbb\xbfshape;size\n0;1\n1;2\n' > "$into/semicolons"
        printf '\0file,shape,size\n"a,1.png",square,0.5\nb.png,"he""art",1\n' > "$into/words"
        printf '\0,0,1\n0,2,3\n1,4,5\n' > "$into/index"
        printf '\0\xff\xfea\0,\0b\0\n\0001\0,\0002\0\n\0' > "$into/utf16"
        printf '\1# a b\n1.0e+00 2.0e+00\n3.0e+00 4.0e+00\n' > "$into/blanks"
        printf '\0011\t2\n3\t4\n' > "$into/tabs"
        printf '\2{"file_name": "a.png", "size": 1}\n{"file_name": "b.png", "size": 2}\n' > "$into/lines"
        printf '\3[{"a": 1, "b": "x"}, {"a": null}]' > "$into/records"
        ;;
    labels)
        printf '\0file,size\nb.png,1\na.png,0\n' > "$into/factors"
        printf '\1\tname\n1\tx/b\n0\tx/a\n' > "$into/labels"
        printf '\3{"file_name": "a.png", "size": 1}\n{"file_name": "b.png", "size": "x"}\n' > "$into/lines"
        ;;
    npz) cp seeds/codes.npz "$fixtures"/data/*.npz "$into" ;;
    program) cp seeds/program.bvae "$into" ;;
    safetensors) cp seeds/model.safetensors "$fixtures"/weights/collection.safetensors "$into" ;;
    torch) cp "$fixtures"/weights/{collection.ckpt,collection-legacy.pth,command.pt,collection.safetensors} "$into" ;;
    config) cp ../recipes/*.toml "$into" ;;
    *) echo "unknown target $1: one of $readers $models" >&2 && exit 2 ;;
    esac
}

for target in "$@"; do seed "$target"; done
# cargo-fuzz asks the compiler for options that are not stable, which this allows.
export RUSTC_BOOTSTRAP=1
build=(cargo fuzz build --sanitizer none)
for target in "$@"; do
    case " $models " in
    *" $target "*) "${build[@]}" --features model "$target" ;;
    *) "${build[@]}" "$target" ;;
    esac
done

[ -s results.md ] || cat > results.md <<'END'
# Fuzzing

Lines that `run.sh` has appended: executions, seconds, executions per second, the largest resident memory,
edges of the code that were reached, inputs kept, and findings (panics, too much memory or time).

| date | commit | target | executions | seconds | per second | peak MiB | edges | corpus | findings |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
END

binaries=target/$(rustc -vV | sed -n 's/^host: //p')/release
export BETAVAE_DATA=$scratch/cache TMPDIR=$scratch/inputs
for target in "$@"; do
    echo "=== $target"
    mkdir -p "artifacts/$target"
    before=$(find "artifacts/$target" -type f | wc -l)
    executions=0 peak=0 edges=0 started=$SECONDS
    # libFuzzer ends at a finding; it is started again for what is left of the time.
    while left=$((seconds - (SECONDS - started))) && [ $left -gt 0 ]; do
        "$binaries/$target" "corpus/$target" -max_total_time="$left" -timeout=20 -rss_limit_mb=2048 \
            -max_len=100000 -print_final_stats=1 -artifact_prefix="artifacts/$target/" \
            > "$scratch/log" 2>&1 || true
        grep -aE "panicked|ERROR|SUMMARY|memory allocation|Test unit|[0-9]+ +(DONE|NEW_FUNC)" "$scratch/log" | tail -8 || true
        stat() { sed -n "s/^stat::$1: *//p" "$scratch/log" | tail -1; }
        ran=$(stat number_of_executed_units)
        executions=$((executions + ${ran:-0}))
        rss=$(stat peak_rss_mb)
        [ "${rss:-0}" -gt $peak ] && peak=$rss
        cov=$(grep -aoE "cov: [0-9]+" "$scratch/log" | tail -1 | cut -d' ' -f2 || true)
        [ "${cov:-0}" -gt $edges ] && edges=$cov
        found=$(($(find "artifacts/$target" -type f | wc -l) - before))
        # A finding that comes at once must not take the rest of the time.
        { [ $found -ge 10 ] || [ "${ran:-0}" -eq 0 ]; } && break
        rm -rf "$scratch"/inputs/*
    done
    took=$((SECONDS - started))
    found=$(($(find "artifacts/$target" -type f | wc -l) - before))
    printf '| %s | %s | %s | %d | %d | %d | %d | %d | %d | %d |\n' "$(date -u +%F)" \
        "$(git rev-parse --short HEAD)" "$target" "$executions" "$took" $((executions / (took + (took == 0)))) \
        "$peak" "$edges" "$(find "corpus/$target" -type f | wc -l)" "$found" | tee -a results.md
done
