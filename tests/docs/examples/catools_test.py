#!/usr/bin/env -S python3 -B
"""The programs caget, caput, camonitor, cainfo and pvtree of //docs/examples, with a server of the library and with the IOC of EPICS."""

import os
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
sys.path.insert(0, str(ROOT / "tests/support"))
import xml_report
from ports import free_port

LIMIT = 60  # seconds for anything that a test waits for


class CatoolsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        port, ioc, repeater = free_port(), free_port(), free_port()
        cls.environment = os.environ | {
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_ADDR_LIST": f"127.0.0.1:{port} 127.0.0.1:{ioc}",
            "EPICS_CA_REPEATER_PORT": str(repeater),
            "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
            "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
            "EPICS_CAS_BEACON_PORT": str(repeater),
            "EPICS_CAS_SERVER_PORT": str(ioc),
        }
        cls.server = cls.start([ROOT / "tests/catools/programs/served_records", "own:", "records.db", str(port)], "serving")
        cls.ioc = cls.start([ROOT / "external/epics/bin/softIoc", "-m", "P=ioc:", "-d", ROOT / "tests/docs/examples/links.db"], "All initialization complete")

    @classmethod
    def start(cls, command, ready):
        program = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=cls.environment
        )
        cls.addClassCleanup(program.communicate)
        cls.addClassCleanup(program.kill)
        for line in program.stdout:
            if ready in line:
                return program
        raise OSError(f"{command[0]} has ended: {program.wait()}")

    def run_tool(self, name, *arguments, code=0):
        done = subprocess.run(
            [ROOT / "docs/examples" / name, "-w", "10", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIMIT,
            env=self.environment,
        )
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_caget(self):
        lines = self.run_tool("caget", "own:double", "own:string", "own:enum", "own:wave").stdout.splitlines()
        self.assertEqual(lines, ["own:double                     3.5", "own:string                     hello", "own:enum                       on", "own:wave                       0"])
        self.assertEqual(self.run_tool("caget", "-t", "-n", "own:enum").stdout, "1\n")
        self.assertEqual(self.run_tool("caget", "-t", "-d", "string", "own:double").stdout, "3.500\n")
        self.assertRegex(self.run_tool("caget", "-a", "own:other").stdout, r"\Aown:other +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} 7\n\Z")
        self.assertRegex(self.run_tool("caget", "-a", "own:never").stdout, r"<undefined> 0 undefined invalid\n\Z")

    def test_caget_of_a_variable_that_is_not_there(self):
        done = subprocess.run(
            [ROOT / "docs/examples/caget", "-w", "0.2", "own:nowhere", "own:other"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT, env=self.environment,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("own:nowhere", done.stderr)

    def test_caput(self):
        done = self.run_tool("caput", "-c", "own:merged", "2.5")
        self.assertEqual(done.stdout, "Old : own:merged                     0\nNew : own:merged                     2.5\n")
        self.assertEqual(self.run_tool("caput", "-c", "-t", "-a", "own:chars", "1", "2", "3").stdout, "3 1 2 3\n")
        self.assertIn("own:readonly", self.run_tool("caput", "-c", "own:readonly", "2", code=1).stderr)
        self.run_tool("caput", "own:merged", "1", "2", code=2)

    def test_cainfo(self):
        self.assertRegex(self.run_tool("cainfo", "own:long").stdout, r"(?s)own:long.*(localhost|127\.0\.0\.1):\d+.*long")

    def test_camonitor_until_its_reader_goes(self):
        monitor = subprocess.Popen(
            [ROOT / "docs/examples/camonitor", "-a", "own:shorts", "own:enum"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment
        )
        self.addCleanup(monitor.kill)
        first = sorted(monitor.stdout.readline() for _ in range(2))
        self.assertRegex(first[0], r"\Aown:enum +[-\d]+ [\d:.]+ on\n\Z")
        self.assertRegex(first[1], r"\Aown:shorts +.* 0\n\Z")
        self.run_tool("caput", "-c", "-a", "own:shorts", "4", "5")
        self.assertRegex(monitor.stdout.readline(), r"\Aown:shorts +[-\d]+ [\d:.]+ 2 4 5\n\Z")
        monitor.stdout.close()
        self.run_tool("caput", "-c", "-a", "own:shorts", "5")
        self.assertEqual(monitor.wait(LIMIT), 1)
        monitor.stderr.close()

    def test_pvtree(self):
        text = self.run_tool("pvtree", "ioc:sum", code=0).stdout
        self.assertEqual(
            text.splitlines(),
            [
                "ioc:sum (calc) 11",
                "  ioc:middle <- INPA NMS (ai) 3 MAJOR/LINK",
                "    ioc:source.VAL <- INP (ao) 3 MAJOR/HIHI",
                "  ioc:source <- INPB NMS (above)",
                "  INPC = 5",
            ],
        )
        self.assertEqual(len(self.run_tool("pvtree", "-q", "ioc:sum").stdout.splitlines()), 4)
        self.assertNotIn("NMS", self.run_tool("pvtree", "-m", "ioc:sum").stdout)

    def test_pvtree_of_a_broken_link(self):
        done = subprocess.run(
            [ROOT / "docs/examples/pvtree", "-w", "1", "ioc:broken"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT, env=self.environment
        )
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stdout, r"ioc:broken \(ai\).*\n  ioc:nowhere <- INP NMS \(not there\)\n")


if __name__ == "__main__":
    xml_report.main()
