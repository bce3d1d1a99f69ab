"""A headless Chromium for tests of pages: opens one, evaluates JavaScript in it, takes its picture. It speaks the DevTools protocol."""

import base64
import http.client
import json
import os
import re
import socket
import struct
import subprocess
import tempfile
import threading

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", "--hide-scrollbars"]
LIMIT = 60  # seconds for anything that a test waits for


class _Messages:
    """The client's side of a WebSocket (RFC 6455), text only."""

    def __init__(self, port, path):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        key = base64.b64encode(os.urandom(16)).decode()
        head = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"]
        head += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self.socket.sendall("\r\n".join(head).encode())
        self.stream = self.socket.makefile("rb")
        status = self.stream.readline()
        if b" 101 " not in status:
            raise OSError(f"the browser answered {status!r} to a WebSocket's handshake")
        while self.stream.readline().strip():
            pass

    def send(self, text):
        data = text.encode()
        if len(data) < 126:
            head = struct.pack("!BB", 0x81, 0x80 | len(data))
        elif len(data) < 1 << 16:
            head = struct.pack("!BBH", 0x81, 0x80 | 126, len(data))
        else:
            head = struct.pack("!BBQ", 0x81, 0x80 | 127, len(data))
        self.socket.sendall(head + bytes(4) + data)  # masked with zeros

    def receive(self):
        message = b""
        while True:
            first, size = self.stream.read(2)
            if size == 126:
                (size,) = struct.unpack("!H", self.stream.read(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", self.stream.read(8))
            data = self.stream.read(size)
            if first & 0x0F < 8:
                message += data
                if first & 0x80:
                    return message.decode()

    def close(self):
        self.stream.close()
        self.socket.close()


class Browser:
    """With a page. Use it as a context: with Browser(url) as page."""

    def __init__(self, url, width=1000, height=700):
        self.profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            ["chromium", *FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self.profile.name}", "--remote-debugging-port=0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"HOME": self.profile.name},
        )
        try:
            port = self._port()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
            connection.request("PUT", "/json/new?about:blank")
            page = json.load(connection.getresponse())
            connection.close()
            self.number = 0
            self.events = set()
            self.messages = _Messages(port, page["webSocketDebuggerUrl"].split(str(port), 1)[1])
            self._call("Page.enable")
            self._call("Page.navigate", url=url)
            while "Page.loadEventFired" not in self.events:
                self._receive()
        except BaseException:
            self._end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.messages.close()
        self._end()

    def _end(self):
        self.process.kill()
        self.process.wait()
        self.profile.cleanup()

    def _port(self):
        for line in self.process.stderr:
            if found := re.search(rb"DevTools listening on ws://127\.0\.0\.1:(\d+)/", line):
                # What it writes later needs a reader, or it would stop one day.
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return int(found[1])
        raise OSError(f"chromium does not listen; it has ended: {self.process.wait()}")

    def _call(self, method, **parameters):
        self.number += 1
        self.messages.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise OSError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def _receive(self):
        message = json.loads(self.messages.receive())
        self.events.add(message.get("method"))
        return message

    def evaluate(self, expression):
        """What it is in the page, as Python has it."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise ValueError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_for(self, expression):
        """Until it is true in the page, which looks again every 20 ms."""
        self.evaluate(f"new Promise(resolve => {{ const look = () => ({expression}) ? resolve() : setTimeout(look, 20); look(); }})")

    def picture(self):
        """The page as a PNG."""
        return base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"])
