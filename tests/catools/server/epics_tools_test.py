#!/usr/bin/env -S python3 -B
"""EPICS' own programs, and pyepics, as clients of a ca::Server."""

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

PYEPICS = """
import threading
import epics
assert epics.caget("own:double") == 3.5
assert epics.caget("own:enum", as_string=True) == "on"
came = threading.Event()
values = []
monitor = epics.PV("own:other", callback=lambda value, **_: (values.append(value), came.set() if value == 9 else None))
assert monitor.wait_for_connection(20)
assert epics.caput("own:other", 9, wait=True, timeout=20) == 1
assert came.wait(20), values
assert epics.caget_many(["own:double", "own:other", "own:long"]) == [3.5, 9, 42]
wave = [0.5 * i for i in range(200000)]
epics.caput("own:large", wave, wait=True, timeout=20)
assert list(epics.caget("own:large")) == wave
info = epics.PV("own:long").get_ctrlvars(timeout=20)
assert info["upper_alarm_limit"] == 98 and info["lower_warning_limit"] == 10, info
print("all is right")
"""


class EpicsToolsTest(unittest.TestCase):
    def setUp(self):
        port = free_port()
        self.environment = os.environ | {
            "EPICS_CA_AUTO_ADDR_LIST": "NO",
            "EPICS_CA_ADDR_LIST": f"127.0.0.1:{port}",
            "EPICS_CA_REPEATER_PORT": str(free_port()),
            "TZ": "UTC",
        }
        server = subprocess.Popen(
            [ROOT / "tests/catools/programs/served_records", "own:", "records.db", str(port)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment,
        )
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        self.assertEqual(server.stdout.readline(), "serving\n")

    def run_tool(self, name, *arguments):
        done = subprocess.run(
            [ROOT / "external/epics/bin" / name, "-w", "20", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=LIMIT, env=self.environment,
        )
        return done.stdout + re.sub(r"\*+ The executable|.*caRepeater.*|.*CA Repeater.*|.*EPICS_CA_.*", "", done.stderr)

    def test_caget(self):
        text = self.run_tool("caget", "own:double", "own:string", "own:enum", "own:long", "own:wave")
        self.assertRegex(text, r"own:double +3\.5\n")
        self.assertRegex(text, r"own:string +hello\n")
        self.assertRegex(text, r"own:enum +on\n")
        self.assertRegex(text, r"own:long +42\n")
        self.assertRegex(self.run_tool("caget", "-d", "DBR_CTRL_LONG", "own:long"), r"(?s)Hi alarm limit: +98.*Lo ctrl limit: +5")
        self.assertRegex(self.run_tool("caget", "-a", "own:never"), r"own:never +<undefined> 0 UDF INVALID")
        self.assertRegex(self.run_tool("caget", "-d", "CLASS_NAME", "own:double"), r"own:double")

    def test_caput(self):
        self.assertRegex(self.run_tool("caput", "own:merged", "2.5"), r"New : own:merged +2\.5")
        self.assertRegex(self.run_tool("caput", "-c", "own:enum", "standby"), r"New : own:enum +standby")
        self.assertRegex(self.run_tool("caput", "-c", "-a", "own:shorts", "3", "1", "2", "3"), r"New : own:shorts +3 1 2 3|New : own:shorts 10 1 2 3")
        self.assertRegex(self.run_tool("caput", "-c", "own:long", "1000"), r"New : own:long +96\n")  # clipped, as a record does
        self.assertRegex(self.run_tool("caput", "-c", "own:readonly", "2"), r"(?i)write access denied")

    def test_camonitor(self):
        monitor = subprocess.Popen(
            [ROOT / "external/epics/bin/camonitor", "own:other"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.environment
        )
        self.addCleanup(monitor.communicate)
        self.addCleanup(monitor.kill)
        self.assertRegex(monitor.stdout.readline(), r"own:other +\S+ \S+ 7")
        self.run_tool("caput", "-c", "own:other", "8")
        self.assertRegex(monitor.stdout.readline(), r"own:other +\S+ \S+ 8")

    def test_cainfo(self):
        self.assertRegex(self.run_tool("cainfo", "own:enum"), r"(?s)State: +connected.*Access: +read, write.*Native data type: DBF_ENUM.*Element count: +1")

    def test_pyepics(self):
        done = subprocess.run(
            ["/usr/bin/python3", "-c", PYEPICS], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=LIMIT, env=self.environment,
        )
        self.assertIn("all is right", done.stdout)


if __name__ == "__main__":
    xml_report.main()
