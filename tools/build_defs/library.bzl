"""The macros of this workspace's own C++ targets: one set of flags, private by default, every header compiled alone."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

# Said for our own files only; what we include from elsewhere is a system header.
_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wcast-align",
    "-Wconversion",
    "-Wno-sign-conversion",
    "-Wextra-semi",
    "-Wformat=2",
    "-Wimplicit-fallthrough",
    "-Wmissing-declarations",
    "-Wnon-virtual-dtor",
    "-Wold-style-cast",
    "-Woverloaded-virtual",
    "-Wshadow",
    "-Wsuggest-override",
    "-Wundef",
    "-Wvla",
]

# Silences known false reports; empty unless a sanitizer is on.
_SANITIZER_DEFAULTS = "//tools/sanitizers:defaults"

def _label(text):
    # A label of this workspace, also when the macro is called from another one.
    return str(Label(text))

# The precompiled headers of files that the sanitizers' builds do not optimise, which compiles them in half the time. All others have those
# of the library.
_NOT_OPTIMISED = {
    "docs/examples": "for_examples",
    "tests/catools": "for_tests",
    "tests/cooperative": "for_tests",
    "tests/docs": "for_tests",
    "tests/fuzz": "for_tests",
    "tests/mothreads": "for_tests",
    "tests/stress": "for_tests",
}

def _precompiled():
    """Options and dependencies for the precompiled headers, where the configuration wants them."""
    package = native.package_name()
    names = [name for folder, name in _NOT_OPTIMISED.items() if package == folder or package.startswith(folder + "/")]
    name = names[0] if names else "for_library"
    wanted = _label("//tools/build_defs:precompiles_headers")
    options = (["-O0"] if names else []) + ["-include-pch", "$(BINDIR)/tools/build_defs/%s.pch" % name]
    return struct(
        copts = select({wanted: options, "//conditions:default": []}),
        deps = select({wanted: [_label("//tools/build_defs:" + name)], "//conditions:default": []}),
    )

# The same for a test in gcc's build, of GoogleTest alone. Examples have names of their own that it would clash with.
def _precompiled_for_test():
    precompiled = _precompiled()
    if not native.package_name().startswith("tests/"):
        return precompiled
    wanted = _label("//tools/build_defs:precompiles_googletest")
    options = ["-include", "$(BINDIR)/tools/build_defs/googletest.h"]
    return struct(
        copts = precompiled.copts + select({wanted: options, "//conditions:default": []}),
        deps = precompiled.deps + select({wanted: [_label("//tools/build_defs:googletest")], "//conditions:default": []}),
    )

def _lone_header_sources_impl(ctx):
    sources = []
    for header in ctx.files.hdrs:
        path = "%s/%s" % (header.owner.package, header.owner.name)
        source = ctx.actions.declare_file("%s/%s.cc" % (ctx.label.name, header.owner.name))

        # Twice, so that a header without a guard is caught too.
        ctx.actions.write(source, "#include \"%s\"\n#include \"%s\"\n" % (path, path))
        sources.append(source)
    return [DefaultInfo(files = depset(sources))]

_lone_header_sources = rule(
    doc = "A source file for each header that includes nothing else.",
    implementation = _lone_header_sources_impl,
    attrs = {"hdrs": attr.label_list(allow_files = [".h"])},
)

def mo_library(name, hdrs = [], srcs = [], internal_hdrs = [], deps = [], copts = [], visibility = None, **kwargs):
    """A library of one concept.

    Args:
      name: the target; `<name>_headers_alone` beside it, built by `//...` but not by a target that depends on this one,
        proves that every header compiles by itself. A header with a .cc of its name needs no such proof: the .cc
        includes it before anything else (tests/tidy checks that).
      hdrs: what others may include.
      srcs: the .cc files.
      internal_hdrs: headers for this target's own files.
      deps: what the headers and sources include, directly.
      copts: more compiler options, for this target.
      visibility: private unless said.
      **kwargs: as for cc_library.
    """
    precompiled = _precompiled()
    cc_library(
        name = name,
        hdrs = hdrs,
        srcs = srcs + internal_hdrs,
        copts = _WARNINGS + copts + precompiled.copts,
        # Tests and programs link the same archive, so that what is tested is what runs.
        linkstatic = True,
        visibility = visibility or ["//visibility:private"],
        deps = deps + precompiled.deps,
        **kwargs
    )
    headers = [header for header in hdrs + internal_hdrs if header[:-len(".h")] + ".cc" not in srcs]
    if headers:
        _lone_header_sources(
            name = name + "_lone_headers",
            hdrs = headers,
            visibility = ["//visibility:private"],
        )
        cc_library(
            name = name + "_headers_alone",
            testonly = True,
            srcs = [name + "_lone_headers"] + internal_hdrs,
            copts = _WARNINGS + copts,
            linkstatic = True,
            visibility = ["//visibility:private"],
            deps = [name] + deps,
        )

def _mo_group_impl(ctx):
    return [
        cc_common.merge_cc_infos(direct_cc_infos = [dep[CcInfo] for dep in ctx.attr.deps]),
        DefaultInfo(files = depset(transitive = [dep[DefaultInfo].files for dep in ctx.attr.deps])),
    ]

mo_group = rule(
    doc = """Several libraries under one name.

    A cc_library of the same deps would not do: under the layering check it hands on none of their headers.
    """,
    implementation = _mo_group_impl,
    attrs = {"deps": attr.label_list(providers = [CcInfo])},
)

def mo_test(name, srcs, deps = [], copts = [], size = "small", own_main = False, **kwargs):
    """A GoogleTest program.

    Args:
      name: the target.
      srcs: its files.
      deps: what they include; GoogleTest comes by itself.
      copts: more compiler options.
      size: as for cc_test.
      own_main: the test brings its own main().
      **kwargs: as for cc_test.
    """
    precompiled = _precompiled_for_test()
    cc_test(
        name = name,
        srcs = srcs,
        copts = _WARNINGS + copts + precompiled.copts,
        size = size,
        deps = deps + precompiled.deps + [
            _label(_SANITIZER_DEFAULTS),
            "@com_google_googletest//:gtest" if own_main else "@com_google_googletest//:gtest_main",
        ],
        **kwargs
    )

def mo_test_cases(name, srcs, deps = [], copts = []):
    """The compiled files of a test that more than one program runs.

    Args:
      name: the target.
      srcs: as for mo_test.
      deps: likewise.
      copts: likewise.
    """
    precompiled = _precompiled_for_test()
    cc_library(
        name = name,
        testonly = True,
        srcs = srcs,
        copts = _WARNINGS + copts + precompiled.copts,
        linkstatic = True,
        # GoogleTest finds the cases when the program starts; nothing refers to them.
        alwayslink = True,
        visibility = ["//visibility:private"],
        deps = deps + precompiled.deps + ["@com_google_googletest//:gtest"],
    )

def mo_binary(name, srcs, deps = [], copts = [], **kwargs):
    """A program; arguments as for cc_binary."""
    precompiled = _precompiled()
    cc_binary(
        name = name,
        srcs = srcs,
        copts = _WARNINGS + copts + precompiled.copts,
        deps = deps + precompiled.deps + [_label(_SANITIZER_DEFAULTS)],
        **kwargs
    )

def mo_benchmark(name, srcs, deps = [], copts = [], tags = [], own_main = False, **kwargs):
    """A Google Benchmark program.

    It is `manual`, left out of `//...`, because the peers that it measures are packages that nothing else needs.

    Args:
      name: the target.
      srcs: its files.
      deps: what they include, peers among them; Google Benchmark comes by itself.
      copts: more compiler options.
      tags: more tags.
      own_main: the program brings its own main().
      **kwargs: as for cc_binary.
    """
    mo_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        copts = copts,
        tags = tags + ["manual"],
        deps = deps + ["@com_github_google_benchmark//:" + ("benchmark" if own_main else "benchmark_main")],
        **kwargs
    )
