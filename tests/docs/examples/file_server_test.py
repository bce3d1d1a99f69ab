#!/usr/bin/env -S python3 -B
"""The program //docs/examples:file_server with the clients that its users have: curl, wrk, a browser."""

import hashlib
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAM = ROOT / "docs/examples/file_server"
LARGE = 8 * 1024 * 1024

# A GIF of one pixel, and a page with two of them that says when it has seen both.
PIXEL = bytes.fromhex("47494638396101000100800000ff0000ffffff2c00000000010001000002024401003b")
PAGE = """<!doctype html><title>waiting</title><img src="/a.gif" id="a"><img src="/sub%20folder/b.gif" id="b">
<script>
onload = async () => {
  const range = await fetch("/large.bin", {headers: {Range: "bytes=1000000-1000009"}});
  const bytes = new Uint8Array(await range.arrayBuffer());
  const widths = [a.naturalWidth, b.naturalWidth];
  document.body.textContent = JSON.stringify({widths, status: range.status, bytes: Array.from(bytes)});
};
</script>
"""


class FileServerTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.site = pathlib.Path(folder.name) / "site"
        (self.site / "sub folder").mkdir(parents=True)
        (pathlib.Path(folder.name) / "secret.txt").write_text("not for everybody")
        (self.site / "index.html").write_text(PAGE)
        (self.site / "a.gif").write_bytes(PIXEL)
        (self.site / "sub folder/b.gif").write_bytes(PIXEL)
        self.large = b"".join(number.to_bytes(4, "big") for number in range(LARGE // 4))
        (self.site / "large.bin").write_bytes(self.large)

    def serve(self, *arguments):
        self.server = subprocess.Popen(
            [PROGRAM, "--port", "0", *arguments, self.site], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(self.server.communicate)
        self.addCleanup(self.server.kill)
        url = self.server.stdout.readline().strip()
        self.assertRegex(url, r"\Ahttps?://127\.0\.0\.1:\d+/\Z")
        return url

    def stop(self):
        """Its log."""
        self.server.send_signal(signal.SIGINT)
        _, log = self.server.communicate()
        self.assertEqual(self.server.returncode, 0, log)
        return log

    def curl(self, *arguments):
        return subprocess.run(["curl", "--silent", "--show-error", "--noproxy", "*", *arguments], check=True, stdout=subprocess.PIPE).stdout

    def test_curl_fetches_files_and_ranges(self):
        url = self.serve()
        self.assertEqual(self.curl(url + "index.html").decode(), PAGE)
        self.assertEqual(self.curl(url).decode(), PAGE)
        self.assertEqual(hashlib.sha256(self.curl(url + "large.bin")).digest(), hashlib.sha256(self.large).digest())
        self.assertEqual(self.curl("--range", "1000000-4000000", url + "large.bin"), self.large[1000000:4000001])
        self.assertEqual(self.curl("--head", url + "large.bin").splitlines()[0], b"HTTP/1.1 200 OK")
        self.assertIn(b" 404 ", self.curl("--head", url + "nowhere").splitlines()[0])
        self.assertNotIn(b"not for everybody", self.curl("--path-as-is", url + "../secret.txt"))
        self.assertNotIn(b"not for everybody", self.curl("--path-as-is", url + "%2e%2e/secret.txt"))
        log = self.stop()
        self.assertEqual(len(re.findall(r'"GET /large.bin" 20[06]', log)), 2, log)
        self.assertRegex(log, r'127\.0\.0\.1:\d+.* "HEAD /nowhere" 404')

    def test_curl_fetches_over_tls(self):
        keys = pathlib.Path(self.site.parent)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            + ["-keyout", keys / "key.pem", "-out", keys / "cert.pem", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=IP:127.0.0.1"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        url = self.serve("--cert", str(keys / "cert.pem"), "--key", str(keys / "key.pem"))
        self.assertTrue(url.startswith("https://"))
        got = self.curl("--cacert", str(keys / "cert.pem"), url + "large.bin")
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(self.large).digest())
        with self.assertRaises(subprocess.CalledProcessError):
            subprocess.run(["curl", "--silent", "--noproxy", "*", url], check=True)  # trusts the system's certificates alone
        self.stop()

    def test_wrk_gets_no_errors(self):
        url = self.serve("--quiet")
        done = subprocess.run(["wrk", "-t2", "-c50", "-d1s", url + "a.gif"], check=True, stdout=subprocess.PIPE, text=True)
        self.assertNotIn("Socket errors", done.stdout)
        self.assertNotIn("Non-2xx", done.stdout)
        self.assertGreater(int(re.search(r"(\d+) requests in", done.stdout)[1]), 100)
        self.assertNotIn('"GET', self.stop())

    def test_a_browser_shows_a_page_with_images_and_fetches_a_range(self):
        url = self.serve()
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(
                ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
                + ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server"]
                + [f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--dump-dom", url],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"HOME": profile},
            )
        shown = json.loads(re.search(r"<body>(\{.*\})</body>", done.stdout, re.DOTALL)[1])
        self.assertEqual(shown["widths"], [1, 1])
        self.assertEqual(shown["status"], 206)
        self.assertEqual(bytes(shown["bytes"]), self.large[1000000:1000010])
        self.assertRegex(self.stop(), r'"GET /sub%20folder/b.gif" 200')

    def test_ctrl_c_lets_a_download_finish(self):
        url = self.serve("--throttle", str(4 * LARGE))
        address = re.search(r"(127[^/]*)/", url)[1]
        connection = http.client.HTTPConnection(address)
        connection.request("GET", "/large.bin")
        response = connection.getresponse()
        begin = response.read(1000)
        self.server.send_signal(signal.SIGINT)
        self.assertEqual(begin + response.read(), self.large)
        self.assertEqual(response.getheader("Content-Length"), str(LARGE))
        self.server.communicate()
        self.assertEqual(self.server.returncode, 0)
        with self.assertRaises(ConnectionRefusedError):
            host, port = address.split(":")
            socket.create_connection((host, int(port)))

    def test_a_download_that_was_cut_short_is_logged_as_such(self):
        url = self.serve("--throttle", str(LARGE))
        address = re.search(r"(127[^/]*)/", url)[1]
        connection = http.client.HTTPConnection(address)
        connection.request("GET", "/large.bin")
        connection.getresponse().read(1000)
        connection.close()
        self.assertRegex(self.stop(), r'"GET /large.bin" 200 [\d.]+ ms, cut short')

    def test_each_thread_serves(self):
        threads = 3
        url = self.serve("--quiet", "--threads", str(threads))
        address = re.search(r"(127[^/:]*):(\d+)/", url).groups()

        def switches():
            """Of each thread that serves: how often it waited."""
            counts = {}
            for task in pathlib.Path(f"/proc/{self.server.pid}/task").iterdir():
                name = (task / "comm").read_text().strip()
                if name.startswith("file_server "):
                    counts[name] = int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)[1])
            return counts

        deadline = time.monotonic() + 20
        while len(before := switches()) < threads and time.monotonic() < deadline:
            os.sched_yield()
        self.assertEqual(sorted(before), [f"file_server {number}" for number in range(1, threads + 1)])
        for _ in range(100):  # that the kernel leaves one thread out has a chance of 1 to 10^17
            with socket.create_connection(address) as client:
                client.sendall(b"GET /a.gif HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                while client.recv(4096):
                    pass
        after = switches()
        for name, count in before.items():
            self.assertGreater(after[name], count + 5, (before, after))
        self.stop()

    def test_throttled_it_takes_its_time(self):
        url = self.serve("--throttle", str(LARGE))
        took = float(self.curl("--output", "/dev/null", "--write-out", "%{time_total}", url + "large.bin"))
        self.assertGreater(took, 0.8)
        self.stop()

    def test_what_it_cannot_serve_is_named(self):
        done = subprocess.run([PROGRAM, self.site / "nowhere"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("nowhere", done.stderr + done.stdout)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = subprocess.run([PROGRAM, "--port", port, self.site], stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"127.0.0.1:{port}: Address already in use", done.stderr)


if __name__ == "__main__":
    xml_report.main()
