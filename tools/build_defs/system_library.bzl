"""A library installed by a Debian package, as a repository.

The headers stay where they are: the compiler finds them by itself, as system headers, which give no warnings.
"""

def require_package(ctx, package):
    """Stops with a sentence that says what to install; else leaves the file `package.version` in the repository.

    Targets list that file as a header: when Bazel starts after an upgrade, what was compiled against the old package is
    built again.

    Args:
      ctx: the repository_ctx.
      package: the name of the Debian package.

    Returns:
      The name by which dpkg-query knows the package of this machine's architecture, where others are installed beside it.
    """
    native = _output(ctx, ["dpkg", "--print-architecture"]).strip()
    for line in _output(ctx, ["dpkg-query", "-W", "-f=${db:Status-Status} ${Architecture} ${Version}\\n", package]).split("\n"):
        fields = line.split(" ")
        if fields[0] == "installed" and fields[1] in (native, "all"):
            ctx.file("package.version", line + "\n")
            return package if fields[1] == "all" else package + ":" + native
    fail(("@%s is taken from the Debian package %s, which is not installed. Run `apt-get install %s`, or define a " +
          "repository of this name before mothreads_deps().") % (ctx.name, package, package))

def _output(ctx, command):
    return ctx.execute(command).stdout if ctx.which(command[0]) else ""

def library_target(name, linkopts = [], defines = [], deps = []):
    """The text of a cc_library for headers and libraries of the system, as they stand in a BUILD file."""
    return """
cc_library(
    name = "{name}",
    defines = {defines},
    linkopts = {linkopts},
    textual_hdrs = ["package.version"],
    deps = {deps},
)
""".format(name = name, defines = defines, linkopts = linkopts, deps = deps)

BUILD_HEADER = """load("@rules_cc//cc:defs.bzl", "cc_library")

package(default_visibility = ["//visibility:public"])
"""

def _system_library_impl(ctx):
    require_package(ctx, ctx.attr.debian_package)
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file("BUILD.bazel", BUILD_HEADER + "".join([
        library_target(name, linkopts.split(" ") if linkopts else [], ctx.attr.defines, ctx.attr.deps)
        for name, linkopts in ctx.attr.targets.items()
    ]))

system_library = repository_rule(
    implementation = _system_library_impl,
    attrs = {
        "debian_package": attr.string(mandatory = True),
        "defines": attr.string_list(doc = "what the package's pkg-config file says its users must define"),
        "deps": attr.string_list(doc = "labels that each target depends on"),
        "targets": attr.string_dict(doc = "upstream's name of each target: the options that link it", mandatory = True),
    },
    local = True,
)
