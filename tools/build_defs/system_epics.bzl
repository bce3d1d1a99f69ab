"""EPICS as the repository @epics: its client library, and the programs that tests run.

It is where tools/lib/epics.sh finds it: by EPICS_BASE and EPICS_HOST_ARCH, or in the user's cache, where tools/epics has built it.
"""

# Where EPICS keeps what it knows of a compiler there is one folder for each, and a build has only that of the compiler that made it. The
# headers of the client library need no more than this of gcc and clang.
_COMPILER = """#pragma once

#define EPICS_ALWAYS_INLINE inline __attribute__((always_inline))
#define EPICS_FUNCTION __PRETTY_FUNCTION__
#define EPICS_PRINTF_STYLE(format_at, arguments_at) __attribute__((format(__printf__, format_at, arguments_at)))
#define EPICS_DEPRECATED __attribute__((deprecated))
#define EPICS_UNUSED __attribute__((unused))
#define CXX_PLACEMENT_DELETE
"""

_BUILD = """load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])

cc_library(
    name = "com",
    hdrs = glob(["include/**/*.h", "compiler/*.h"]),
    # As the system's: without warnings.
    includes = ["compiler", "include", "include/os/Linux"],
    linkopts = ["-L{library}", "-Wl,-rpath,{library}", "-lCom"],
)

cc_library(
    name = "ca",
    # What uses libca depends on nothing else.
    hdrs = glob(["include/**/*.h", "compiler/*.h"]),
    linkopts = ["-L{library}", "-lca"],
    deps = [":com"],
)

filegroup(
    name = "programs",
    srcs = glob(["bin/*"]) + ["dbd/softIoc.dbd"],
)

exports_files(glob(["bin/*"]))
"""

def _system_epics_impl(ctx):
    script = ctx.path(Label("//tools/lib:epics.sh"))
    found = ctx.execute(["bash", "-c", "source \"$1\"; find_epics", "find_epics", str(script)])
    if found.return_code != 0:
        fail("@%s: %s" % (ctx.name, found.stderr.strip()))
    words = found.stdout.strip().split(" ")
    base = " ".join(words[:-1])
    architecture = words[-1]
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.symlink(base + "/include", "include")
    ctx.symlink(base + "/dbd", "dbd")
    for program in ["softIoc", "caget", "caput", "camonitor", "cainfo"]:
        ctx.symlink("%s/bin/%s/%s" % (base, architecture, program), "bin/" + program)
    ctx.file("compiler/compilerSpecific.h", _COMPILER)
    ctx.file("BUILD.bazel", _BUILD.format(library = "%s/lib/%s" % (base, architecture)))

system_epics = repository_rule(
    implementation = _system_epics_impl,
    environ = ["EPICS_BASE", "EPICS_HOST_ARCH", "HOME", "XDG_CACHE_HOME"],
    local = True,
)
