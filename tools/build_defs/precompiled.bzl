"""Precompiled headers of what nearly every file includes from the system: half of the time of a small file."""

load("@bazel_tools//tools/build_defs/cc:action_names.bzl", "ACTION_NAMES")
load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")

# Any file of the system's include folders: nothing of this workspace, whose place differs from run to run, may be in it.
_MAIN_FILE = "/usr/include/stdc-predef.h"

def _precompiled_headers_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        # There is no module of these headers. The flag that must agree with the users' is below.
        unsupported_features = ctx.disabled_features + ["layering_check", "module_maps", "use_module_maps"],
    )
    output = ctx.actions.declare_file(ctx.label.name + ".pch")
    includes = []
    for header in ctx.attr.headers:
        includes += ["-include", header]
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        source_file = _MAIN_FILE,
        output_file = output.path,
        use_pic = True,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts + includes + [
            "-fmodules-strict-decluse",
            "-fpch-instantiate-templates",
            # The same bytes on every machine.
            "-Xclang",
            "-fno-pch-timestamp",
            "-x",
            "c++-header",
        ],
    )
    ctx.actions.run(
        executable = cc_common.get_tool_for_action(feature_configuration = features, action_name = ACTION_NAMES.cpp_compile),
        arguments = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        # What the system's packages are, stands in files of the libraries.
        inputs = depset(transitive = [toolchain.all_files] + [dep[CcInfo].compilation_context.headers for dep in ctx.attr.deps]),
        outputs = [output],
        mnemonic = "CppPrecompile",
        progress_message = "Precompiling headers of %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset([output])),
        CcInfo(compilation_context = cc_common.create_compilation_context(headers = depset([output]))),
    ]

_precompiled_headers = rule(
    doc = "One precompiled header of clang's, of headers of the system.",
    implementation = _precompiled_headers_impl,
    attrs = {
        "copts": attr.string_list(doc = "as those have who use it"),
        "deps": attr.label_list(doc = "whose headers these are", providers = [CcInfo]),
        "headers": attr.string_list(doc = "as they are included"),
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def _precompiled_text_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    text = ctx.actions.declare_file(ctx.label.name + ".h")
    output = ctx.actions.declare_file(ctx.label.name + ".h.gch")
    ctx.actions.write(text, "".join(["#include <%s>\n" % header for header in ctx.attr.headers]))
    variables = cc_common.create_compile_variables(
        feature_configuration = features,
        cc_toolchain = toolchain,
        source_file = text.path,
        output_file = output.path,
        use_pic = True,
        user_compile_flags = ctx.fragments.cpp.copts + ctx.fragments.cpp.cxxopts + ctx.attr.copts + ["-x", "c++-header"],
    )
    ctx.actions.run(
        executable = cc_common.get_tool_for_action(feature_configuration = features, action_name = ACTION_NAMES.cpp_compile),
        arguments = cc_common.get_memory_inefficient_command_line(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        env = cc_common.get_environment_variables(
            feature_configuration = features,
            action_name = ACTION_NAMES.cpp_compile,
            variables = variables,
        ),
        inputs = depset([text], transitive = [toolchain.all_files] + [dep[CcInfo].compilation_context.headers for dep in ctx.attr.deps]),
        outputs = [output],
        mnemonic = "CppPrecompile",
        progress_message = "Precompiling headers of %s" % ctx.label,
    )
    return [
        DefaultInfo(files = depset([output])),
        CcInfo(compilation_context = cc_common.create_compilation_context(headers = depset([text, output]))),
    ]

_precompiled_text = rule(
    doc = "The same of gcc's: a header, and beside it what gcc takes in its place where the options agree.",
    implementation = _precompiled_text_impl,
    attrs = {
        "copts": attr.string_list(doc = "of those of its users, the ones that define macros"),
        "deps": attr.label_list(doc = "whose headers these are", providers = [CcInfo]),
        "headers": attr.string_list(doc = "as they are included"),
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def precompiled_text(name, **kwargs):
    """A precompiled header of gcc's; arguments as for the rule."""
    _precompiled_text(name = name, tags = ["manual"], visibility = ["//visibility:public"], **kwargs)

def precompiled_headers(name, **kwargs):
    """A precompiled header; arguments as for the rule. `//...` leaves it out: gcc could not make it."""
    _precompiled_headers(name = name, tags = ["manual"], visibility = ["//visibility:public"], **kwargs)
