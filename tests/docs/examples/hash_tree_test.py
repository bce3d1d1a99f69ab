#!/usr/bin/env -S python3 -B
"""The program //docs/examples:hash_tree as its users see it: its lines, its messages, its exit codes."""

import contextlib
import ctypes
import os
import pathlib
import pty
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAM = ROOT / "docs/examples/hash_tree"
BLOCK = 256 * 1024

ODD_FILES = {
    b"plain": b"abc",
    b"empty": b"",
    b"with space": b"1",
    b" leading": b"2",
    b"*star": b"3",
    b"new\nline": b"4",
    b"back\\slash": b"5",
    b"back\\nslash": b"6",
    b"carriage\rreturn": b"7",
    b"\\": b"8",
    b"\xc3\xa9 utf-8": b"9",
    b"\xff\xfe no utf-8": b"10",
    b"-n": b"11",
    b"one block": b"x" * BLOCK,
    b"big": b"0123456789" * (BLOCK // 3),
    b"sub/dir/deep": b"12",
    b"sub/dir/new\n/file": b"13",
}


def drop_the_right_to_read_everything():
    """What root may and others may not: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, until the next exec."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def limit_file_size(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


class HashTreeTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        os.mkdir(self.path("tree"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self, files):
        for name, content in files.items():
            path = os.path.join(os.fsencode(self.folder), b"tree", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)

    def make_many(self, count=200):
        self.make({b"sub%d/file %d" % (i % 7, i): b"content %d" % i for i in range(count)})

    def start(self, *arguments, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.folder} | options
        process = subprocess.Popen([PROGRAM, *arguments], **options)
        self.addCleanup(process.kill)
        return process

    def run_program(self, *arguments, expect=0, **options):
        """Its standard output; what it said is in self.messages."""
        process = self.start(*arguments, **options)
        output, messages = process.communicate()
        self.messages = (messages or b"").decode(errors="replace")
        self.assertEqual(process.returncode, expect, self.messages)
        return output

    def expected(self, tree="tree"):
        """The lines of sha256sum itself, sorted."""
        names = subprocess.check_output(["find", tree, "-type", "f", "-print0"], cwd=self.folder)
        lines = subprocess.check_output(["xargs", "-0", "-r", "sha256sum"], cwd=self.folder, input=names)
        return sorted(lines.splitlines(keepends=True))

    def assert_lines(self, text, expected):
        self.assertEqual(sorted(text.splitlines(keepends=True)), expected)

    def read(self, name):
        return pathlib.Path(self.path(name)).read_bytes()

    def write(self, name, content):
        pathlib.Path(self.path(name)).write_bytes(content)

    # --- lines -----------------------------------------------------------------------------------------------------------

    def test_writes_the_lines_of_sha256sum(self):
        self.make(ODD_FILES)
        for workers in ("1", "2", "8"):
            with self.subTest(workers=workers):
                self.assert_lines(self.run_program("--workers", workers, "tree"), self.expected())

    def test_sha256sum_accepts_them(self):
        self.make(ODD_FILES)
        self.run_program("--out", "sums", "tree")
        subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "sums"], cwd=self.folder, check=True)

    def test_names_files_as_find_does(self):
        self.make(ODD_FILES)
        for tree in ("tree", "tree/", "./tree", ".", self.path("tree"), "tree/sub/.."):
            with self.subTest(tree=tree):
                self.assert_lines(self.run_program(tree), self.expected(tree))

    def test_hashes_many_files(self):
        self.make_many(3000)
        self.assert_lines(self.run_program("tree"), self.expected())

    def test_an_empty_tree_has_no_lines(self):
        self.assertEqual(self.run_program("tree"), b"")
        self.assertIn("0 files", self.messages)

    def test_follows_no_link_but_its_argument(self):
        self.make({b"sub/file": b"1"})
        os.symlink("sub/file", self.path("tree/to file"))
        os.symlink(".", self.path("tree/sub/to itself"))
        os.symlink("nowhere", self.path("tree/dangling"))
        os.symlink("tree", self.path("to tree"))
        self.assert_lines(self.run_program("tree"), self.expected())
        self.assert_lines(self.run_program("to tree"), self.expected("to tree/"))

    def test_leaves_out_the_file_it_writes(self):
        self.make(ODD_FILES)
        expected = self.expected()
        self.run_program("--out", "tree/sums", "tree")
        self.assert_lines(self.read("tree/sums"), expected)
        with open(self.path("tree/sums"), "wb") as sums:
            self.run_program("tree", stdout=sums)
        self.assert_lines(self.read("tree/sums"), expected)

    # --- what cannot be hashed -------------------------------------------------------------------------------------------

    def test_reports_what_is_no_file_and_goes_on(self):
        self.make(ODD_FILES)
        os.mkfifo(self.path("tree/a\nfifo"))
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
            os.chdir(self.path("tree"))  # a socket's path must be short
            server.bind("socket")
            os.chdir(ROOT)
        failed = 2
        with contextlib.suppress(PermissionError):
            os.mknod(self.path("tree/null"), 0o20666, os.makedev(1, 3))
            failed += 1
        self.assert_lines(self.run_program("tree", expect=1), self.expected())
        self.assertIn("tree/a\\nfifo: is a fifo, not a regular file", self.messages)
        self.assertIn("tree/socket: is a socket, not a regular file", self.messages)
        self.assertIn(f", {failed} failed", self.messages)

    def test_reports_what_it_may_not_read_and_goes_on(self):
        self.make({b"readable": b"1", b"secret": b"2", b"closed/file": b"3"})
        os.chmod(self.path("tree/secret"), 0)
        os.chmod(self.path("tree/closed"), 0)
        self.addCleanup(os.chmod, self.path("tree/closed"), 0o700)
        lines = self.run_program("tree", expect=1, preexec_fn=drop_the_right_to_read_everything)
        self.assertEqual(lines.split(b"  ")[1:], [b"tree/readable\n"])
        self.assertIn("tree/secret: Permission denied", self.messages)
        self.assertIn("tree/closed: Permission denied", self.messages)
        self.assertIn(", 2 failed", self.messages)

    def test_reports_a_way_too_long(self):
        self.make({b"file": b"1"})
        here = os.open(self.path("tree"), os.O_RDONLY)
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=here)
            inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)
        lines = self.run_program("tree", expect=1)
        self.assertEqual(lines.split(b"  ")[1:], [b"tree/file\n"])
        self.assertIn("File name too long", self.messages)
        subprocess.run(["rm", "-r", self.path("tree")], check=True)

    # --- where the lines go ----------------------------------------------------------------------------------------------

    def test_says_which_file_cannot_be_opened(self):
        self.run_program("--out", "no/sums", "tree", expect=1)
        self.assertIn("cannot open no/sums: No such file or directory", self.messages)
        self.run_program("--out", "tree", "tree", expect=1)
        self.assertIn("cannot open tree: Is a directory", self.messages)

    def test_does_not_wait_for_a_reader_of_its_fifo(self):
        os.mkfifo(self.path("fifo"))
        self.run_program("--out", "fifo", "tree", expect=1)
        self.assertIn("cannot open fifo", self.messages)

    def test_says_when_the_disk_is_full(self):
        self.make_many()
        self.run_program("--out", "/dev/full", "tree", expect=1)
        self.assertIn("cannot write /dev/full: No space left on device", self.messages)
        self.assertIn("ended in this order", self.messages)
        with open("/dev/full", "wb") as full:
            self.run_program("tree", expect=1, stdout=full)
        self.assertIn("cannot write standard output: No space left on device", self.messages)

    def test_a_file_that_can_grow_no_more_has_whole_lines(self):
        # Long names make long lines: ThreadSanitizer's runtime itself needs a limit of half a MiB at its start.
        folder = b"/".join([b"d" * 250] * 12)
        self.make({folder + b"/file %d" % i: b"content %d" % i for i in range(400)})
        expected = self.expected()
        size = 2**20
        self.assertLess(size, sum(map(len, expected)))
        self.run_program(
            "--out", "sums", "tree", expect=1, restore_signals=False, preexec_fn=lambda: limit_file_size(size)
        )
        self.assertIn("cannot write sums: File too large", self.messages)
        lines = self.read("sums").splitlines(keepends=True)
        self.assertGreater(len(lines), size // len(max(expected, key=len)) - 2)
        self.assertLessEqual(set(lines), set(expected))
        self.assertIn(f"stopped after {len(lines)} files", self.messages)
        self.run_program("--out", "sums", "--resume", "tree")
        self.assert_lines(self.read("sums"), expected)

    def test_a_reader_that_goes_away_is_an_error(self):
        self.make_many()
        reader, writer = os.pipe()
        os.close(reader)
        self.run_program("tree", expect=1, stdout=writer)
        os.close(writer)
        self.assertIn("cannot write standard output: Broken pipe", self.messages)

    # --- command line ----------------------------------------------------------------------------------------------------

    def test_refuses_a_wrong_command_line(self):
        for arguments in (
            [],
            ["--resume", "tree"],
            ["--workers", "0", "tree"],
            ["--workers", "many", "tree"],
            ["--workers"],
            ["--out"],
            ["--no-such-option", "tree"],
            ["tree", "tree"],
            ["nowhere"],
            [PROGRAM],
        ):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_program(*arguments, expect=2), b"")
                self.assertNotEqual(self.messages, "")

    def test_a_wrong_command_line_leaves_the_file_alone(self):
        self.write("sums", b"precious\n")
        self.run_program("--out", "sums", "nowhere", expect=2)
        self.assertEqual(self.read("sums"), b"precious\n")

    def test_explains_itself(self):
        self.assertIn(b"--resume", self.run_program("--help"))

    # --- --resume --------------------------------------------------------------------------------------------------------

    def test_resume_begins_where_there_is_no_file(self):
        self.make(ODD_FILES)
        self.run_program("--out", "sums", "--resume", "tree")
        self.assert_lines(self.read("sums"), self.expected())

    def test_resume_adds_what_is_missing(self):
        self.make(ODD_FILES)
        expected = self.expected()
        self.write("sums", b"".join(expected[1::2]))
        self.run_program("--out", "sums", "--resume", "tree")
        self.assert_lines(self.read("sums"), expected)
        self.assertIn(f"{len(expected[1::2])} were there already", self.messages)
        self.assertTrue(self.read("sums").startswith(b"".join(expected[1::2])), "what was there stays in its place")

    def test_resume_goes_by_the_path_only(self):
        self.make({b"file": b"new content"})
        old = b"0" * 64 + b"  tree/file\n"
        self.write("sums", old)
        self.run_program("--out", "sums", "--resume", "tree")
        self.assertEqual(self.read("sums"), old)

    def test_without_resume_the_file_is_replaced(self):
        self.make(ODD_FILES)
        self.write("sums", b"x" * 100_000)
        self.run_program("--out", "sums", "tree")
        self.assert_lines(self.read("sums"), self.expected())

    def test_resume_redoes_a_torn_last_line(self):
        self.make({b"a": b"1", b"new\nline": b"2", b"b": b"3"})
        expected = self.expected()
        for last in expected:
            others = b"".join(line for line in expected if line != last)
            for size in (1, 2, 63, 64, 65, 66, 67, len(last) - 2, len(last) - 1):
                with self.subTest(last=last, size=size):
                    self.write("sums", others + last[:size])
                    self.run_program("--out", "sums", "--resume", "tree")
                    self.assert_lines(self.read("sums"), expected)

    def test_resume_refuses_a_file_of_another_kind(self):
        self.make(ODD_FILES)
        good = self.expected()[0]
        for content, line in (
            (b"hello\n", 1),
            (b"hello", 1),
            (b"  tree/a\n", 1),
            (good + b"\n" + good, 2),
            (good + b"\0" * 100, 2),
        ):
            with self.subTest(content=content):
                self.write("sums", content)
                self.run_program("--out", "sums", "--resume", "tree", expect=1)
                self.assertIn(f"cannot resume sums: its line {line} is no checksum line", self.messages)
                self.assertEqual(self.read("sums"), content)

    def test_resume_needs_a_regular_file(self):
        self.run_program("--out", "/dev/full", "--resume", "tree", expect=1)
        self.assertIn("cannot resume /dev/full: it is not a regular file", self.messages)

    # --- stopping --------------------------------------------------------------------------------------------------------

    def make_endless(self):
        """A file that takes hours, beside a small one."""
        self.make({b"small": b"1", b"endless": b""})
        os.truncate(self.path("tree/endless"), 1 << 40)

    def test_a_signal_stops_it_in_order(self):
        self.make_endless()
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(number=number):
                process = self.start("--workers", "2", "tree")
                line = process.stdout.readline()
                self.assertTrue(line.endswith(b"  tree/small\n"))
                process.send_signal(number)
                rest, messages = process.communicate()
                self.assertEqual(process.returncode, code, messages)
                self.assertEqual(rest, b"")
                self.assertRegex(messages, rb"stopped after 1 files, .* ended in this order: .*worker .*, writer\b")
                self.assertNotIn(b"failed", messages)

    def test_what_is_unfinished_is_not_written_and_resumed(self):
        self.make_endless()
        self.write("sums", b"")
        process = self.start("--workers", "2", "--out", "sums", "tree")
        while b"tree/small\n" not in self.read("sums"):
            self.assertIsNone(process.poll())
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        self.assertIn(b"go on with --resume", process.communicate()[1])
        self.assertEqual(process.returncode, 130)
        os.truncate(self.path("tree/endless"), 5)
        self.assertEqual(self.read("sums").count(b"\n"), 1)
        self.run_program("--out", "sums", "--resume", "tree")
        self.assert_lines(self.read("sums"), self.expected())

    def test_a_terminal_sees_a_bar_with_the_time_left(self):
        self.make_endless()
        master, terminal = pty.openpty()
        process = self.start("--workers", "2", "tree", stderr=terminal)
        os.close(terminal)
        seen = b""
        while b" left  " not in seen:
            seen += os.read(master, 4096)
        self.assertRegex(seen, rb"\r\x1b\[K\[ {10,}\]    0 %  (\d+:)?\d\d:\d\d left  \d+\.\d .iB/s  [01] files")
        process.send_signal(signal.SIGINT)
        while b"ended in this order" not in seen:
            seen += os.read(master, 4096)
        self.assertEqual(process.wait(), 130)
        self.assertIn(b"counter", seen.split(b"ended in this order")[1])
        os.close(master)


if __name__ == "__main__":
    xml_report.main()
