# SPDX-License-Identifier: MIT OR Apache-2.0
"""Training and encoding speed of betavae beside PyTorch's.

For each setting all sides are started, and take turns of about a second, one
at a time, in several rounds. What disturbs the machine for a while hits all of
them, and ratios are taken within a round.
"""

import argparse
import datetime
import itertools
import json
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import models
import report
import variants
from workers import Worker, WorkerFailed

HERE = Path(__file__).parent


class Setting(NamedTuple):
    architecture: str
    mode: str
    batch: int
    threads: int

    def arguments(self):
        pairs = zip(self._fields, map(str, self))
        return [word for name, value in pairs for word in (f"--{name}", value)]


class Side:
    """One program in one variant: how to start it, and what was measured."""

    def __init__(self, command, environment):
        self.command, self.environment = command, environment
        self.worker = None
        self.steps = 3
        self.fastest = float("inf")
        self.record = {"error": None, "ready": None, "round_ms": [], "other_cores": []}

    def attempt(self, action):
        """Runs `action`; a failure ends this side and is kept for the report."""
        if self.record["error"]:
            return
        try:
            action()
        except WorkerFailed as error:
            self.record["error"] = str(error)

    def start(self):
        self.worker = Worker(self.command, self.environment)
        self.record["ready"] = self.worker.receive()

    def run(self, seconds):
        """A turn of about so many seconds; the first is short, to learn how long a step takes."""
        times, other_cores = self.worker.run(self.steps)
        # By the fastest step ever, so that a disturbance does not shorten the turns after it.
        self.fastest = min(self.fastest, *times)
        self.steps = max(3, round(seconds / self.fastest))
        return times, other_cores

    def take_turn(self, seconds):
        times, other_cores = self.run(seconds)
        self.record["round_ms"].append(1000 * statistics.median(times))
        self.record["other_cores"].append(round(other_cores, 3))

    def measure_peak(self):
        answer = self.worker.ask("peak")
        if not isinstance(answer.get("gflops"), (int, float)):
            raise WorkerFailed(f"expected a peak in gflops, found {json.dumps(answer)}")
        self.record.setdefault("peak_gflops", []).append(answer["gflops"])

    def close(self):
        if self.worker:
            self.worker.close()


def sides_of(setting, betavae):
    """Every side of a setting by its name in the report."""
    height, width, channels = models.default_image(setting.architecture)
    image = ["--image", f"{height}x{width}x{channels}"]

    def ours(precision, environment):
        command = [betavae, "bench", "--serve", *setting.arguments(), *image]
        return Side([*command, "--precision", precision], environment)

    def torch(name, variant):
        command = [sys.executable, str(HERE / "torch_worker.py"), *setting.arguments()]
        return Side([*command, "--variant", name], variant.environment)

    sides = {report.OURS: ours("f32", {}), report.OURS_AVX2: ours("f32", {"BETAVAE_SIMD": "avx2"})}
    # Encoding is always in f32.
    if setting.mode == "train":
        sides[report.OURS_BF16] = ours("bf16", {})
    for name, variant in variants.for_mode(setting.mode).items():
        sides[name] = torch(name, variant)
    return sides


def measure(setting, betavae, rounds, seconds):
    """Everything measured at one setting."""
    sides = sides_of(setting, betavae)
    order = list(sides.values())
    try:
        for side in order:
            side.attempt(side.start)
        for side in order:
            side.attempt(lambda: side.run(seconds))
        # Disturbed rounds are repeated, within reason, and left out by the report.
        quiet = 0
        for _ in range(2 * rounds):
            sides[report.OURS].attempt(sides[report.OURS].measure_peak)
            for side in order:
                side.attempt(lambda: side.take_turn(seconds))
            order.append(order.pop(0))
            quiet += report.is_quiet([side.record for side in order], -1)
            if quiet == rounds:
                break
    finally:
        for side in order:
            side.close()
    records = {name: {**side.record, "steps": side.steps} for name, side in sides.items()}
    return {**setting._asdict(), "sides": records}


def machine():
    """Processor and cores, as Linux describes them."""
    text = Path("/proc/cpuinfo").read_text()
    names = re.findall(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*: (.+)$", text, re.MULTILINE)
    flags = flags[1].split() if flags else []
    return {
        "cpu": names[0] if names else "unknown",
        "cores": len(names),
        "instructions": [f for f in flags if re.match("avx|fma$|amx", f)],
    }


def output_of(command):
    """First line that a command prints, or nothing."""
    try:
        text = subprocess.run(command, capture_output=True, text=True, cwd=HERE).stdout
    except OSError:
        return ""
    return text.partition("\n")[0]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--betavae", required=True, metavar="BINARY", help="target/release/betavae")
    add("--rounds", type=int, help="turns of each side (default 7; quick 3)")
    add("--seconds", type=float, help="length of a turn (default 0.7; quick 0.3)")
    add("--quick", action="store_true", help="fewer and shorter turns, batch 64 only")
    add("--only", nargs="+", choices=models.ARCHITECTURES, default=models.ARCHITECTURES)
    add("--mode", nargs="+", choices=["train", "encode"], default=["train", "encode"])
    add("--batch", nargs="+", type=int, help="default 16 64 256; quick 64")
    add("--threads", nargs="+", type=int, default=[1, 2])
    add("--output", type=Path, help="where to, without .json and .md [results/<date>-<cpu>]")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.3 if options.quick else 0.7)
    options.batch = options.batch or ([64] if options.quick else [16, 64, 256])
    return options


def main():
    options = parse()
    betavae = str(Path(options.betavae).resolve())
    document = {
        "date": datetime.date.today().isoformat(),
        "command": shlex.join(["compare.py", *sys.argv[1:]]),
        "machine": machine(),
        "betavae": output_of([betavae, "--version"]),
        "commit": output_of(["git", "describe", "--always", "--dirty"]),
        "python": sys.version.split()[0],
        "rounds": options.rounds,
        "settings": [],
    }
    cpu = re.sub(r"[^a-z0-9]+", "-", document["machine"]["cpu"].lower()).strip("-")
    output = options.output or HERE / "results" / f"{document['date']}-{cpu}"
    output.parent.mkdir(parents=True, exist_ok=True)

    settings = [
        Setting(*values)
        for values in itertools.product(options.only, options.mode, options.batch, options.threads)
    ]
    for i, setting in enumerate(settings, 1):
        print(f"{i}/{len(settings)}", *setting, flush=True)
        measured = measure(setting, betavae, options.rounds, options.seconds)
        measured["summary"] = report.summarise(measured)
        document["settings"].append(measured)
        # After every setting, so that an interrupted comparison leaves what it has.
        output.with_name(output.name + ".json").write_text(json.dumps(document, indent=1) + "\n")
        output.with_name(output.name + ".md").write_text(report.markdown(document))
        print(report.one_line(measured), flush=True)


if __name__ == "__main__":
    main()
