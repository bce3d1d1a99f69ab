#!/usr/bin/env -S python3 -B
"""Which packages tools/lib/packages.sh finds missing, by dpkg-query's own look into a made-up list of installed ones."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/tidy"))

import xml_report  # noqa: E402: it lies beside another test

NATIVE = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
FOREIGN = "i386" if NATIVE != "i386" else "amd64"


class PackagesTest(unittest.TestCase):
    def missing(self, *installed):
        """What is missing of the package libcli11-dev's purpose, where these (name, architecture, status) are known."""
        with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as folder:
            for name in ("info", "updates"):
                os.mkdir(os.path.join(folder, name))
            with open(os.path.join(folder, "arch"), "w", encoding="utf-8") as file:
                file.write(f"{NATIVE}\n{FOREIGN}\n")
            with open(os.path.join(folder, "status"), "w", encoding="utf-8") as file:
                for name, architecture, status in installed:
                    multi_arch = "foreign" if architecture == "all" else "same"
                    file.write(
                        f"Package: {name}\nStatus: {status}\nArchitecture: {architecture}\nMulti-Arch: {multi_arch}\nVersion: 1.0\n"
                        "Maintainer: nobody <nobody@localhost>\nDescription: made up\n\n"
                    )
            run = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", f"source {ROOT}/tools/lib/packages.sh; missing_packages examples"],
                env={**os.environ, "DPKG_ADMINDIR": folder},
                capture_output=True,
                text=True,
                check=True,
            )
            self.assertEqual(run.stderr, "")
            return [name for name in run.stdout.split() if name != "bazel-bootstrap"]

    def test_of_this_machine(self):
        self.assertEqual(self.missing(("libcli11-dev", NATIVE, "install ok installed")), [])

    def test_of_every_machine(self):
        self.assertEqual(self.missing(("libcli11-dev", "all", "install ok installed")), [])

    def test_beside_one_of_another_architecture(self):
        both = [("libcli11-dev", FOREIGN, "install ok installed"), ("libcli11-dev", NATIVE, "install ok installed")]
        self.assertEqual(self.missing(*both), [])
        self.assertEqual(self.missing(*reversed(both)), [])

    def test_of_another_architecture_only(self):
        self.assertEqual(self.missing(("libcli11-dev", FOREIGN, "install ok installed")), ["libcli11-dev"])

    def test_removed(self):
        self.assertEqual(self.missing(("libcli11-dev", NATIVE, "deinstall ok config-files")), ["libcli11-dev"])

    def test_unknown(self):
        self.assertEqual(self.missing(), ["libcli11-dev"])


if __name__ == "__main__":
    xml_report.main()
