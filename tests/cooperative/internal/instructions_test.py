#!/usr/bin/env -S python3 -B
"""What a fiber costs in instructions, which repeat exactly, is the same however many there are."""

import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAM = ROOT / "tests/cooperative/fiber_instructions"


def instructions(row, count):
    result = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAM, row, str(count)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=True,
    )
    return int(re.search(r"Collected : (\d+)", result.stderr).group(1))


def per_one(row, count):
    return (instructions(row, 2 * count) - instructions(row, count)) / count


class InstructionsTest(unittest.TestCase):
    def check_growth(self, row, count):
        few = per_one(row, count)
        many = per_one(row, 4 * count)
        self.assertLess(many, 1.1 * few, f"{row}: {few:.1f} each, and {many:.1f} where there are more of them")

    def test_to_make_and_join_a_fiber_costs_the_same_however_many_came_before(self):
        self.check_growth("spawn_join", 1000)

    def test_each_of_many_cancelled_fibers_costs_the_same(self):
        self.check_growth("cancel", 250)


if __name__ == "__main__":
    xml_report.main()
