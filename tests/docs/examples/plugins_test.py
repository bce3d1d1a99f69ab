#!/usr/bin/env -S python3 -B
"""The programs //docs/examples:plugins and plugins_static as their users see them: who stops, who is lost, what is unloaded, exit codes."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

EXAMPLES = ROOT / "docs/examples"
WITH_MODULES = (EXAMPLES / "plugins", EXAMPLES / "libticker.so", EXAMPLES / "libadder.so")
BUILT_IN = (EXAMPLES / "plugins_static", "ticker", "adder")


class PluginsTest(unittest.TestCase):
    def start(self, program, *arguments):
        self.seen = ""
        self.process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stderr.close()

    def start_stuck(self, program, *modules):
        """The first plugin will not stop until somebody writes to self.device."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.device = os.path.join(folder.name, "device")
        os.mkfifo(self.device)
        self.start(program, "--stop-seconds", "0.05", "--device", self.device, *modules)
        self.await_messages("ticker: runs", "adder: runs")

    def await_messages(self, *messages):
        """In any order, each a line that comes once the call has begun."""
        missing = set(messages)
        while missing:
            line = self.process.stderr.readline()
            self.assertNotEqual(line, "", f"it ended without {missing}; it said:\n{self.seen}")
            self.seen += line
            missing.discard(line.removeprefix("plugins: ").rstrip("\n"))

    def command(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def await_end(self, code):
        self.seen += self.process.stderr.read()
        self.assertEqual(self.process.wait(), code, self.seen)

    def loaded(self):
        maps = pathlib.Path(f"/proc/{self.process.pid}/maps").read_text()
        return {name for name in ("libticker.so", "libadder.so") if f"/{name}\n" in maps}

    def test_a_signal_stops_all_in_order(self):
        for program in (WITH_MODULES, BUILT_IN):
            for number in (signal.SIGINT, signal.SIGTERM):
                self.start(*program)
                self.await_messages("ticker: runs", "adder: runs")
                self.process.send_signal(number)
                self.await_messages("ticker is unloaded", "adder is unloaded")
                self.await_end(0)
                self.assertRegex(self.seen, r"ticker: stops after \d+ ticks\n")
                self.assertRegex(self.seen, r"adder: stops with the sum \d+\n")

    def test_one_is_stopped_and_unloaded_and_the_others_go_on(self):
        self.start(*WITH_MODULES)
        self.await_messages("ticker: runs", "adder: runs")
        self.assertEqual(self.loaded(), {"libticker.so", "libadder.so"})
        self.command("stop adder")
        self.await_messages("adder is unloaded")
        self.assertEqual(self.loaded(), {"libticker.so"})
        self.command("stop adder")
        self.await_messages('no plugin "adder" runs')
        self.command("stop ticker")
        self.await_messages("ticker is unloaded")
        self.await_end(0)

    def test_one_that_is_stuck_is_reported_and_lost_and_the_others_go_on(self):
        for program in (WITH_MODULES, BUILT_IN):
            self.start_stuck(*program)
            self.command("stop ticker")
            self.await_messages(
                '"ticker" was told to stop and did not by its deadline; who did not stop:',
                'The stop goes on without "ticker", which is marked lost',
                "ticker: thread ticker lost",
                "ticker is lost: its module stays loaded",
            )
            if program is WITH_MODULES:
                self.assertEqual(self.loaded(), {"libticker.so", "libadder.so"})
            self.process.send_signal(signal.SIGINT)
            self.await_messages("adder is unloaded")
            self.await_end(1)
            self.assertNotIn("ticker is unloaded", self.seen)

    def test_one_that_was_lost_is_unloaded_when_it_ends_after_all(self):
        self.start_stuck(*WITH_MODULES)
        self.command("stop ticker")
        self.await_messages("ticker is lost: its module stays loaded")
        with open(self.device, "w"):
            self.await_messages("ticker has ended after all", "ticker is unloaded")
        self.assertEqual(self.loaded(), {"libadder.so"})
        self.command("stop adder")
        self.await_messages("adder is unloaded")
        self.await_end(1)

    def test_a_signal_does_not_wait_for_one_that_is_stuck(self):
        self.start_stuck(*WITH_MODULES)
        self.process.send_signal(signal.SIGTERM)
        self.await_messages("adder is unloaded", "ticker is lost: its module stays loaded")
        self.await_end(1)

    def test_a_module_with_its_own_copy_of_the_library_is_refused(self):
        module = EXAMPLES / "libticker_with_own_copy.so"
        self.start(EXAMPLES / "plugins", module)
        self.await_end(-signal.SIGABRT)
        self.assertRegex(
            self.seen,
            r"mothreads: two copies of the library are in this process, one in \S*/libmothreads\.so, one in \S*/libticker_with_own_copy\.so: "
            r"link the program and the module with the shared object, libmothreads\.so\n",
        )

    def test_a_module_that_is_none_is_named(self):
        self.start(EXAMPLES / "plugins", "/no/such/module.so")
        self.await_end(1)
        self.assertIn("/no/such/module.so: cannot open shared object file", self.seen)
        self.start(EXAMPLES / "plugins_static", "none")
        self.await_end(1)
        self.assertIn('no plugin "none" is built in', self.seen)

    def test_refuses_a_wrong_command_line(self):
        self.start(EXAMPLES / "plugins", "--stop-seconds", "soon", "module")
        self.await_end(2)
        self.start(EXAMPLES / "plugins")
        self.await_end(2)


if __name__ == "__main__":
    xml_report.main()
