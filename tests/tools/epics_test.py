#!/usr/bin/env -S python3 -B
"""What tools/lib/epics.sh says of an EPICS that is there, is not complete, or is missing."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/tidy"))

import xml_report  # noqa: E402: it lies beside another test

FILES = [
    "include/cadef.h",
    "include/os/Linux/osdThread.h",
    "lib/made-up/libca.so",
    "lib/made-up/libCom.so",
    *(f"bin/made-up/{program}" for program in ("softIoc", "caget", "caput", "camonitor", "cainfo")),
]


class EpicsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def make(self, base, files):
        for name in files:
            path = pathlib.Path(base) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    def find(self, **environment):
        kept = {name: value for name, value in os.environ.items() if name not in ("EPICS_BASE", "EPICS_HOST_ARCH", "XDG_CACHE_HOME")}
        return subprocess.run(
            ["bash", "-uo", "pipefail", "-c", f"source {ROOT}/tools/lib/epics.sh; find_epics"],
            env={**kept, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_a_site_names_its_own(self):
        self.make(self.folder, FILES)
        found = self.find(EPICS_BASE=self.folder, EPICS_HOST_ARCH="made-up")
        self.assertEqual((found.returncode, found.stdout, found.stderr), (0, f"{self.folder} made-up\n", ""))

    def test_each_file_that_is_missing_is_named(self):
        for missing in FILES:
            base = os.path.join(self.folder, missing.replace("/", "_"))
            self.make(base, [name for name in FILES if name != missing])
            found = self.find(EPICS_BASE=base, EPICS_HOST_ARCH="made-up")
            self.assertEqual((found.returncode, found.stdout), (1, ""))
            self.assertIn(f"{base} is no complete build of EPICS for made-up: it has no {missing}.", found.stderr)

    def test_a_site_must_say_for_which_architecture(self):
        found = self.find(EPICS_BASE=self.folder)
        self.assertEqual(found.returncode, 1)
        self.assertIn("set EPICS_HOST_ARCH", found.stderr)

    def test_without_any_the_remedy_is_named(self):
        found = self.find(XDG_CACHE_HOME=self.folder)
        self.assertEqual((found.returncode, found.stdout), (1, ""))
        self.assertIn("Run tools/epics, which builds it.", found.stderr)

    def test_one_that_was_built_is_found(self):
        version = subprocess.run(
            ["bash", "-c", f"source {ROOT}/tools/lib/epics.sh; echo $EPICS_VERSION"], capture_output=True, text=True, check=True
        ).stdout.strip()
        base = os.path.join(self.folder, "mothreads-epics", version)
        self.make(base, FILES)
        pathlib.Path(base, "architecture").write_text("made-up\n", encoding="utf-8")
        found = self.find(XDG_CACHE_HOME=self.folder)
        self.assertEqual((found.returncode, found.stdout, found.stderr), (0, f"{base} made-up\n", ""))


if __name__ == "__main__":
    xml_report.main()
