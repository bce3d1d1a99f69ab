#!/usr/bin/env -S python3 -B
"""The programs //docs/examples:chat_server and chat_client as their users see them."""

import pathlib
import signal
import socket
import subprocess
import sys
import unittest

ROOT = pathlib.Path.cwd()
sys.path.insert(0, str(ROOT / "tests/tidy"))
import xml_report

PROGRAMS = ROOT / "docs/examples"


class ChatTest(unittest.TestCase):
    def setUp(self):
        self.server = self.start("chat_server")
        self.port = self.server.stdout.readline().strip()

    def start(self, program, *arguments):
        process = subprocess.Popen(
            [PROGRAMS / program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()

    def guest(self, name):
        """A client that has come in."""
        client = self.start("chat_client", "127.0.0.1", self.port, name)
        self.assertRegex(client.stdout.readline(), rf"\Awelcome, {name}; others here: \d+\n\Z")
        return client

    def say(self, guest, text):
        guest.stdin.write(text + "\n")
        guest.stdin.flush()

    def test_what_one_says_the_others_hear(self):
        ann = self.guest("Ann")
        self.say(ann, "is anybody there?")
        bob = self.guest("Bob")
        self.assertEqual(ann.stdout.readline(), "Bob has come\n")
        self.say(ann, "hello Bob")
        self.assertEqual(bob.stdout.readline(), "Ann: hello Bob\n")
        self.say(bob, "hello Ann")
        self.assertEqual(ann.stdout.readline(), "Bob: hello Ann\n")
        bob.stdin.close()  # the end of what he says
        self.assertEqual(ann.stdout.readline(), "Bob has gone\n")
        self.assertEqual(bob.wait(), 0, "the client")

    def test_ctrl_c_at_the_server_tells_all(self):
        ann = self.guest("Ann")
        bob = self.guest("Bob")
        self.assertEqual(ann.stdout.readline(), "Bob has come\n")
        self.server.send_signal(signal.SIGINT)
        self.assertEqual(self.server.wait(), 0)
        for guest in (ann, bob):
            self.assertIn("the server stops\n", guest.stdout.read())
            self.assertEqual(guest.wait(), 0)

    def test_ctrl_c_at_a_client_ends_it(self):
        ann = self.guest("Ann")
        bob = self.guest("Bob")
        self.assertEqual(ann.stdout.readline(), "Bob has come\n")
        bob.send_signal(signal.SIGINT)
        self.assertEqual(ann.stdout.readline(), "Bob has gone\n")
        self.assertEqual(bob.wait(), 0)

    def test_a_client_that_says_nonsense_hurts_nobody(self):
        ann = self.guest("Ann")
        with socket.create_connection(("127.0.0.1", int(self.port))) as nonsense:
            nonsense.sendall(b"\xff\xff\xff\xffGET / HTTP/1.1\r\n\r\n")
            self.assertEqual(nonsense.recv(100), b"")
        bob = self.guest("Bob")
        self.assertEqual(ann.stdout.readline(), "Bob has come\n")
        self.say(ann, "still here")
        self.assertEqual(bob.stdout.readline(), "Ann: still here\n")

    def test_a_server_that_is_not_there_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
        client = self.start("chat_client", "127.0.0.1", port, "Ann")
        self.assertEqual(client.wait(), 1)
        self.assertRegex(client.stderr.read(), rf"cannot connect to 127.0.0.1:{port}: Connection refused")


if __name__ == "__main__":
    xml_report.main()
