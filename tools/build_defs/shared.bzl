"""The library as a shared object."""

load("@bazel_tools//tools/cpp:toolchain_utils.bzl", "find_cpp_toolchain")
load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_import")

def _merged(deps):
    return cc_common.merge_cc_infos(direct_cc_infos = [dep[CcInfo] for dep in deps])

def _is_archive(library):
    return bool(library.static_library or library.pic_static_library)

def _whole_impl(ctx):
    toolchain = find_cpp_toolchain(ctx)
    features = cc_common.configure_features(
        ctx = ctx,
        cc_toolchain = toolchain,
        requested_features = ctx.features,
        unsupported_features = ctx.disabled_features,
    )
    inputs = []
    for input in _merged(ctx.attr.deps).linking_context.linker_inputs.to_list():
        libraries = []
        for library in input.libraries:
            if _is_archive(library):
                library = cc_common.create_library_to_link(
                    actions = ctx.actions,
                    feature_configuration = features,
                    cc_toolchain = toolchain,
                    static_library = library.static_library,
                    pic_static_library = library.pic_static_library,
                    alwayslink = True,
                )
            libraries.append(library)
        inputs.append(cc_common.create_linker_input(
            owner = input.owner,
            user_link_flags = depset(input.user_link_flags),
            libraries = depset(libraries),
        ))
    return [CcInfo(linking_context = cc_common.create_linking_context(linker_inputs = depset(inputs)))]

_whole = rule(
    doc = "All objects of `deps`, and of what those need, whether anything refers to them or not.",
    implementation = _whole_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "_cc_toolchain": attr.label(default = Label("@bazel_tools//tools/cpp:current_cc_toolchain")),
    },
    fragments = ["cpp"],
    toolchains = ["@bazel_tools//tools/cpp:toolchain_type"],
)

def _headers_and_shared_object_impl(ctx):
    merged = _merged(ctx.attr.deps)
    inputs = [
        cc_common.create_linker_input(
            owner = input.owner,
            user_link_flags = depset(input.user_link_flags),
            libraries = depset([library for library in input.libraries if not _is_archive(library)]),
        )
        for input in merged.linking_context.linker_inputs.to_list()
    ]
    without_objects = CcInfo(
        compilation_context = merged.compilation_context,
        linking_context = cc_common.create_linking_context(linker_inputs = depset(inputs)),
    )
    return [cc_common.merge_cc_infos(direct_cc_infos = [without_objects, ctx.attr.shared_object[CcInfo]])]

_headers_and_shared_object = rule(
    doc = """What `deps` have but their objects, which the shared object has.

    Headers use libraries of the system, so those are linked.
    """,
    implementation = _headers_and_shared_object_impl,
    attrs = {
        "deps": attr.label_list(providers = [CcInfo]),
        "shared_object": attr.label(providers = [CcInfo]),
    },
)

def mo_shared_object(name, deps, visibility):
    """Libraries as one shared object.

    Args:
      name: what programs and modules depend on; `lib<name>.so` is the file.
      deps: libraries, all of which it has.
      visibility: of both.
    """
    file = "lib%s.so" % name
    _whole(
        name = name + "_whole",
        visibility = ["//visibility:private"],
        deps = deps,
    )
    cc_binary(
        name = file,
        linkopts = ["-Wl,-soname," + file],
        linkshared = True,
        visibility = visibility,
        deps = [name + "_whole"],
    )
    cc_import(
        name = name + "_import",
        shared_library = file,
        visibility = ["//visibility:private"],
    )
    _headers_and_shared_object(
        name = name,
        shared_object = name + "_import",
        visibility = visibility,
        deps = deps,
    )
