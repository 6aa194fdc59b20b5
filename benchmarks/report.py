# SPDX-License-Identifier: MIT OR Apache-2.0
"""From the times of each round to ratios and tables."""

import collections
import statistics

from variants import VARIANTS

OURS, OURS_BF16, OURS_AVX2 = "betavae", "betavae bf16", "betavae avx2"
TORCH_F32 = [name for name, variant in VARIANTS.items() if not variant.bf16]
TORCH_BF16 = [name for name, variant in VARIANTS.items() if variant.bf16]

# Cores busy with something else, above which a turn counts as disturbed. Threads that wait for each
# other are slowed many times by one that is not running, and some programs more than others.
# The kernel counts in hundredths of a second, so short turns cannot tell less.
DISTURBED = 0.2


def is_quiet(sides, index):
    """Whether nothing else ran during a round."""
    turns = (side["other_cores"][index] for side in sides if not side["error"])
    return all(cores <= DISTURBED for cores in turns)


def kept_rounds(sides):
    """Indices of the quiet rounds; of all, where there are none."""
    count = max((len(side["round_ms"]) for side in sides), default=0)
    return [i for i in range(count) if is_quiet(sides, i)] or list(range(count))


def summarise(measured):
    """Medians over the rounds. Ratios above 1 say that the first of the two is faster."""
    sides = {name: side for name, side in measured["sides"].items() if not side["error"]}
    kept = kept_rounds(sides.values())
    rounds_ms = {name: [side["round_ms"][i] for i in kept] for name, side in sides.items()}
    ms = {name: statistics.median(times) for name, times in rounds_ms.items()}
    # The best over all rounds: the best of each round would be PyTorch's luck, not its speed.
    torch_f32 = min((name for name in TORCH_F32 if name in ms), key=ms.get, default=None)
    torch_bf16 = min((name for name in TORCH_BF16 if name in ms), key=ms.get, default=None)

    def faster(name, than):
        """How many times as fast, with the extremes of the rounds."""
        if name not in ms or than not in ms:
            return None
        ratios = [slow / fast for slow, fast in zip(rounds_ms[than], rounds_ms[name])]
        return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}

    flops = next((s["ready"]["flops_per_step"] for s in sides.values() if has_flops(s)), None)
    peaks = [sides[OURS]["peak_gflops"][i] for i in kept] if OURS in sides else []

    def share_of_peak(name):
        if name not in ms or not flops or not peaks:
            return None
        pairs = zip(rounds_ms[name], peaks)
        return statistics.median(flops / (1e6 * time) / peak for time, peak in pairs)

    return {
        "ms": ms,
        "best_torch_f32": torch_f32,
        "best_torch_bf16": torch_bf16,
        "faster_than_best_torch": faster(OURS, torch_f32),
        "faster_than_eager": faster(OURS, "eager"),
        "bf16_faster_than_best_torch_bf16": faster(OURS_BF16, torch_bf16),
        "bf16_faster_than_f32": faster(OURS_BF16, OURS),
        "faster_than_avx2": faster(OURS, OURS_AVX2),
        "flops_per_step": flops,
        "peak_gflops": statistics.median(peaks) if peaks else None,
        "share_of_peak": share_of_peak(OURS),
        "share_of_peak_torch": share_of_peak(torch_f32),
        "quiet_rounds": sum(is_quiet(sides.values(), i) for i in kept),
    }


def has_flops(side):
    return "flops_per_step" in side["ready"]


def one_line(measured):
    """What is shown while the comparison runs."""
    summary = measured["summary"]
    times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in summary["ms"].items())
    failed = [name for name, side in measured["sides"].items() if side["error"]]
    return f"  {times}" + (f"; failed: {', '.join(failed)}" if failed else "")


def markdown(document):
    """The whole report."""
    machine, settings = document["machine"], document["settings"]
    versions = sorted({side["ready"]["torch"] for side in torch_sides(settings)})
    instruction_sets = sorted({s["ready"].get("instruction_set", "?") for s in ours(settings)})
    parts = [
        "# betavae and PyTorch",
        f"{document['date']}, {machine['cpu']}, {machine['cores']} cores. "
        f"{document['betavae'] or 'betavae'} at {document['commit'] or 'an unknown commit'}, "
        f"instruction set {', '.join(instruction_sets) or 'unknown'}; "
        f"PyTorch {', '.join(versions) or 'not run'}, Python {document['python']}. "
        f"Medians of up to {document['rounds']} quiet rounds.",
        f"    {document['command']}",
        overview(settings),
        "## float32",
        "Milliseconds per step, PyTorch's best in bold. *faster*: its time divided by betavae's, "
        "with the lowest and highest of the rounds; above 1, betavae is faster. *peak*: share of "
        "the multiply-add peak measured in the same rounds, betavae / best PyTorch.",
        table(float32_columns, settings),
        "## bfloat16 and instruction sets",
        "*faster* as above, among the bfloat16 sides. The last columns compare betavae with itself.",
        table(other_columns, settings),
    ]
    failures = failure_lines(settings)
    if failures:
        parts += ["## Failed", "\n".join(failures)]
    return "\n\n".join(parts) + "\n"


def torch_sides(settings):
    sides = (m["sides"][name] for m in settings for name in VARIANTS if name in m["sides"])
    return (side for side in sides if side["ready"])


def ours(settings):
    return (m["sides"][OURS] for m in settings if m["sides"][OURS]["ready"])


def overview(settings):
    """How often and by how much; and whether the machine was quiet."""
    sentences = []
    for key, other in [
        ("faster_than_best_torch", "PyTorch's best variant"),
        ("faster_than_eager", "PyTorch as it is installed (`eager`)"),
    ]:
        ratios = [measured["summary"][key] for measured in settings]
        ratios = [ratio["median"] for ratio in ratios if ratio]
        if ratios:
            ahead, mean = sum(ratio > 1 for ratio in ratios), statistics.geometric_mean(ratios)
            sentences.append(
                f"float32: betavae is faster than {other} in {ahead} of {len(ratios)} settings; "
                f"{mean:.2f} times as fast in the geometric mean."
            )
    noisy = sum(not measured["summary"]["quiet_rounds"] for measured in settings)
    if noisy:
        sentences.append(
            f"**In {noisy} of {len(settings)} settings no round was quiet** (other processes kept "
            f"more than {DISTURBED} cores busy); their numbers, marked with *, mean little."
        )
    return " ".join(sentences)


def table(columns, settings):
    rows = [columns(measured) for measured in settings]
    heads = list(rows[0])
    lines = [heads, ["---"] * 2 + ["---:"] * (len(heads) - 2), *(row.values() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def key_columns(measured):
    keys = {key: str(measured[key]) for key in ("architecture", "mode", "batch", "threads")}
    if not measured["summary"]["quiet_rounds"]:
        keys["architecture"] += " *"
    return keys


def float32_columns(measured):
    summary = measured["summary"]
    best = summary["best_torch_f32"]
    torch = {name: time(measured, name, bold=name == best) for name in TORCH_F32}
    shares = [summary["share_of_peak"], summary["share_of_peak_torch"]]
    return {
        **key_columns(measured),
        OURS: time(measured, OURS),
        **torch,
        "faster": ratio(summary["faster_than_best_torch"]),
        "peak": " / ".join("-" if share is None else f"{share:.0%}" for share in shares),
    }


def other_columns(measured):
    summary = measured["summary"]
    best = summary["best_torch_bf16"]
    return {
        **key_columns(measured),
        OURS_BF16: time(measured, OURS_BF16),
        **{name: time(measured, name, bold=name == best) for name in TORCH_BF16},
        "faster": ratio(summary["bf16_faster_than_best_torch_bf16"]),
        "bf16 / f32": ratio(summary["bf16_faster_than_f32"]),
        OURS_AVX2: time(measured, OURS_AVX2),
        "default / avx2": ratio(summary["faster_than_avx2"]),
    }


def time(measured, name, bold=False):
    """Milliseconds to three digits."""
    if name not in measured["sides"]:
        return "-"
    if measured["sides"][name]["error"]:
        return "failed"
    ms = measured["summary"]["ms"][name]
    text = f"{ms:.0f}" if ms >= 100 else f"{ms:.3g}"
    return f"**{text}**" if bold else text


def ratio(value):
    if not value:
        return "-"
    return f"{value['median']:.2f} ({value['min']:.2f}..{value['max']:.2f})"


def failure_lines(settings):
    """Each failure once, with the number of settings that had it."""
    count = collections.Counter(
        (name, side["error"])
        for measured in settings
        for name, side in measured["sides"].items()
        if side["error"]
    )
    return [f"- {name}, {n} settings: {error}" for (name, error), n in count.items()]
