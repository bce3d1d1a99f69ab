"""The repositories this workspace stands on, all of them packages of Debian 12."""

load(":bazel_shims.bzl", "empty_repository", "native_rules_repository")
load(":system_abseil.bzl", "system_abseil")
load(":system_epics.bzl", "system_epics")
load(":system_library.bzl", "system_library")

def _unless_defined(rule, name, **kwargs):
    # Who already has such a repository, ours or not, keeps it.
    if not native.existing_rule(name):
        rule(name = name, **kwargs)

def _bazel_shims():
    """What Debian's Bazel would otherwise download before it builds any C++, and the rules of newer Bazels."""
    _unless_defined(native_rules_repository, "rules_cc", package = "cc", files = {"defs.bzl": [
        "cc_binary",
        "cc_import",
        "cc_library",
        "cc_proto_library",
        "cc_test",
        "cc_toolchain",
        "cc_toolchain_suite",
        "objc_library",
    ]})
    _unless_defined(native_rules_repository, "rules_java", package = "java", files = {"defs.bzl": [
        "java_binary",
        "java_import",
        "java_library",
        "java_proto_library",
        "java_runtime",
        "java_toolchain",
    ]})
    _unless_defined(native_rules_repository, "rules_shell", package = "shell", files = {"sh_test.bzl": ["sh_test"]})
    _unless_defined(
        empty_repository,
        "remote_coverage_tools",
        targets = ["coverage_report_generator", "lcov_merger"],
    )

def mothreads_deps():
    """All repositories that any target here can ask for.

    Bazel looks at a repository when a target that needs it is built, and only then must its Debian package be
    installed: who depends on //mothreads needs neither OpenSSL nor GoogleTest.
    """
    _bazel_shims()
    _unless_defined(system_abseil, "com_google_absl")
    _unless_defined(
        system_library,
        "com_github_gabime_spdlog",
        debian_package = "libspdlog-dev",
        defines = ["SPDLOG_COMPILED_LIB", "SPDLOG_FMT_EXTERNAL", "SPDLOG_SHARED_LIB"],
        targets = {"spdlog": "-lspdlog"},
        deps = ["@fmt"],
    )
    _unless_defined(
        system_library,
        "fmt",
        debian_package = "libfmt-dev",
        targets = {"fmt": "-lfmt"},
    )
    _unless_defined(
        system_library,
        "concurrentqueue",
        debian_package = "libconcurrentqueue-dev",
        targets = {"concurrentqueue": ""},
    )
    _unless_defined(
        system_library,
        "libunwind",
        debian_package = "libunwind-dev",
        targets = {"libunwind": "-lunwind"},
    )

    # For cooperative/io.
    _unless_defined(
        system_library,
        "c_ares",
        debian_package = "libc-ares-dev",
        targets = {"c_ares": "-lcares"},
    )
    _unless_defined(
        system_library,
        "liburing",
        debian_package = "liburing-dev",
        targets = {"liburing": "-luring"},
    )

    # For cooperative/http: Boost.Beast, of which only the headers are needed.
    _unless_defined(
        system_library,
        "boost_headers",
        debian_package = "libboost1.81-dev",
        targets = {"boost_headers": ""},
    )

    # For //cooperative/http:json alone.
    _unless_defined(
        system_library,
        "nlohmann_json",
        debian_package = "nlohmann-json3-dev",
        targets = {"json": ""},
    )

    # For catools: EPICS, which is no package.
    _unless_defined(system_epics, "epics")

    # For tests. As upstream, gtest brings gmock with it.
    _unless_defined(
        system_library,
        "com_google_googletest",
        debian_package = "libgmock-dev",
        targets = {
            "gtest": "-lgmock -lgtest",
            "gtest_main": "-lgmock_main -lgmock -lgtest",
        },
    )

    # For TLS, and docs/examples.
    _unless_defined(
        system_library,
        "openssl",
        debian_package = "libssl-dev",
        targets = {"crypto": "-lcrypto", "ssl": "-lssl -lcrypto"},
    )
    _unless_defined(
        system_library,
        "cli11",
        debian_package = "libcli11-dev",
        targets = {"cli11": ""},
    )

    # For benchmarks: the framework and the peers they compare with.
    _unless_defined(
        system_library,
        "com_github_google_benchmark",
        debian_package = "libbenchmark-dev",
        targets = {"benchmark": "-lbenchmark", "benchmark_main": "-lbenchmark_main -lbenchmark"},
    )
    _unless_defined(
        system_library,
        "boost",
        debian_package = "libboost-fiber1.81-dev",
        targets = {"fiber": "-lboost_fiber -lboost_context"},
    )
    _unless_defined(
        system_library,
        "onetbb",
        debian_package = "libtbb-dev",
        targets = {"tbb": "-ltbb"},
    )
    _unless_defined(
        system_library,
        "libev",
        debian_package = "libev-dev",
        targets = {"libev": "-lev"},
    )
    _unless_defined(
        system_library,
        "libuv",
        debian_package = "libuv1-dev",
        targets = {"libuv": "-luv"},
    )
