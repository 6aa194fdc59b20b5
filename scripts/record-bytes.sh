#!/usr/bin/env bash
# Prints hashes of what short runs of a binary leave: the names, shapes and values of every tensor of the model
# and of the optimiser, metrics.csv, and the results of the evaluation and of the scores. Before a change that
# must not alter numbers, and after it:
#
#     scripts/record-bytes.sh OLD/betavae > old.txt; scripts/record-bytes.sh target/release/betavae > new.txt
#     diff old.txt new.txt
#
# Descriptions in files (configurations, versions) are left out. Recipes are in the first format, which every
# version reads. It needs jq and about five minutes.
set -euo pipefail
betavae=$(realpath "$1")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"

# Tensors of a safetensors file: what its header says of them, and their values.
tensors() {
    local length
    length=$(od -An -t u8 -N 8 "$1" | tr -d ' ')
    { tail -c +9 "$1" | head -c "$length" | jq -cS 'del(.__metadata__)'; tail -c +$((9 + length)) "$1"; } | sha256sum | cut -c1-16
}

# NAME RUN: a line for each file.
hashes() {
    local newest file
    newest=$(find "$2/checkpoints" -maxdepth 1 -name 'step-*' | sort | tail -1)
    for file in model optimizer; do echo "$1 $file $(tensors "$newest/$file.safetensors")"; done
    for file in metrics.csv evaluation.json scores.json; do
        [ ! -e "$2/$file" ] || echo "$1 $file $(sha256sum < "$2/$file" | cut -c1-16)"
    done
}

# NAME RECIPE [CHANGE...]: a run without a break, and one that stopped in the middle.
runs() {
    local name=$1 recipe=$2
    shift 2
    local set=() change
    for change in train.previews=false train.tensorboard=false train.log_every=2 train.checkpoint_every=3 "$@"; do
        set+=(--set "$change")
    done
    "$betavae" train "$recipe" "${set[@]}" --steps 7 --out "$name" > log 2>&1 || { cat log >&2; return 1; }
    hashes "$name" "$name"
    "$betavae" train "$recipe" "${set[@]}" --steps 4 --out "$name-resumed" > log 2>&1 || { cat log >&2; return 1; }
    "$betavae" resume "$name-resumed" --steps 7 > log 2>&1 || { cat log >&2; return 1; }
    hashes "$name-resumed" "$name-resumed"
    rm -rf "$name" "$name-resumed"
}

for recipe in default higgins2017-dsprites burgess2018-dsprites burgess2018-dsprites-color burgess2018-blobs \
    locatello2019-beta locatello2019-annealed; do
    runs "$recipe" "$recipe" train.batch=16
done

model='[model]
architecture = "custom"
widths = [4, 8]
hidden = [16]
latents = 4'
for objective in 'kind = "h"
beta = 2.0' 'kind = "h"
beta = 4.0
warmup_steps = 5' 'kind = "b"
gamma = 50.0
c_max = 10.0
c_steps = 6'; do
    for reduction in 'reduction = "sum"' 'reduction = "mean"
kl_weight = 0.001'; do
        for likelihood in 'likelihood = "bernoulli"' 'likelihood = "gaussian"
sigma = 0.5'; do
            printf '[data]\nname = "blobs"\n%s\n[objective]\n%s\n%s\n%s\n[train]\nbatch = 12\n' \
                "$model" "$objective" "$reduction" "$likelihood" > grid.toml
            name=$(printf '%s %s %s' "$objective" "$reduction" "$likelihood" | tr -d '"' | tr -cs 'a-z0-9.' - | tr -s -)
            for seed in 1 2 3; do
                for precision in f32 bf16; do
                    runs "$name-$precision-$seed" grid.toml "train.precision=$precision" "seed=$seed"
                done
            done
        done
    done
done

printf '[train]\nbatch = 10\n' > plain.toml
runs adagrad plain.toml data.name=blobs optimizer.kind=adagrad optimizer.learning_rate=0.01
runs decay plain.toml data.name=blobs optimizer.decay=0.5 optimizer.decay_every=2
for architecture in higgins-fc higgins-conv locatello pytorch-vae; do
    runs "$architecture" plain.toml data.name=dsprites-color "model.architecture=$architecture"
done
runs batch-norm plain.toml data.name=blobs model.architecture=custom 'model.widths=[4,8]' model.norm=batch \
    model.activation=leaky-relu
