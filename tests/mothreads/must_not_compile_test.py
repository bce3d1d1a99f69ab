#!/usr/bin/env -S python3 -B
"""What must not compile, and the sentence with which it does not."""

import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve()
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests/tidy"))

import xml_report  # noqa: E402: it lies beside another test

HEADER = """
#include "absl/time/time.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "mothreads/until.h"
using namespace mothreads;
void takes_it(int, Signal);
void takes_none(int);
int& gives_reference(Signal);
"""


def compile_body(body):
    """What the compiler says about a function with this body, and whether it accepts it."""
    compiler = os.environ.get("CXX", "c++")
    run = subprocess.run(
        [compiler, "-std=c++20", "-fsyntax-only", "-Werror=unused-result", f"-I{ROOT}", "-x", "c++", "-"],
        input=HEADER + "void test() {\n" + body + "\n}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode == 0, run.stderr


class MustNotCompileTest(unittest.TestCase):
    def check(self, good, bad, sentence):
        """`good` differs from `bad` by what is wrong with it only, so that nothing else is why `bad` does not compile."""
        accepted, said = compile_body(good)
        self.assertTrue(accepted, said)
        accepted, said = compile_body(bad)
        self.assertFalse(accepted, "it compiles")
        self.assertIn(sentence, said)

    def test_a_thread_function_without_please_stop(self):
        self.check(
            'auto t = Thread::run("name", takes_it, 1);',
            'auto t = Thread::run("name", takes_none, 1);',
            "a thread's function must take please_stop, for signalling shutdown: add `Signal please_stop` as its last parameter",
        )

    def test_a_thread_function_with_a_local_variable_please_stop(self):
        # The original looked for the name among the local variables.
        self.check(
            'auto t = Thread::run("name", [](Signal please_stop) { static_cast<void>(please_stop); });',
            'auto t = Thread::run("name", [] { Signal please_stop; });',
            "a thread's function must take please_stop",
        )

    def test_a_main_function_without_please_stop(self):
        self.check(
            "MainThread::run([](Signal) { return 0; });",
            "MainThread::run([] { return 0; });",
            "the main function must take please_stop: add a `Signal please_stop` parameter",
        )

    def test_a_main_function_that_returns_no_code(self):
        self.check(
            "MainThread::run([](Signal) { return 1; });",
            'MainThread::run([](Signal) { return "one"; });',
            "the main function must return an exit code, or nothing",
        )

    def test_a_result_that_is_a_reference(self):
        self.check(
            'auto t = Thread::run("name", [](Signal s) { return std::ref(gives_reference(s)); });',
            'auto t = Thread::run("name", gives_reference);',
            "a thread's result cannot be a reference: return a pointer or std::ref()",
        )

    def test_a_handle_that_is_dropped_at_once(self):
        self.check(
            'auto t = Thread::run("name", takes_it, 1);',
            'Thread::run("name", takes_it, 1);',
            "nodiscard",
        )

    def test_a_handle_that_is_copied(self):
        self.check(
            'auto t = Thread::run("name", takes_it, 1); auto u = std::move(t);',
            'auto t = Thread::run("name", takes_it, 1); auto u = t;',
            "deleted",
        )

    def test_a_number_without_a_unit_as_a_limit(self):
        # The original took seconds here, and any truthy number for an alien thread.
        self.check(
            'auto t = Thread::run("name", takes_it, 1); t.join(absl::Seconds(5));',
            'auto t = Thread::run("name", takes_it, 1); t.join(5);',
            "deleted",
        )


if __name__ == "__main__":
    xml_report.main()
