# SPDX-License-Identifier: MIT OR Apache-2.0
"""Time and values of scores by `betavae score` and by scikit-learn, on the same codes and factors.

Both take 10,000 rows to learn from and 5,000 to test on, as disentanglement_lib does; scikit-learn
computes factors side by side in as many processes as there are threads. The definitions are those of
the fixtures of crates/disentanglement. In each round both take their turn, score by score.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "crates/disentanglement/fixtures"))
import closed  # noqa: E402
import learners  # noqa: E402

TRAIN, TEST = 10_000, 5_000


def boosted(arguments):
    x, y, xt, yt, seed = arguments
    fit = GradientBoostingClassifier(random_state=seed).fit(x, y)
    return fit.feature_importances_, fit.score(xt, yt)


def area(arguments):
    return learners.area(*arguments[:4])


def svm(arguments):
    return learners.svm(*arguments[:4])


def with_scikit_learn(score, codes, factors, seed, pool):
    order = np.random.default_rng(seed).permutation(len(codes))
    train, test = order[:TRAIN], order[TRAIN : TRAIN + TEST]
    x, y, xt, yt = codes[train], factors[train], codes[test], factors[test]
    rows = [(x, y[:, k], xt, yt[:, k], seed) for k in range(y.shape[1])]
    if score == "dci":
        found = pool.map(boosted, rows, chunksize=1)
        values = learners.dci(np.array([importance for importance, _ in found]).T)
        informativeness = float(np.mean([accuracy for _, accuracy in found]))
        return {**{f"dci_{k}": v for k, v in values.items()}, "dci_informativeness": informativeness}
    if score == "sap":
        return {"sap": learners.sap(np.array(pool.map(svm, rows, chunksize=1)).T)}
    if score == "explicitness":
        return {"explicitness": float(np.mean(pool.map(area, rows, chunksize=1)))}
    if score == "infomec":
        found = learners.infomec(x, y, seeds=[seed])
        names = {"modularity": "infom", "explicitness": "infoe", "compactness": "infoc"}
        return {names[key]: value for key, value in found.items()}
    function = getattr(closed, score)
    return {score: function(x, y)}


SCORES = {
    "mig": ["mig"],
    "modularity": ["modularity"],
    "irs": ["irs"],
    "sap": ["sap"],
    "explicitness": ["explicitness"],
    "infomec": ["infom", "infoe", "infoc"],
    "dci": ["dci_disentanglement", "dci_completeness", "dci_informativeness"],
}


def with_betavae(binary, names, codes, factors, seed, threads):
    command = [binary, "score", "--codes", codes, "--factors", factors, "--json", "--repeats", "1"]
    command += ["--metrics", ",".join(names), "--score-seed", str(seed), "--threads", str(threads)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return {name: found[name]["value"] for name in names}


def load(path, *names):
    with np.load(path) as arrays:
        key = next((name for name in names if name in arrays), None)
        if key is None:
            sys.exit(f"{path}: expected an array {' or '.join(names)}, found {arrays.files}")
        return arrays[key]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--betavae", required=True, help="the binary")
    add("--codes", required=True, help=".npz with `mean` [N, D]")
    add("--factors", required=True, help=".npz with `factors` or `latents_classes` [N, K]")
    add("--threads", type=int, default=2)
    add("--rounds", type=int, default=3)
    add("--scores", nargs="+", choices=SCORES, default=list(SCORES))
    options = parser.parse_args()
    codes = load(options.codes, "mean", "codes").astype(float)
    factors = load(options.factors, "factors", "latents_classes").astype(int)
    # Constant factors, such as dSprites' colour, are left out by both.
    factors = factors[:, np.ptp(factors, axis=0) > 0]
    print("score,scikit_learn_seconds,betavae_seconds,faster,scikit_learn,betavae")
    with multiprocessing.Pool(options.threads) as pool:
        for score in options.scores:
            names, times, values = SCORES[score], ([], []), ([], [])
            for seed in range(options.rounds):
                sides = [
                    lambda: with_scikit_learn(score, codes, factors, seed, pool),
                    lambda: with_betavae(
                        options.betavae, names, options.codes, options.factors, seed, options.threads
                    ),
                ]
                for side, compute in enumerate(sides):
                    start = time.perf_counter()
                    found = compute()
                    times[side].append(time.perf_counter() - start)
                    values[side].append([found[name] for name in names])
            ratio = statistics.median(a / b for a, b in zip(*times))
            means = [" ".join(f"{x:.4f}" for x in np.mean(side, axis=0)) for side in values]
            seconds = [statistics.median(side) for side in times]
            print(f"{score},{seconds[0]:.3f},{seconds[1]:.3f},{ratio:.1f},{means[0]},{means[1]}", flush=True)


if __name__ == "__main__":
    main()
