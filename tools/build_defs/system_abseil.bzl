"""Debian's Abseil under upstream's labels, such as @com_google_absl//absl/time."""

load(":system_library.bzl", "BUILD_HEADER", "library_target", "require_package")

# Upstream's public targets by package. Debian has one pkg-config file for each.
_TARGETS = {
    "algorithm": ["algorithm", "container"],
    "base": ["base", "config", "core_headers", "dynamic_annotations", "endian", "log_severity", "prefetch"],
    "cleanup": ["cleanup"],
    "container": [
        "btree",
        "fixed_array",
        "flat_hash_map",
        "flat_hash_set",
        "inlined_vector",
        "node_hash_map",
        "node_hash_set",
    ],
    "debugging": ["failure_signal_handler", "leak_check", "stacktrace", "symbolize"],
    "flags": ["commandlineflag", "config", "flag", "parse", "program_name", "reflection", "usage"],
    "functional": ["any_invocable", "bind_front", "function_ref"],
    "hash": ["hash"],
    "memory": ["memory"],
    "meta": ["type_traits"],
    "numeric": ["bits", "int128"],
    "random": ["bit_gen_ref", "distributions", "random", "seed_gen_exception", "seed_sequences"],
    "status": ["status", "statusor"],
    "strings": ["cord", "str_format", "strings"],
    "synchronization": ["synchronization"],
    "time": ["time"],
    "types": ["any", "bad_any_cast", "bad_optional_access", "bad_variant_access", "compare", "optional", "span", "variant"],
    "utility": ["utility"],
}

def _pkg_config_folder(ctx, package):
    listed = ctx.execute(["dpkg-query", "-L", package]).stdout.split("\n")
    return [line for line in listed if line.endswith("/pkgconfig")][0]

def _module(modules, package, target):
    """The pkg-config module of an upstream target: absl_algorithm_container, absl_str_format, absl_flags."""
    for name in ["absl_%s_%s" % (package, target), "absl_" + target, "absl_" + package]:
        if name in modules:
            return name
    fail("libabsl-dev has no pkg-config file for //absl/%s:%s" % (package, target))

def _field(text, key):
    for line in text.split("\n"):
        if line.startswith(key + ":"):
            return line[len(key) + 1:].strip()
    return ""

def _module_target(ctx, path):
    text = ctx.read(path)
    libraries = [word for word in _field(text, "Libs").split(" ") if word.startswith("-labsl_")]
    required = [requirement.strip().split(" ")[0] for requirement in _field(text, "Requires").split(",")]
    return library_target(
        path.basename[:-len(".pc")],
        linkopts = libraries,
        deps = [":" + name for name in required if name],
    )

def _system_abseil_impl(ctx):
    package = require_package(ctx, "libabsl-dev")
    files = {
        path.basename[:-len(".pc")]: path
        for path in ctx.path(_pkg_config_folder(ctx, package)).readdir()
        if path.basename.startswith("absl_")
    }
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file("BUILD.bazel", BUILD_HEADER + "".join([_module_target(ctx, path) for path in files.values()]))
    for package, targets in _TARGETS.items():
        ctx.file("absl/%s/BUILD.bazel" % package, "".join([
            "alias(name = \"%s\", actual = \"//:%s\", visibility = [\"//visibility:public\"])\n" %
            (target, _module(files, package, target))
            for target in targets
        ]))

system_abseil = repository_rule(
    implementation = _system_abseil_impl,
    local = True,
)
