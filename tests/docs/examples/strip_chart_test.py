#!/usr/bin/env -S python3 -B
"""The program //docs/examples:strip_chart: its page in a browser, its picture in a terminal, and its record."""

import fcntl
import http.client
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
sys.path.insert(0, str(ROOT / "tests/support"))
import xml_report
from browser import Browser

PROGRAM = ROOT / "docs/examples/strip_chart"
LIMIT = 60  # seconds for anything that a test waits for
BRAILLE = re.compile("[\u2801-\u28ff]")


class StripChartTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, *arguments, **streams):
        self.program = subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, **streams)
        self.addCleanup(self.program.wait)
        self.addCleanup(self.program.kill)

    def start_with_page(self, *arguments):
        self.start("--port", "0", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        url = self.program.stdout.readline().strip()
        self.assertRegex(url, r"\Ahttp://127\.0\.0\.1:\d+/\Z")
        return url

    def stop(self):
        self.program.send_signal(signal.SIGINT)
        _, log = self.program.communicate()
        return log

    def test_the_page_draws_what_comes(self):
        url = self.start_with_page()
        with Browser(url) as page:
            page.wait_for("board.updates > 5")
            page.wait_for("[...document.querySelectorAll('polyline')].every(line => line.getAttribute('points'))")
            self.assertEqual(page.evaluate("[...document.querySelectorAll('svg > title')].map(one => one.textContent)"),
                             ["SR-DI-DCCT-01:SIGNAL", "168 values, from SR01C-DI-EBPM-01:SA:X"])
            self.assertEqual(page.evaluate("document.querySelectorAll('polyline')[1].getAttribute('points').split(' ').length"), 168)
            self.assertTrue(280 < page.evaluate("board.strips[0].points.at(-1)[1]") < 301)
            self.assertEqual(page.evaluate("document.getElementById('state').textContent"), "")
            # What is drawn changes, as time passes.
            page.evaluate("window.drawn = document.querySelector('polyline').getAttribute('points')")
            page.wait_for("document.querySelector('polyline').getAttribute('points') !== drawn")
            self.assertGreater(len(page.picture()), 5000)
            log = self.stop()
            page.wait_for("document.getElementById('state').textContent.startsWith('the program has ended')")
        self.assertEqual(self.program.returncode, 0, log)
        self.assertRegex(log, r"\d+ updates of 169 variables")
        self.assertNotIn("error", log)

    def test_a_page_of_another_site_reads_nothing(self):
        url = self.start_with_page()
        own = url.removeprefix("http://").rstrip("/")
        port = own.rpartition(":")[2]

        def status(target, host, origin=None):
            connection = http.client.HTTPConnection(own, timeout=LIMIT)
            self.addCleanup(connection.close)
            connection.putrequest("GET", target, skip_host=True)
            headers = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
                       "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
            if target != "/updates":
                headers = {"Host": host}
            if origin:
                headers["Origin"] = origin
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            return connection.getresponse().status

        for target, fine in (("/updates", 101), ("/history", 200)):
            self.assertEqual(status(target, own), fine)
            self.assertEqual(status(target, own, "http://" + own), fine)
            self.assertEqual(status(target, "localhost:" + port, "http://localhost:" + port), fine)
            self.assertEqual(status(target, own, "http://evil.example"), 403)
            self.assertEqual(status(target, own, "null"), 403)
            # A name of somebody else that leads here.
            self.assertEqual(status(target, "evil.example:" + port, "http://evil.example:" + port), 403)
        self.stop()

    def test_two_pages_see_the_same(self):
        url = self.start_with_page()
        with Browser(url) as one, Browser(url) as other:
            for page in (one, other):
                page.wait_for("board.updates > 3")
            common = "board.strips[0].points.map(point => point[0])"
            self.assertGreater(len(set(one.evaluate(common)) & set(other.evaluate(common))), 3)
        self.stop()

    def test_the_terminal_shows_both_charts(self):
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 80, 0, 0))
        self.start(stdout=slave, stderr=subprocess.PIPE)
        os.close(slave)
        shown = b""
        deadline = time.monotonic() + LIMIT
        pictures = []
        while not (len(pictures) > 3 and "SR-DI-DCCT-01:SIGNAL  2" in pictures[-2]):
            self.assertLess(time.monotonic(), deadline, shown[-2000:])
            if select.select([master], [], [], 1)[0]:
                shown += os.read(master, 65536)
            pictures = shown.decode(errors="ignore").split("\x1b[H")
        lines = [re.sub(r"\x1b\[.", "", line).rstrip("\r") for line in pictures[-2].split("\n")]
        self.assertRegex(lines[0], r"^SR-DI-DCCT-01:SIGNAL  2\d\d\.\d+")
        self.assertTrue(any(line.startswith("168 values, from SR01C-DI-EBPM-01:SA:X") for line in lines), lines)
        self.assertGreater(sum(len(BRAILLE.findall(line)) for line in lines), 100)
        self.assertLessEqual(max(len(line) for line in lines), 80)
        if folder := os.environ.get("PICTURES"):
            pathlib.Path(folder, "strip_chart.txt").write_text("\n".join(lines))
        self.program.send_signal(signal.SIGINT)
        while True:  # what it still writes has a reader
            try:
                if not os.read(master, 65536):
                    break
            except OSError:
                break
        self.program.communicate()

    def test_every_update_is_recorded(self):
        file = self.folder / "record.csv"
        self.start("--record", file, "--seconds", "2", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        _, log = self.program.communicate(timeout=LIMIT)
        self.assertEqual(self.program.returncode, 0, log)
        head, *lines = file.read_text().splitlines()
        self.assertEqual(head, "time,name,value,severity")
        self.assertEqual(int(re.search(r"(\d+) updates of 169", log)[1]), len(lines))
        of_current = [line for line in lines if ",SR-DI-DCCT-01:SIGNAL," in line]
        self.assertGreater(len(of_current), 10)
        for line in of_current:
            self.assertRegex(line, r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z,SR-DI-DCCT-01:SIGNAL,[\d.]+,none\Z")
        self.assertEqual(of_current, sorted(of_current))

    def test_a_file_that_cannot_be_made_is_said(self):
        self.start("--record", self.folder / "nowhere/record.csv", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        _, log = self.program.communicate(timeout=LIMIT)
        self.assertEqual(self.program.returncode, 1)
        self.assertIn("nowhere/record.csv", log)
        self.assertIn("No such file", log)


if __name__ == "__main__":
    xml_report.main()
