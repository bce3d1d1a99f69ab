#!/usr/bin/env -S python3 -B
"""Every header compiles behind the macros that other libraries define in small letters."""

import os
import pathlib
import subprocess
import unittest

import rules
import xml_report

ROOT = pathlib.Path(__file__).resolve().parents[2]

QT = """
#define signals public
#define slots
#define emit
#define foreach(variable, container) for (variable : container)
#define forever for (;;)
"""
WINDOWS = """
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
"""


class ForeignMacrosTest(unittest.TestCase):
    def compile_all_behind(self, macros):
        tree = rules.Tree(ROOT)
        headers = [path for layer in rules.LAYERS for path in tree.files(".h", layer + "/")]
        self.assertGreater(len(headers), 100)
        run = subprocess.run(
            [os.environ.get("CXX", "c++"), "-std=c++20", "-fsyntax-only", f"-I{ROOT}", "-x", "c++", "-"],
            input=macros + "".join(f'#include "{path}"\n' for path in headers),
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(run.returncode, 0, run.stderr)

    def test_qt(self):
        self.compile_all_behind(QT)

    def test_windows(self):
        self.compile_all_behind(WINDOWS)


if __name__ == "__main__":
    xml_report.main()
