"""What the compiler does not check about this tree. Each rule takes a Tree and returns its complaints, one line each."""

import os
import re
import textwrap

# A folder includes itself and what stands left of it.
LAYERS = ["mothreads", "cooperative", "catools"]

# Sleeping and real time are what these two are for.
MAY_SLEEP = ("tests/stress/", "tests/benchmarks/")

LONG_HEADER = 300

_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/              # comments
      | R"(?P<raw>[^(\s]*)\(.*?\)(?P=raw)"
      | "(?:\\.|[^"\\\n])*"             # strings
      | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'""",
    re.VERBOSE | re.DOTALL,
)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?P<mark>[<"])(?P<path>[^>"\n]+)[>"]', re.MULTILINE)
_SLEEPS = {
    ".cc": r"\bsleep_for\b|\bstd::(?:this_thread::)?sleep_until\b|\bthis_thread::sleep_until\b|\b(?:usleep|nanosleep|clock_nanosleep)\s*\("
    r"|\babsl::SleepFor\b|(?<!\w)::sleep\s*\(",
    ".py": r"\btime\.sleep\s*\(|\bfrom time import\b.*\bsleep\b",
    ".sh": r"(?:^|[;&|]|\bdo|\bthen)\s*sleep\s",
}
_SLEEPS[".h"] = _SLEEPS[".cc"]
_TEST_CASE = re.compile(r"\b\w*TEST(?:_[A-Z]+)*\s*\(\s*(\w+)\s*,\s*(\w+)\s*\)")
_PYTHON_CASES = re.compile(r"^class (\w+)|^\s+def (test\w*)", re.MULTILINE)
_NAMED_TEST = re.compile(r"`(?:\w+/)?([A-Za-z_]\w*)\.([A-Za-z_]\w*)(?:/\w+)?`")
_NAMED_SUITE = re.compile(r"`(\w+Test)`")
_FILE_ENDINGS = {"bzl", "cc", "h", "md", "py", "sh"}


class Tree:
    """The files below a folder, by their paths from it. What Bazel writes is not among them."""

    def __init__(self, root):
        self.root = root
        self.paths = []
        for folder, subfolders, names in os.walk(root):
            at_top = folder == str(root)
            subfolders[:] = sorted(
                name
                for name in subfolders
                if name not in (".git", "__pycache__") and not (at_top and name.startswith("bazel-"))
            )
            self.paths += [os.path.relpath(os.path.join(folder, name), root) for name in sorted(names)]

    def files(self, endings, under=""):
        return [path for path in self.paths if path.startswith(under) and path.endswith(endings)]

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            return file.read()

    def cpp(self, under=""):
        return self.files((".h", ".cc"), under)


def without_comments(text, strings=True):
    """C++ without comments, and without what stands in strings unless `strings`; lines keep their numbers."""

    def keep(match):
        token = match.group()
        if token.startswith(("//", "/*")):
            return " " + "\n" * token.count("\n")
        return token if strings else '""' + "\n" * token.count("\n")

    return _TOKENS.sub(keep, text)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def includes(tree, path):
    """(line, mark, path) of each #include."""
    text = without_comments(tree.text(path))
    return [(line_of(text, found.start()), found["mark"], found["path"]) for found in _INCLUDE.finditer(text)]


def layers(tree):
    """A folder includes itself and lower layers, by paths from the top."""
    complaints = []
    for path in tree.cpp():
        own = path.split("/")[0]
        for line, mark, included in includes(tree, path):
            target = included.split("/")[0]
            where = f"{path}:{line}: includes {included}"
            if mark == '"' and (included.startswith(".") or "/" not in included):
                complaints.append(f"{where}: write the path from the top of the tree")
            elif target in LAYERS and mark == "<":
                complaints.append(f"{where}: write our own headers in quotes")
            elif own in LAYERS and target in ("tests", "docs"):
                complaints.append(f"{where}: the library knows nothing of {target}/")
            elif own in LAYERS and target in LAYERS and LAYERS.index(target) > LAYERS.index(own):
                complaints.append(f"{where}: {target}/ is a layer above {own}/")
    return complaints


# What fibers are made of, too: the folders of mothreads/internal/ that cooperative/ may include from.
SHARED_INTERNALS = tuple(f"mothreads/internal/{folder}/" for folder in ("base", "wait", "tree"))


def internal_is_private(tree):
    """Only the folder around an internal/ includes from it, and tests."""
    complaints = []
    for path in tree.cpp():
        for line, _, included in includes(tree, path):
            owner = re.match(r"(.*?/)internal/", included)
            if owner and included.split("/")[0] in LAYERS and not path.startswith((owner[1], "tests/")) and not included.startswith(SHARED_INTERNALS):
                complaints.append(f"{path}:{line}: includes {included}, which is private to {owner[1]}")
    return complaints


def no_real_sleeps(tree):
    """Tests take the virtual clock or wait for what they wait for."""
    complaints = []
    for path in tree.files(tuple(_SLEEPS), "tests/"):
        # The rules' own tests are full of made-up sleeps.
        if path.startswith(MAY_SLEEP + ("tests/tidy/",)):
            continue
        text = tree.text(path)
        ending = os.path.splitext(path)[1]
        if ending in (".cc", ".h"):
            text = without_comments(text, strings=False)
        for found in re.finditer(_SLEEPS[ending], text, re.MULTILINE):
            complaints.append(f"{path}:{line_of(text, found.start())}: a real sleep: {found.group().strip()}")
    return complaints


def no_flaky_tests(tree):
    """A test that may fail now and then proves nothing."""
    return [
        f"{path}: marks a test as flaky"
        for path in tree.files(("BUILD.bazel", "BUILD"), "tests/")
        if not path.startswith(MAY_SLEEP) and re.search(r"^\s*flaky\s*=", tree.text(path), re.MULTILINE)
    ]


def test_cases(tree):
    """The names Suite.Case of all tests in the tree."""
    names = set()
    for path in tree.files(".cc"):
        if path.startswith(("tests/", "docs/")):
            text = without_comments(tree.text(path), strings=False)
            names |= {f"{suite}.{case}" for suite, case in _TEST_CASE.findall(text) if not case.startswith("DISABLED_")}
    for path in tree.files(".py", "tests/"):
        suite = ""
        for new_suite, case in _PYTHON_CASES.findall(tree.text(path)):
            suite = new_suite or suite
            if case:
                names.add(f"{suite}.{case}")
    return names


def rows(tree):
    """(path, number, line, last column) of each row of the tables in docs/from_*.md."""
    for path in tree.files(".md", "docs/from_"):
        for number, line in enumerate(tree.text(path).splitlines(), 1):
            if line.strip().startswith("|"):
                cells = line.strip().removeprefix("|").removesuffix("|")
                yield path, number, line, re.split(r"(?<!\\)\|", cells)[-1]


def named_tests_exist(tree):
    """The last column of the tables in docs/from_*.md names tests, or suites; each is somewhere in the sources."""
    known = test_cases(tree)
    suites = {name.split(".")[0] for name in known}
    complaints = []
    for path, number, _, last in rows(tree):
        for suite, case in _NAMED_TEST.findall(last):
            if case not in _FILE_ENDINGS and f"{suite}.{case}" not in known:
                complaints.append(f"{path}:{number}: names the test {suite}.{case}, which is nowhere")
        for suite in _NAMED_SUITE.findall(last):
            if suite not in suites:
                complaints.append(f"{path}:{number}: names the suite {suite}, which is nowhere")
    return complaints


def rows_have_tests(tree):
    """A row without a test says why."""
    return [
        f"{path}:{number}: a row without a test, which is neither for later nor not carried over"
        for path, number, line, last in rows(tree)
        if not last.strip() and not re.search(r"\blater\b|\bnot carried over\b", line)
    ]


def one_file_knows_spdlog(tree):
    """Its header is some 77,000 lines; one .cc hides it from all others."""
    users = [
        path for path in tree.cpp() if any(included.startswith("spdlog/") for _, _, included in includes(tree, path))
    ]
    headers = [f"{path}: a header includes spdlog" for path in users if path.endswith(".h")]
    sources = [path for path in users if path.endswith(".cc")]
    return headers + ([f"more than one file includes spdlog: {', '.join(sources)}"] if len(sources) > 1 else [])


def headers_guard_themselves(tree):
    return [
        f"{path}: no #pragma once"
        for path in tree.files(".h")
        if not re.search(r"^#pragma once$", without_comments(tree.text(path)), re.MULTILINE)
    ]


def sources_include_their_header_first(tree):
    """That proves that the header compiles alone; mo_library compiles alone only the others."""
    headers = set(tree.files(".h"))
    complaints = []
    for path in tree.files(".cc"):
        header = path[: -len(".cc")] + ".h"
        first = next(iter(includes(tree, path)), (1, '"', header))
        if header in headers and first[2] != header:
            complaints.append(f"{path}:{first[0]}: includes {first[2]} before its own header")
    return complaints


def public_headers_have_tests(tree):
    """signal.h has a signal_test.cc; what only other folders of the library include is not public."""
    tested = {os.path.basename(path) for path in tree.files("_test.cc", "tests/")}
    return [
        f"{path}: no {name}_test.cc below tests/"
        for layer in LAYERS
        for path in tree.files(".h", layer + "/")
        for name in [os.path.basename(path)[: -len(".h")]]
        if not re.search("/internal/", path) and f"{name}_test.cc" not in tested
    ]


def readme_shows_the_consumer(tree):
    """What the README tells a user to write is what tests/consumer builds, but for the place of the checkout."""
    if "README.md" not in tree.paths:
        return []
    shown = {line.strip() for line in tree.text("README.md").splitlines()}
    return [
        f"README.md: does not show this line of {path}: {line.strip()}"
        for path in ("tests/consumer/WORKSPACE", "tests/consumer/.bazelrc", "tests/consumer/BUILD.bazel")
        if path in tree.paths
        for line in tree.text(path).splitlines()
        if line.strip() and not line.startswith(("#", "workspace(")) and "path =" not in line
        if line.strip() not in shown
    ]


def region(text, name):
    """What stands between `// [name]` and `// [/name]`, without its common indentation; None without such a region."""
    found = re.search(rf"^[ \t]*// \[{re.escape(name)}\]\n(.*?)^[ \t]*// \[/{re.escape(name)}\]$", text, re.MULTILINE | re.DOTALL)
    return textwrap.dedent(found[1]) if found else None


def documented_examples_run(tree):
    """Every C++ block of the README and docs/ is a region of a program under docs/examples/, which the tests run."""
    complaints = []
    for path in tree.files(".md"):
        if path != "README.md" and not path.startswith("docs/"):
            continue
        text = tree.text(path)
        for block in re.finditer(r"(?P<mark>^<!-- example: (?P<file>\S+) (?P<name>\w+) -->\n)?^```cpp\n(?P<code>.*?)^```$", text, re.MULTILINE | re.DOTALL):
            where = f"{path}:{line_of(text, block.start())}"
            if not block["mark"]:
                complaints.append(f"{where}: a C++ block without a line <!-- example: FILE REGION --> before it")
            elif not block["file"].startswith("docs/examples/") or block["file"] not in tree.paths:
                complaints.append(f"{where}: {block['file']} is no file of docs/examples/")
            elif region(tree.text(block["file"]), block["name"]) != block["code"]:
                complaints.append(f"{where}: differs from the region {block['name']} of {block['file']}")
    return complaints


RULES = [
    documented_examples_run,
    headers_guard_themselves,
    sources_include_their_header_first,
    internal_is_private,
    layers,
    named_tests_exist,
    no_flaky_tests,
    no_real_sleeps,
    one_file_knows_spdlog,
    public_headers_have_tests,
    readme_shows_the_consumer,
    rows_have_tests,
]


def long_headers(tree):
    """Worth a look, not a rule: two things may share a room."""
    lengths = {path: tree.text(path).count("\n") for path in tree.files(".h")}
    return [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > LONG_HEADER]
