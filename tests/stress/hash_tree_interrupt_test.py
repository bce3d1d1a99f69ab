#!/usr/bin/env -S python3 -B
"""hash_tree is interrupted at random moments: by Ctrl-C, by kill -9, and by Ctrl-C while nobody reads its output.

HASH_TREE_INTERRUPTS says how often (15), HASH_TREE_SEED repeats a run.
"""

import fcntl
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAM = ROOT / "docs/examples/hash_tree"
TIMES = int(os.environ.get("HASH_TREE_INTERRUPTS", "15"))
SEED = int(os.environ.get("HASH_TREE_SEED", random.randrange(1 << 32)))
LIMIT = 1.0  # seconds from Ctrl-C to the end


def make_tree(root):
    """Some 2700 small files and a few that take many blocks."""
    content = random.Random(1)
    for i in range(2700):
        folder = root / f"dir {i % 30}" / f"sub\n{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file \\{i}").write_bytes(content.randbytes(content.randrange(20_000)))
    for i in range(8):
        path = root / f"dir {i}" / "big"
        path.write_bytes(content.randbytes(1 << 20))
        os.truncate(path, content.randrange(64 << 20, 192 << 20))  # the rest is a hole


class HashTreeInterruptTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        make_tree(cls.folder / "tree")
        names = subprocess.check_output(["find", "tree", "-type", "f", "-print0"], cwd=cls.folder)
        lines = subprocess.check_output(["xargs", "-0", "sha256sum"], input=names, cwd=cls.folder)
        cls.expected = sorted(lines.splitlines(keepends=True))
        begin = time.monotonic()
        subprocess.run([PROGRAM, "--out", "sums", "tree"], cwd=cls.folder, check=True)
        cls.takes = time.monotonic() - begin
        cls.random = random.Random(SEED)
        print(f"HASH_TREE_SEED={SEED}, an undisturbed run takes {cls.takes:.2f} s", file=sys.stderr)

    def setUp(self):
        self.sums = self.folder / "sums"
        self.sums.unlink(missing_ok=True)

    def start(self, **options):
        options = {"stderr": subprocess.PIPE, "cwd": self.folder} | options
        process = subprocess.Popen([PROGRAM, "--out", "sums", "--resume", "tree"], **options)
        self.addCleanup(process.kill)
        return process

    def interrupt(self, process, number):
        """The seconds that it takes to end, and what it said."""
        begin = time.monotonic()
        process.send_signal(number)
        messages = process.communicate()[1]
        return time.monotonic() - begin, messages

    def lines(self):
        return self.sums.read_bytes().splitlines(keepends=True) if self.sums.exists() else []

    def assert_lines_are_right(self, lines):
        self.assertEqual(len(lines), len(set(lines)), "a line is there twice")
        self.assertEqual(set(lines) - set(self.expected), set())

    def assert_resume_completes(self):
        process = self.start()
        messages = process.communicate()[1]
        self.assertEqual(process.returncode, 0, messages)
        self.assertEqual(sorted(self.lines()), self.expected)

    def start_and_wait_for_a_random_moment(self):
        """From when it has its file on: before, and when it has written all, the signal is not the program's to answer."""
        process = self.start()
        while not self.sums.exists():
            time.sleep(0.001)
        time.sleep(self.random.uniform(0, self.takes))
        return process

    def test_ctrl_c_at_a_random_moment(self):
        slowest = 0
        too_late = 0
        written = []
        while len(written) < TIMES:
            self.sums.unlink(missing_ok=True)
            process = self.start_and_wait_for_a_random_moment()
            seconds, messages = self.interrupt(process, signal.SIGINT)
            lines = self.lines()
            self.assert_lines_are_right(lines)
            if process.returncode in (0, -signal.SIGINT) and len(lines) == len(self.expected):
                too_late += 1
                continue
            written.append(len(lines))
            slowest = max(slowest, seconds)
            self.assertEqual(process.returncode, 130, messages)
            self.assertLess(seconds, LIMIT, messages)
            self.assertIn(b"after %d files" % len(lines), messages)
            self.assertIn(b"ended in this order", messages)
            self.assert_resume_completes()
        print(
            f"Ctrl-C {TIMES} times (and {too_late} times too late): exit code 130, the slowest end took {slowest * 1000:.0f} ms,"
            f" {min(written)} to {max(written)} of {len(self.expected)} lines written",
            file=sys.stderr,
        )

    def test_ctrl_c_again_and_again_until_it_is_complete(self):
        rounds = 0
        process = None
        while process is None or process.returncode != 0:
            rounds += 1
            process = self.start()
            time.sleep(self.random.uniform(0.02, 0.1 + self.takes / 3))
            seconds, messages = self.interrupt(process, signal.SIGINT)
            self.assertLess(seconds, LIMIT, messages)
            self.assertIn(process.returncode, (0, 130, -signal.SIGINT), messages)  # the last: not yet in run()
            self.assert_lines_are_right(self.lines())
        self.assertEqual(sorted(self.lines()), self.expected)
        print(f"complete after {rounds} rounds", file=sys.stderr)

    def test_kill_at_a_random_moment(self):
        torn = 0
        for number in range(max(1, TIMES // 3)):
            with self.subTest(number=number, seed=SEED):
                self.sums.unlink(missing_ok=True)
                process = self.start_and_wait_for_a_random_moment()
                self.interrupt(process, signal.SIGKILL)
                lines = self.lines()
                if lines and not lines[-1].endswith(b"\n"):
                    torn += 1
                    lines.pop()
                self.assert_lines_are_right(lines)
                self.assert_resume_completes()
        print(f"{torn} times kill -9 left a torn line", file=sys.stderr)

    def test_ctrl_c_while_nobody_reads(self):
        for number in range(max(1, TIMES // 5)):
            with self.subTest(number=number, seed=SEED):
                reader, writer = os.pipe()
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096 * self.random.choice((1, 4, 16)))
                process = subprocess.Popen([PROGRAM, "tree"], stdout=writer, stderr=subprocess.PIPE, cwd=self.folder)
                os.close(writer)
                time.sleep(self.random.uniform(0.1, 0.1 + self.takes / 2))
                seconds, messages = self.interrupt(process, signal.SIGINT)
                with open(reader, "rb") as pipe:
                    text = pipe.read()
                self.assertLess(seconds, LIMIT, messages)
                self.assertEqual(process.returncode, 130, messages)
                self.assertTrue(text.endswith(b"\n"))
                self.assert_lines_are_right(text.splitlines(keepends=True))


if __name__ == "__main__":
    xml_report.main()
