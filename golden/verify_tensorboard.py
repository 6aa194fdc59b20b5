"""Reads a run folder's event files with TensorBoard's own reader and compares them with metrics.csv.

python golden/verify_tensorboard.py RUN
"""

import csv
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = Path(sys.argv[1])
events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
events.Reload()
tags = events.Tags()
expected = {}
with open(run / "metrics.csv", newline="") as file:
    for row in csv.DictReader(file):
        group = "latents" if row["term"].startswith("kl_") else "terms"
        expected.setdefault(f"{group}/{row['term']}", []).append((int(row["step"]), float(row["value"])))
assert sorted(tags["scalars"]) == sorted(expected), (tags["scalars"], sorted(expected))
for tag, rows in expected.items():
    found = [(scalar.step, scalar.value) for scalar in events.Scalars(tag)]
    assert [step for step, _ in found] == [step for step, _ in rows], tag
    for (_, a), (_, b) in zip(found, rows):
        assert abs(a - b) <= 1e-6 * abs(b), (tag, a, b)
steps = [histogram.step for histogram in events.Histograms("latents/kl")]
assert steps == [step for step, _ in expected["terms/kl"]]
latents = sum(tag.startswith("latents/") for tag in expected)
assert all(h.histogram_value.num == latents for h in events.Histograms("latents/kl"))
for name in tags["images"]:
    for image in events.Images(name):
        file = run / "figures" / f"step-{image.step:09}-{name}.png"
        assert file.read_bytes() == image.encoded_image_string, file
assert sorted(tags["images"]) == ["reconstructions", "traversal"], tags["images"]
print(f"{len(expected)} scalars, {len(steps)} histograms, {len(events.Images('traversal'))} pictures agree")
