#!/usr/bin/env -S python3 -B
"""The closing line of tools/test: what it counts of Bazel's events and test.xml files."""

import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools/lib"))
import count_tests

GOOD = '<testcase name="good" status="run" result="completed"/>'
BAD = '<testcase name="bad" status="run" result="completed"><failure message="1 is not 2"/></testcase>'
DIED = '<testcase name="died" status="run"><error message="exited with error code 134"></error></testcase>'
SKIPPED = '<testcase name="skipped" status="run" result="skipped"><skipped message="not here"/></testcase>'
DISABLED = '<testcase name="DISABLED_x" status="notrun" result="suppressed"/>'


class CountTestsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(self.folder.cleanup)
        self.events = [{"id": {"started": {}}}]

    def ran(self, label, status, *cases, run=1, shard=1, attempt=1):
        """Adds the event of a test that ran, and its file."""
        path = pathlib.Path(self.folder.name, f"test {len(self.events)}.xml")
        path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>", encoding="utf-8")
        outputs = [{"name": "test.log", "uri": "file:///none"}, {"name": "test.xml", "uri": path.as_uri()}]
        which = {"label": label, "run": run, "shard": shard, "attempt": attempt}
        self.events.append({"id": {"testResult": which}, "testResult": {"status": status, "testActionOutput": outputs}})

    def built(self, label, success):
        self.events.append({"id": {"targetCompleted": {"label": label}}, "completed": {"success": True} if success else {}})

    def assert_counts(self, line, exit_status, bazel_status=0):
        path = os.path.join(self.folder.name, "events")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in self.events)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.assertEqual(count_tests.main(path, bazel_status), exit_status)
        self.assertEqual(output.getvalue().splitlines()[-1], line)

    def test_cases_are_counted_one_by_one(self):
        self.ran("//a", "PASSED", GOOD, GOOD)
        self.ran("//b", "FAILED", GOOD, BAD)
        self.assert_counts("3 passed, 1 failed", 3, bazel_status=3)

    def test_shards_and_runs_add_up(self):
        self.ran("//a", "PASSED", GOOD, shard=1)
        self.ran("//a", "PASSED", GOOD, shard=2)
        self.ran("//a", "PASSED", GOOD, run=2)
        self.assert_counts("3 passed, 0 failed", 0)

    def test_only_the_last_attempt_counts(self):
        self.ran("//a", "FAILED", BAD, attempt=1)
        self.ran("//a", "PASSED", GOOD, attempt=2)
        self.assert_counts("1 passed, 0 failed", 0)

    def test_skipped_and_disabled_cases_have_not_passed(self):
        self.ran("//a", "PASSED", GOOD, SKIPPED, DISABLED)
        self.assert_counts("1 passed, 0 failed", 0)

    def test_a_program_that_died(self):
        self.ran("//a", "FAILED", DIED)
        self.assert_counts("0 passed, 1 failed", 3, bazel_status=3)

    def test_a_program_that_failed_after_its_cases(self):
        self.ran("//a", "FAILED", GOOD, GOOD)
        self.assert_counts("2 passed, 1 failed", 3, bazel_status=3)

    def test_a_target_that_did_not_build(self):
        self.built("//a", True)
        self.built("//b", False)
        self.ran("//a", "PASSED", GOOD)
        self.assert_counts("1 passed, 1 failed", 1, bazel_status=1)

    def test_bazel_itself_fails(self):
        self.assert_counts("0 passed, 1 failed", 2, bazel_status=2)

    def test_no_tests_are_no_success(self):
        self.assert_counts("0 passed, 0 failed", 4, bazel_status=4)
        self.ran("//a", "PASSED")
        self.assert_counts("0 passed, 0 failed", 1)

    def test_a_lost_failure_is_no_success(self):
        self.ran("//a", "FAILED", BAD)
        self.assert_counts("0 passed, 1 failed", 1, bazel_status=0)


if __name__ == "__main__":
    unittest.main()
