"""Tests of what threads and fibers both do."""

load("//tools/build_defs:library.bzl", "mo_test")

def mo_test_on_both(name, deps, **kwargs):
    """A test that runs twice: on the main thread, and as `<name>_on_a_fiber` on a fiber of it.

    Args:
      name: of the first.
      deps: as for mo_test.
      **kwargs: likewise.
    """
    mo_test(name = name, deps = deps, **kwargs)
    mo_test(
        name = name + "_on_a_fiber",
        own_main = True,
        deps = deps + ["//tests/support:on_a_fiber"],
        **kwargs
    )
