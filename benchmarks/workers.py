# SPDX-License-Identifier: MIT OR Apache-2.0
"""Processes that take steps when told to, and what the rest of the machine does meanwhile."""

import json
import os
import select
import subprocess
import tempfile
import time

# Compilation takes longest, at most a minute or two.
PATIENCE_SECONDS = 600


class WorkerFailed(Exception):
    """The process ended, was too slow, or said something unexpected."""


class Worker:
    """A process that speaks the protocol of torch_worker.py."""

    def __init__(self, command, environment):
        self.errors = tempfile.TemporaryFile()
        self.reply = b""
        try:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                bufsize=0,
            )
        except OSError as error:
            self.errors.close()
            raise WorkerFailed(f"cannot start: {error.strerror}") from error

    def ask(self, line):
        """The answer to a line."""
        try:
            self.process.stdin.write(f"{line}\n".encode())
        except BrokenPipeError:
            pass  # It has ended; `receive` says why.
        return self.receive()

    def receive(self):
        """The next line of output, which is a JSON object."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\n" not in self.reply:
            left = max(0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise WorkerFailed(f"no answer in {PATIENCE_SECONDS} seconds")
            piece = self.process.stdout.read(1 << 16)
            if not piece:
                raise WorkerFailed(self.last_words())
            self.reply += piece
        line, self.reply = self.reply.split(b"\n", 1)
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise WorkerFailed(f"expected a JSON object, found {line.decode(errors='replace')}")
        return answer

    def run(self, steps):
        """Seconds of each step, and how many cores others kept busy meanwhile."""
        before = time.monotonic(), busy_seconds(), self.cpu_seconds()
        answer = self.ask(f"run {steps}")
        after = time.monotonic(), busy_seconds(), self.cpu_seconds()
        seconds = answer.get("seconds")
        if not seconds or len(seconds) != steps:
            raise WorkerFailed(f"expected {steps} times, found {json.dumps(answer)}")
        wall, busy, own = (b - a for a, b in zip(before, after))
        return seconds, max(0.0, (busy - own) / wall)

    def cpu_seconds(self):
        """Processor time of all its threads so far."""
        try:
            with open(f"/proc/{self.process.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def last_words(self):
        self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        last = lines[-1].strip() if lines else "no message"
        return f"exit status {self.process.returncode}: {last}"

    def close(self):
        """Ends the process, politely where it listens."""
        try:
            self.process.stdin.write(b"quit\n")
            self.process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()


def busy_seconds():
    """Processor time that the whole machine, or its host, has spent on anything."""
    try:
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
    except (OSError, ValueError):
        return 0.0
    user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = fields
    ticks = user + nice + system + interrupt + soft_interrupt + stolen
    return ticks / os.sysconf("SC_CLK_TCK")
