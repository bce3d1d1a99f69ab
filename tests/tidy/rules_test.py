#!/usr/bin/env -S python3 -B
"""Shows the rules of rules.py small made-up trees: each complains of what is wrong and of nothing else."""

import os
import tempfile
import unittest

import rules
import xml_report


class RulesTest(unittest.TestCase):
    def complaints(self, rule, **files):
        """What the rule says of a tree; in the files' names `__` stands for a slash and the last `_` for the dot."""
        with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as root:
            for name, text in files.items():
                path = os.path.join(root, name.replace("__", "/"))
                if "_" in os.path.basename(path):
                    path = ".".join(path.rsplit("_", 1))
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            return rule(rules.Tree(root))

    def assert_fine(self, rule, **files):
        self.assertEqual(self.complaints(rule, **files), [])

    def assert_complains(self, rule, about, **files):
        """It complains once, and says this."""
        found = self.complaints(rule, **files)
        self.assertEqual(len(found), 1, found)
        self.assertIn(about, found[0])


class LayersTest(RulesTest):
    def test_own_folder_and_lower_layers(self):
        self.assert_fine(
            rules.layers,
            cooperative__fiber_h='#include "mothreads/signal.h"\n#include "cooperative/internal/stack/switch.h"\n#include <vector>\n',
            tests__fiber_test_cc='#include "catools/pv.h"\n#include "tests/clock.h"\n#include "absl/time/time.h"\n',
        )

    def test_higher_layer(self):
        self.assert_complains(
            rules.layers, "signal.cc:2: includes cooperative/fiber.h", mothreads__signal_cc='\n#include "cooperative/fiber.h"\n'
        )

    def test_higher_layer_in_angle_brackets(self):
        self.assert_complains(rules.layers, "in quotes", mothreads__signal_cc="#include <cooperative/fiber.h>\n")

    def test_library_includes_tests(self):
        self.assert_complains(rules.layers, "nothing of tests/", catools__pv_cc='#  include "tests/clock.h"\n')

    def test_path_from_the_file(self):
        self.assert_complains(rules.layers, "from the top", mothreads__signal_cc='#include "signal.h"\n')
        self.assert_complains(rules.layers, "from the top", catools__pv_cc='#include "../mothreads/signal.h"\n')

    def test_comment_is_no_include(self):
        self.assert_fine(
            rules.layers,
            mothreads__signal_h='// "\n/*\n#include "catools/pv.h"\n*/\n//#include "catools/pv.h"\n',
        )

    def test_what_bazel_writes_is_not_looked_at(self):
        bazel_folder = "bazel-out__mothreads__signal_cc"
        self.assert_fine(rules.layers, **{bazel_folder: '#include "catools/pv.h"\n'})


class InternalTest(RulesTest):
    def test_own_folder_and_tests(self):
        include = '#include "cooperative/io/internal/poll.h"\n'
        self.assert_fine(
            rules.internal_is_private,
            cooperative__io__socket_cc=include,
            cooperative__io__deep__socket_cc=include,
            cooperative__io__internal__poll_cc=include,
            tests__cooperative__poll_test_cc=include,
        )

    def test_higher_layer(self):
        self.assert_complains(
            rules.internal_is_private, "private to mothreads/", catools__pv_cc='#include "mothreads/internal/park.h"\n'
        )

    def test_folder_beside(self):
        self.assert_complains(
            rules.internal_is_private,
            "private to cooperative/io/",
            cooperative__iota_cc='#include "cooperative/io/internal/poll.h"\n',
        )

    def test_example(self):
        self.assert_complains(
            rules.internal_is_private, "private", docs__examples__tour_cc='#include "mothreads/internal/park.h"\n'
        )


class SleepsTest(RulesTest):
    def test_sleeps_are_found(self):
        for sleep in (
            "std::this_thread::sleep_for(1s)",
            "std::this_thread::sleep_until(then)",
            "sleep_for(1s)",
            "usleep(10)",
            "nanosleep(&a, &b)",
            "absl::SleepFor(absl::Seconds(1))",
            "::sleep(1)",
        ):
            self.assert_complains(
                rules.no_real_sleeps, "tests/a_test.cc:2: a real sleep", tests__a_test_cc=f"TEST(A, B) {{\n{sleep};\n}}\n"
            )

    def test_sleeps_of_scripts_are_found(self):
        self.assert_complains(rules.no_real_sleeps, "sleep", tests__a_test_sh="true; sleep 1\n")
        self.assert_complains(rules.no_real_sleeps, "sleep", tests__a_test_py="import time\ntime.sleep(1)\n")

    def test_our_own_sleeps_are_fine(self):
        self.assert_fine(
            rules.no_real_sleeps,
            tests__a_test_cc='co::sleep(absl::Seconds(1));\ncooperative::sleep_until(t);\nlog("sleep_for");\n// usleep(1)\n',
            tests__a_test_sh="# no sleep here\necho asleep\n",
        )

    def test_where_sleep_is_the_point(self):
        self.assert_fine(
            rules.no_real_sleeps,
            tests__stress__a_test_cc="usleep(1);",
            tests__benchmarks__a_cc="usleep(1);",
            mothreads__a_cc="usleep(1);",
        )

    def test_digit_separators_are_no_strings(self):
        self.assert_complains(rules.no_real_sleeps, "usleep", tests__a_test_cc="int a = 1'000'000; usleep(1'000);\n")


class FlakyTest(RulesTest):
    def test_flaky(self):
        target = 'mo_test(\n    name = "a",\n    flaky = True,\n)\n'
        self.assert_complains(rules.no_flaky_tests, "tests/BUILD.bazel", tests__BUILD_bazel=target)
        self.assert_fine(rules.no_flaky_tests, tests__stress__BUILD_bazel=target)


class NamedTestsTest(RulesTest):
    SOURCES = {
        "tests__a_test_cc": "TEST(Signal, Goes) {}\nTEST_F(Lock,\n  Waits) {}\nTEST_P(Queue, Pops) {}\nTYPED_TEST(Till, Fires) {}\n"
        "// TEST(Signal, Gone) {}\nTEST(Signal, DISABLED_Off) {}\n",
        "tests__b_test_py": "class PoolTest(unittest.TestCase):\n    def test_stops(self):\n        pass\n",
    }

    def test_known_names(self):
        self.assert_fine(
            rules.named_tests_exist,
            docs__from_them_md="| theirs | ours | test |\n|---|---|---|\n"
            "| `a.b` | `Signal::go` | `Signal.Goes`, `Lock.Waits` |\n"
            "| x \\| y | `c.d` | `Sizes/Queue.Pops/2`; `Till.Fires`, `PoolTest.test_stops`, see `queue.h` |\n"
            "Also `Not.Here`, outside the table.\n",
            docs__other_md="| `Not.Here` |\n",
            **self.SOURCES,
        )

    def test_unknown_names(self):
        for name in ("Signal.Gone", "Signal.Off", "Signal.DISABLED_Off", "Lock.Goes", "PoolTest.test_runs"):
            self.assert_complains(
                rules.named_tests_exist, f"from_them.md:1: names the test {name}", docs__from_them_md=f"| a | `{name}` |\n", **self.SOURCES
            )


    def test_suites(self):
        sources = {"tests__event_test_cc": "TEST(EventTest, Waits) {}\n"}
        self.assert_fine(rules.named_tests_exist, docs__from_them_md="| a | `EventTest` |\n", **sources)
        self.assert_complains(
            rules.named_tests_exist, "from_them.md:1: names the suite PulseTest", docs__from_them_md="| a | `PulseTest` |\n", **sources
        )

    def test_rows_without_a_test(self):
        self.assert_fine(
            rules.rows_have_tests,
            docs__from_them_md="| a | ours | test |\n|---|---|---|\n| b | `c` | `D.e` |\n| f | | later: sockets |\n"
            "| g | not carried over: it is Python's | |\n| h | | later |\n",
        )
        self.assert_complains(rules.rows_have_tests, "from_them.md:1: a row without a test", docs__from_them_md="| a | `b` | |\n")


class SpdlogTest(RulesTest):
    def test_one_source(self):
        self.assert_fine(rules.one_file_knows_spdlog, mothreads__log_cc="#include <spdlog/spdlog.h>\n#include <spdlog/async.h>\n")

    def test_two_sources(self):
        include = '#include "spdlog/spdlog.h"\n'
        self.assert_complains(
            rules.one_file_knows_spdlog, "mothreads/log.cc, tests/log_test.cc", mothreads__log_cc=include, tests__log_test_cc=include
        )

    def test_header(self):
        self.assert_complains(rules.one_file_knows_spdlog, "a header", mothreads__log_h="#include <spdlog/fwd.h>\n")


class HeadersTest(RulesTest):
    def test_guard(self):
        self.assert_fine(rules.headers_guard_themselves, mothreads__a_h="// Contract.\n#pragma once\n")
        self.assert_complains(rules.headers_guard_themselves, "a.h: no #pragma once", mothreads__a_h="// #pragma once\n")

    def test_a_source_begins_with_its_header(self):
        rule = rules.sources_include_their_header_first
        own = '#include "mothreads/a.h"\n'
        self.assert_fine(rule, mothreads__a_h="", mothreads__a_cc="// Says.\n" + own + "#include <vector>\n")
        self.assert_fine(rule, mothreads__b_cc="#include <vector>\n" + own)
        about = "mothreads/a.cc:1: includes vector before its own header"
        self.assert_complains(rule, about, mothreads__a_h="", mothreads__a_cc="#include <vector>\n" + own)
        self.assert_complains(rule, about, mothreads__a_h="", mothreads__a_cc="#include <vector>\n")

    def test_tests_of_public_headers(self):
        headers = {"mothreads__a_h": "", "mothreads__internal__b_h": "", "tests__c_h": "", "catools__d_h": ""}
        self.assert_fine(rules.public_headers_have_tests, tests__mothreads__a_test_cc="", tests__d_test_cc="", **headers)
        self.assert_complains(rules.public_headers_have_tests, "mothreads/a.h: no a_test.cc", tests__d_test_cc="", **headers)

    def test_long_headers_are_reported(self):
        self.assert_complains(rules.long_headers, "a.h: 301 lines", mothreads__a_h="\n" * 301, mothreads__b_h="\n" * 300)


class ReadmeTest(RulesTest):
    WORKSPACE = '# Ours.\nworkspace(name = "x")\nlocal_repository(\n    path = "../..",\n)\n\nmothreads_deps()\n'

    def test_lines_to_copy(self):
        self.assert_fine(
            rules.readme_shows_the_consumer,
            tests__consumer__WORKSPACE=self.WORKSPACE,
            README_md='Write:\n\n    local_repository(\n        path = "mothreads",\n    )\n    mothreads_deps()\n',
        )

    def test_line_that_changed(self):
        self.assert_complains(
            rules.readme_shows_the_consumer,
            "this line of tests/consumer/WORKSPACE: mothreads_deps()",
            tests__consumer__WORKSPACE=self.WORKSPACE,
            README_md="local_repository(\n)\nall_deps()\n",
        )


class DocumentedExamplesRunTest(RulesTest):
    PROGRAM = "int main() {\n  // [go]\n  signal.go();\n  // [/go]\n}\n"

    def test_the_same_as_the_region(self):
        self.assert_fine(
            rules.documented_examples_run,
            README_md="<!-- example: docs/examples/a.cc go -->\n```cpp\nsignal.go();\n```\n```sh\nls\n```\n",
            docs__examples__a_cc=self.PROGRAM,
        )

    def test_another_text(self):
        self.assert_complains(
            rules.documented_examples_run,
            "differs from the region go",
            docs__tour_md="<!-- example: docs/examples/a.cc go -->\n```cpp\nsignal.gone();\n```\n",
            docs__examples__a_cc=self.PROGRAM,
        )

    def test_no_such_region_or_file(self):
        self.assert_complains(
            rules.documented_examples_run,
            "differs from the region stop",
            docs__tour_md="<!-- example: docs/examples/a.cc stop -->\n```cpp\nsignal.go();\n```\n",
            docs__examples__a_cc=self.PROGRAM,
        )
        self.assert_complains(
            rules.documented_examples_run,
            "is no file of docs/examples/",
            docs__tour_md="<!-- example: docs/examples/b.cc go -->\n```cpp\nsignal.go();\n```\n",
        )

    def test_no_mark(self):
        self.assert_complains(rules.documented_examples_run, "README.md:2", README_md="text\n```cpp\nsignal.go();\n```\n")


if __name__ == "__main__":
    xml_report.main()
