#!/usr/bin/env -S python3 -B
"""Valgrind's memcheck finds nothing in fibers that switch to each other: it has been told of their stacks."""

import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAM = ROOT / "tests/cooperative/stacks_for_valgrind"


class ValgrindTest(unittest.TestCase):
    def test_memcheck_finds_nothing(self):
        result = subprocess.run(
            ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=no", PROGRAM],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300,
        )
        self.assertEqual(result.stdout, "180 turns, a text that needs an allocation of its own\n", result.stderr)
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.returncode, 0)


if __name__ == "__main__":
    xml_report.main()
