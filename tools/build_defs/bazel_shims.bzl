"""Small stand-ins for repositories that Debian's Bazel 4 expects from the network but hardly uses."""

def _native_rules_repository_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file(ctx.attr.package + "/BUILD.bazel", "")
    for file, rules in ctx.attr.files.items():
        ctx.file(
            "%s/%s" % (ctx.attr.package, file),
            "".join(["%s = native.%s\n" % (rule, rule) for rule in rules]),
        )

native_rules_repository = repository_rule(
    doc = "A rules repository that hands out rules which are built into Bazel 4.",
    implementation = _native_rules_repository_impl,
    attrs = {
        "files": attr.string_list_dict(doc = "the rules by the .bzl file they are loaded from", mandatory = True),
        "package": attr.string(mandatory = True),
    },
)

def _empty_repository_impl(ctx):
    ctx.file("WORKSPACE", "workspace(name = \"%s\")\n" % ctx.name)
    ctx.file(
        "BUILD.bazel",
        "package(default_visibility = [\"//visibility:public\"])\n" +
        "".join(["filegroup(name = \"%s\")\n" % target for target in ctx.attr.targets]),
    )

empty_repository = repository_rule(
    doc = "A repository of empty targets, for tools that every test names but only coverage runs.",
    implementation = _empty_repository_impl,
    attrs = {"targets": attr.string_list(mandatory = True)},
)
