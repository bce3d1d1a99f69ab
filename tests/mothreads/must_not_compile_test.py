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
void fills(std::string&, Signal);
"""

MORE_HEADER = """
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/io/process.h"
#include "cooperative/io/server.h"
#include "cooperative/sleep.h"
#include "cooperative/timer.h"
#include "cooperative/wait_for.h"
#include "mothreads/drain_hold.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/queue.h"
#include "mothreads/register_thread.h"
#include "mothreads/thread_group.h"
namespace co = cooperative;
void appends(std::string&);
void counts(int&);
"""


def compile_body(body, more=""):
    """What the compiler says about a function with this body, and whether it accepts it."""
    compiler = os.environ.get("CXX", "c++")
    run = subprocess.run(
        [compiler, "-std=c++20", "-fsyntax-only", "-Werror=unused-result", "-Werror=unused-value", f"-I{ROOT}", "-x", "c++", "-"],
        input=HEADER + more + "void test() {\n" + body + "\n}\n",
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

    def check_each(self, cases):
        """The same for many, of (good, bad, sentence), by two runs of the compiler."""
        accepted, said = compile_body("\n".join("{" + good + "}" for good, _, _ in cases), MORE_HEADER)
        self.assertTrue(accepted, said)
        lines = [f'#line {number} "case"\n{{{bad}}}' for number, (_, bad, _) in enumerate(cases, 1)]
        accepted, said = compile_body("\n".join(lines), MORE_HEADER)
        self.assertFalse(accepted, "it compiles")
        for number, (_, bad, sentence) in enumerate(cases, 1):
            self.assertRegex(said, rf"case:{number}:.*error|case:{number}:.*required from here", bad)
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

    def test_a_thread_function_that_takes_a_reference_to_a_copy(self):
        self.check(
            'std::string s; auto t = Thread::run("name", fills, std::ref(s));',
            'std::string s; auto t = Thread::run("name", fills, s);',
            "the thread's function takes a reference, and an argument would be a copy that is the thread's own: pass std::ref(x)",
        )

    def test_what_cooperative_refuses(self):
        copied = "the fiber's function takes a reference, and an argument would be a copy that is the fiber's own: pass std::ref(x)"
        untied = "name what is waited for in std::tie(): {}(std::tie("
        copies = "a tuple of copies is not what is waited for: use std::tie() instead of std::make_tuple()"
        cases = [
            (f"{start}, std::ref(x));", f"{start}, x);", copied)
            for start in (
                'std::string x; auto f = co::spawn("name", fills',
                'std::string x; auto f = co::spawn("name", appends',
                'int x = 0; co::FiberGroup g("g"); g.spawn("name", counts',
            )
        ]
        for verb in ("wait_for_any", "wait_for_all"):
            two = f"co::Event<int> e; Signal s; co::{verb}"
            cases += [
                (two + "(std::tie(e, s), absl::Seconds(1));", two + "(e, s, absl::Seconds(1));", untied.format(verb)),
                (two + "(std::tie(s, s));", two + "(std::make_tuple(s, s));", copies),
            ]
        points = "co::sleep_until(absl::Now()); co::sleep_until(std::chrono::system_clock::now()); co::sleep_until(Instant());"
        cases += [
            (
                points,
                f"co::sleep_until({no_point});",
                "sleep_until() takes a point of time, an Instant, time_point or absl::Time: for a duration or a Signal call sleep()",
            )
            for no_point in ("absl::Seconds(1)", "std::chrono::seconds(1)", "Signal()", "5")
        ]
        self.check_each(cases)

    def test_a_signal_of_a_null_pointer(self):
        self.check('Signal s("name");', "Signal s(nullptr);", "deleted")

    def test_owners_and_results_that_are_gone_at_once(self):
        owners = (
            'DrainHold{}("job");',
            'log::Extra{}("key", "value");',
            "Till{}(absl::Seconds(1));",
            'RegisterThread{}("name");',
            'ThreadGroup{}("name");',
            'co::FiberGroup{}("name");',
            "co::NoCancel{}{{}};",
            'co::Process{}({{"true"}});',
            "co::Timer{}(absl::Seconds(1), [] {{}});",
        )
        cases = [(owner.format(" x"), owner.format(""), "nodiscard") for owner in owners]
        serve = "co::serve_tcp({}, [](co::Socket&) {});"
        cases.append(("auto server = " + serve, serve, "nodiscard"))
        # A result that nobody looks at.
        queue = 'Queue<int> q("q"); '
        lock = "Lock lock; auto held = lock.enter(); "
        cases += [
            (queue + "static_cast<void>(q.pop());", queue + "q.pop();", "it has the value, or says why there is none"),
            (lock + "held.wait();", lock + "held.wait(absl::Seconds(1));", "nodiscard"),
        ]
        self.check_each(cases)


if __name__ == "__main__":
    xml_report.main()
