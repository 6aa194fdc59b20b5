# SPDX-License-Identifier: MIT OR Apache-2.0
"""Checks what the benchmark rests on: python -B -m unittest (in this folder)."""

import math
import sys
import unittest
from pathlib import Path

import torch

import models
import report
from workers import Worker, WorkerFailed

sys.path.insert(0, str(Path(__file__).parent.parent / "golden"))
import reference

SPEAKER = """
import sys
print('{"ready": true}', flush=True)
for line in sys.stdin:
    if line.startswith("run"):
        print('{"seconds": [0.5, 0.25]}', flush=True)
    elif line == "quit\\n":
        break
    else:
        sys.exit("do not know " + line)
"""


class Networks(unittest.TestCase):
    def test_loss_and_gradients_are_those_of_the_reference(self):
        torch.manual_seed(1)
        for architecture in models.ARCHITECTURES:
            image = models.default_image(architecture)
            latents = models.default_latents(architecture)
            ours = models.build(architecture).double()
            spec = {"architecture": architecture, "image": image, "latents": latents}
            theirs = reference.Vae(reference.plan(spec)).double()
            theirs.load_tensors(
                {k: v for k, v in ours.state_dict().items() if "num_batches" not in k}
            )
            images, noise = torch.rand(4, *image).double(), torch.randn(4, latents).double()
            # Rounding to float32, which autocast makes necessary, is all that differs.
            loss = ours.loss(images.permute(0, 3, 1, 2), noise)
            objective = reference.Objective.of(
                {
                    "kind": "h",
                    "beta": models.BETA,
                    "likelihood": "bernoulli" if ours.bernoulli else "gaussian",
                    "reduction": "sum",
                }
            )
            mean, log_var, _, output = theirs(images, noise)
            expected = objective(images, output, mean, log_var)["total"]
            if not ours.bernoulli:
                expected = expected - images[0].numel() * 0.5 * math.log(2 * math.pi)
            torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
            loss.backward()
            expected.backward()
            theirs = dict(theirs.named_parameters())
            for name, parameter in ours.named_parameters():
                gradient = theirs[name].grad
                tolerance = 1e-5 * max(1.0, gradient.abs().max().item())
                torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=tolerance)

    def test_parameter_counts(self):
        counts = {"burgess": 502005, "pytorch-vae": 3937635, "higgins-fc": 14196516}
        for architecture, count in counts.items():
            parameters = models.build(architecture).parameters()
            self.assertEqual(sum(p.numel() for p in parameters), count, architecture)


class Workers(unittest.TestCase):
    def test_a_worker_answers_and_its_failure_is_told(self):
        worker = Worker([sys.executable, "-c", SPEAKER], {})
        self.assertEqual(worker.receive(), {"ready": True})
        self.assertEqual(worker.run(2)[0], [0.5, 0.25])
        with self.assertRaisesRegex(WorkerFailed, "expected 3 times"):
            worker.run(3)
        with self.assertRaisesRegex(WorkerFailed, "exit status 1: do not know peak"):
            worker.ask("peak")
        worker.close()
        with self.assertRaisesRegex(WorkerFailed, "cannot start"):
            Worker(["no-such-program"], {})


class Summary(unittest.TestCase):
    def side(self, *ms, error=None, others=None, **ready):
        others = others or [0.0] * len(ms)
        return {"error": error, "ready": ready, "round_ms": list(ms), "other_cores": others}

    def test_ratios_are_taken_within_quiet_rounds_against_the_best_variant(self):
        ours = self.side(10, 20, 10, 90, instruction_set="avx2", others=[0, 0, 0, 1.5])
        measured = {
            "architecture": "burgess",
            "mode": "train",
            "batch": 64,
            "threads": 1,
            "sides": {
                report.OURS: {**ours, "peak_gflops": [100, 50, 100, 100]},
                report.OURS_BF16: self.side(error="no bf16"),
                report.OURS_AVX2: self.side(10, 20, 10, 10),
                "eager": self.side(30, 80, 30, 10, torch="2.0", flops_per_step=5e8),
                "compile": self.side(20, 60, 20, 10, torch="2.0"),
            },
        }
        summary = measured["summary"] = report.summarise(measured)
        self.assertEqual(summary["best_torch_f32"], "compile")
        self.assertEqual(
            summary["faster_than_best_torch"], {"median": 2, "min": 2, "max": 3}
        )
        self.assertEqual(summary["share_of_peak"], 0.5)
        self.assertIsNone(summary["bf16_faster_than_f32"])
        self.assertEqual(summary["quiet_rounds"], 3)
        document = {
            "date": "2000-01-01",
            "command": "compare.py",
            "machine": {"cpu": "a processor", "cores": 2},
            "betavae": "betavae 1",
            "commit": "abc",
            "python": "3",
            "rounds": 3,
            "settings": [measured],
        }
        text = report.markdown(document)
        self.assertIn("| **20** | - | 2.00 (2.00..3.00) | 50% / 25% |", text)
        self.assertIn("- betavae bf16, 1 settings: no bf16", text)


if __name__ == "__main__":
    unittest.main()
