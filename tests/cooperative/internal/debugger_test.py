#!/usr/bin/env -S python3 -B
"""A debugger walks the stack of a fiber that does not run, from what parked_frame() (switch.h) says."""

import pathlib
import subprocess
import sys
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAM = ROOT / "tests/cooperative/parked_fiber"


class DebuggerTest(unittest.TestCase):
    def gdb(self, *commands):
        """What it says; the program has no use for a terminal or for settings of somebody's."""
        arguments = [argument for command in commands for argument in ("-ex", command)]
        result = subprocess.run(
            ["gdb", "--batch", "-nx", *arguments, PROGRAM],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60,
        )
        return result.stdout

    def test_gdb_walks_a_parked_fiber(self):
        said = self.gdb(
            "set debuginfod enabled off",
            "break look_here",
            "run",
            "set $instruction = *(unsigned long*)&parked_instruction",
            "set $stack_pointer = *(unsigned long*)&parked_stack_pointer",
            "set $frame_pointer = *(unsigned long*)&parked_frame_pointer",
            "set $base = *(unsigned long*)&parked_rbx",
            "echo the root:\\n",
            "backtrace",
            "set $rsp = $stack_pointer",
            "set $rbp = $frame_pointer",
            "set $rbx = $base",
            "set $rip = $instruction",
            "echo the fiber:\\n",
            "backtrace",
            "kill",
        )
        root, _, fiber = said.partition("the fiber:")
        self.assertRegex(root, r"(?s)the root:.*look_here.* main ", said)
        self.assertRegex(fiber, r"(?s)#0 .* innermost .* outermost .*run_fibers.* mothreads_bottom_of_stack ", said)
        self.assertNotIn(" main ", fiber, said)
        self.assertNotIn("corrupt stack", fiber, said)


if __name__ == "__main__":
    xml_report.main()
