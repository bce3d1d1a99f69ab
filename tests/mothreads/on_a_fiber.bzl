"""Tests of what threads and fibers both do."""

load("//tools/build_defs:library.bzl", "mo_test", "mo_test_cases")

def mo_test_on_both(name, srcs, deps, copts = [], **kwargs):
    """A test that runs twice: on the main thread, and as `<name>_on_a_fiber` on a fiber of it. It is compiled once.

    Args:
      name: of the first.
      srcs: as for mo_test.
      deps: likewise.
      copts: likewise.
      **kwargs: likewise.
    """
    cases = name + "_cases"
    mo_test_cases(name = cases, srcs = srcs, deps = deps, copts = copts)
    mo_test(name = name, srcs = [], deps = [cases], **kwargs)
    mo_test(
        name = name + "_on_a_fiber",
        srcs = [],
        own_main = True,
        deps = [
            cases,
            "//tests/support:on_a_fiber",
        ],
        **kwargs
    )
