#!/usr/bin/env -S python3 -B
"""The program //docs/examples:relay as its users see it: its table, its messages, its exit codes."""

import contextlib
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAM = ROOT / "docs/examples/relay"


class RelayTest(unittest.TestCase):
    def start(self, *arguments, **options):
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "bufsize": 0} | options
        process = subprocess.Popen([PROGRAM, *arguments], **options)
        self.addCleanup(process.kill)
        return process

    def run_program(self, *arguments, expect=0, **options):
        """Its standard output; what it said is in self.messages."""
        process = self.start(*arguments, **options)
        output, messages = process.communicate()
        self.messages = (messages or b"").decode()
        self.assertEqual(process.returncode, expect, self.messages)
        return (output or b"").decode()

    def readings_of(self, output, sensor):
        return sum(int(count) for count in re.findall(rf"sensor {sensor}: (\d+) reading", output))

    def test_shows_each_second_of_each_sensor(self):
        output = self.run_program("--sensors", "2", "--rate", "20", "--seconds", "1")
        self.assertRegex(output, r"\Asecond 0, sensor 1: 20 readings, \d+\.\d\d to \d+\.\d\d, mean \d+\.\d\d\n")
        self.assertIn("second 0, sensor 2: 40 readings, ", output)
        self.assertRegex(self.messages, r"\Arelay: 60 readings of 2 sensors in \d+\.\d s\n\Z")

    def test_a_sensor_that_fails_is_named_and_the_others_go_on(self):
        output = self.run_program("--sensors", "2", "--rate", "10", "--seconds", "1", "--fail", expect=1)
        self.assertEqual(self.readings_of(output, 1), 10)
        self.assertEqual(self.readings_of(output, 2), 5)
        self.assertIn("relay: sensor 2 failed: no answer from the hardware\n", self.messages)
        self.assertIn(", 1 failed\n", self.messages)

    def test_a_signal_stops_it_in_order(self):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(number=number):
                process = self.start("--rate", "50")
                first = process.stdout.readline()
                process.send_signal(number)
                rest, messages = process.communicate()
                self.assertEqual(process.returncode, code, messages)
                shown = sum(self.readings_of((first + rest).decode(), sensor) for sensor in (1, 2, 3))
                self.assertRegex(messages.decode(), rf"relay: stopped after {shown} readings of 3 sensors in .*; ended in this order: ")
                self.assertEqual(set(re.findall(rb"sensor \d", messages)), {b"sensor 1", b"sensor 2", b"sensor 3"})

    def test_a_terminal_sees_one_table_in_its_place(self):
        master, terminal = pty.openpty()
        process = self.start("--rate", "20", stdout=terminal, stderr=terminal)
        os.close(terminal)
        seen = b""
        while b"second 1\r\n" not in seen:
            seen += os.read(master, 4096)
        self.assertRegex(seen, rb"\Asecond 0\r\nsensor  readings     least      mean  greatest\r\n     1        20  ")
        self.assertIn(b"\r\x1b[5A\x1b[Jsecond 1\r\n", seen)
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(OSError):  # its end
            while True:
                seen += os.read(master, 4096)
        self.assertEqual(process.wait(), 130)
        os.close(master)
        self.assertIn(b"relay: Stop requested by SIGINT!", seen)
        last_table = seen.split(b"\x1b[J")[-1]
        self.assertRegex(last_table, rb"(?s)second 2\r\n.*\r\nrelay: stopped after \d+ readings of 3 sensors in ")

    def test_output_that_cannot_be_written_ends_it(self):
        with open("/dev/full", "wb") as full:
            self.run_program("--rate", "10", stdout=full, expect=1)
        self.assertIn("relay: cannot write the table: No space left on device\n", self.messages)
        self.assertIn("ended in this order", self.messages)

        reader, writer = os.pipe()
        os.close(reader)
        self.run_program("--rate", "10", stdout=writer, expect=1)
        os.close(writer)
        self.assertIn("relay: cannot write the table: Broken pipe\n", self.messages)

    def test_refuses_a_wrong_command_line(self):
        for arguments in (
            ["--sensors", "0"],
            ["--sensors", "65"],
            ["--sensors", "many"],
            ["--rate", "0"],
            ["--rate", "1001"],
            ["--seconds", "0"],
            ["--seconds"],
            ["--no-such-option"],
            ["more"],
        ):
            with self.subTest(arguments=arguments):
                self.assertEqual(self.run_program(*arguments, expect=2), "")
                self.assertNotEqual(self.messages, "")

    def test_explains_itself(self):
        self.assertIn("--fail", self.run_program("--help"))


if __name__ == "__main__":
    xml_report.main()
