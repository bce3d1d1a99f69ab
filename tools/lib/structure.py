"""How large the parts of the C++ code are: members of classes, lines of functions and files, and folders that include each other.

It reads the text alone, by counting braces: no compiler, and no build. What it takes for a function is a head with parentheses before a
block, outside of any function.
"""

import collections
import os
import re

# What the tree is held to: tests/tidy/structure_test.py.
MOST_MEMBERS = 90
MOST_FILE_LINES = 500
MOST_FUNCTION_LINES = 70
FOLDERS = ("mothreads", "cooperative")

Found = collections.namedtuple("Found", "path line name size functions data", defaults=(0, 0))

_NOISE = re.compile(
    r"""//[^\n]*|/\*.*?\*/
      | R"(?P<raw>[^(\s]*)\(.*?\)(?P=raw)"
      | "(?:\\.|[^"\\\n])*"
      | (?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'""",
    re.VERBOSE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_ATTRIBUTE = re.compile(r"\[\[.*?\]\]|\b(?:alignas|__attribute__|ABSL_[A-Z_]+)\s*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|\bABSL_[A-Z_]+\b|\b[A-Z][A-Z_]{5,}\b(?!\s*\()")
_CLASS = re.compile(r"^(?:class|struct|union)\b\s*([\w:]*)")
_ACCESS = re.compile(r"^\s*(?:public|private|protected)\s*:(?!:)")
_NO_MEMBER = re.compile(r"^(?:using|typedef|friend|static_assert|enum|class|struct|union)\b")


def plain(text):
    """The text without comments, strings and directives; lines keep their numbers."""

    def blank(match):
        token = match.group()
        filling = '""' if token[0] in "\"R" else " "
        return filling + "\n" * token.count("\n")

    return _DIRECTIVE.sub(lambda match: "\n" * match.group().count("\n"), _NOISE.sub(blank, text))


def _close(text, at):
    """Behind the brace that closes the one at `at`."""
    depth = 0
    for found in re.finditer(r"[{}]", text[at:]):
        depth += 1 if found.group() == "{" else -1
        if depth == 0:
            return at + found.end()
    return len(text)


def _without_template(head):
    """Behind template<...> and requires-clauses of their own lines."""
    while head.startswith("template"):
        depth = parentheses = 0
        for i in range(head.find("<"), len(head)):
            parentheses += {"(": 1, ")": -1}.get(head[i], 0)
            depth += {"<": 1, ">": -1}.get(head[i], 0) if parentheses == 0 else 0
            if depth == 0:
                head = head[i + 1 :].lstrip()
                break
        else:
            return head
        head = re.sub(r"^requires\s+(?:\([^()]*\)|[\w:]+(?:<[^;{}]*?>)?(?:\([^()]*\))?)\s*", "", head)
    return head


def _statements(text, start, end):
    """(offset, head, block) of each declaration between two offsets; `block` goes from its first brace to its last, or is None."""
    at = head_start = start
    block = None
    while at < end:
        char = text[at]
        if char == ";":
            yield head_start, text[head_start:at], block
            at += 1
            head_start, block = at, None
        elif char == "(":
            depth = 0
            while at < end:
                depth += {"(": 1, ")": -1}.get(text[at], 0)
                if text[at] == "{":
                    at = _close(text, at) - 1
                at += 1
                if depth == 0:
                    break
        elif char == "{":
            first = text[head_start:at]
            behind = _close(text, at)
            this, at = (at, behind), behind
            block = (block[0], this[1]) if block else this
            head = _without_template(_ATTRIBUTE.sub(" ", first).strip())
            if re.match(r"^(?:inline\s+)?namespace\b|^extern\b\s*\"", head):
                yield head_start, first, this
                head_start, block = at, None
            elif _CLASS.match(head) or head.startswith("enum") or _is_initializer(head):
                continue  # to its semicolon
            elif "(" in head:
                rest = re.match(r"\s*([,{]?)", text[at:end])
                if rest[1]:
                    continue  # a member's initializer: the body comes
                yield head_start, first, block
                head_start, block = at, None
        elif char == ":" and _ACCESS.match(text[head_start : at + 1]):
            at += 1
            head_start = at
        else:
            at += 1


def _is_initializer(head):
    """An equals sign outside of parentheses, which is not of an operator's name."""
    bare = re.sub(r"\([^()]*\)", "", re.sub(r"\([^()]*\)", "", head))
    bare = re.sub(r"\boperator\s*\S+", "", bare)
    return "=" in bare or "(" not in head


def _name_of(head):
    found = re.search(r"([~\w:]+|operator\s*\S+?)\s*\(", head)
    return found[1] if found else head.strip().split()[-1] if head.strip() else "?"


class _Reader:
    def __init__(self, path, text):
        self.path = path
        self.text = plain(text)
        self.classes = []
        self.functions = []
        self._scope(0, len(self.text), "")

    def _line(self, offset):
        return self.text.count("\n", 0, offset) + 1

    def _start(self, offset):
        return offset + len(self.text[offset:]) - len(self.text[offset:].lstrip())

    def _scope(self, start, end, owner):
        """Gives how many functions and data members stand there."""
        functions = data = 0
        for offset, raw, block in _statements(self.text, start, end):
            offset = self._start(offset)
            head = _without_template(_ATTRIBUTE.sub(" ", raw if block is None else self.text[offset : block[0]]).strip())
            if not head and block is None:
                continue
            if block and re.match(r"^(?:inline\s+)?namespace\b|^extern\b", head):
                self._scope(block[0] + 1, block[1] - 1, owner)
                continue
            found = _CLASS.match(head)
            if block and found and not re.search(r"\)\s*(?:const|noexcept|override|\s)*$", head):
                name = found[1] or "(without a name)"
                inner = self._scope(block[0] + 1, block[1] - 1, name)
                if found[1]:
                    self.classes.append(Found(self.path, self._line(offset), name, sum(inner), *inner))
                else:
                    functions, data = functions + inner[0], data + inner[1]  # an anonymous union's are its owner's
                continue
            if _NO_MEMBER.match(head) or re.search(r"=\s*delete\s*$", raw):
                continue
            is_function = "(" in head and not _is_initializer(head.split("{")[0]) or re.search(r"\)\s*(?:const|noexcept|override)*\s*=\s*(?:0|default)\s*$", raw)
            if is_function:
                functions += 1
                if block:
                    lines = self._line(block[1] - 1) - self._line(offset) + 1
                    name = _name_of(head)
                    self.functions.append(Found(self.path, self._line(offset), f"{owner}::{name}" if owner else name, lines))
            else:
                data += 1
        return functions, data


def sources(root):
    for folder in FOLDERS:
        for at, subfolders, names in os.walk(os.path.join(root, folder)):
            subfolders.sort()
            for name in sorted(names):
                if name.endswith((".h", ".cc")):
                    yield os.path.relpath(os.path.join(at, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


class Structure:
    """All of a tree, the largest first."""

    def __init__(self, texts):
        """`texts`: from paths to what stands there."""
        self.files = []
        self.classes = []
        self.functions = []
        includes = {}
        for path, text in texts.items():
            reader = _Reader(path, text)
            self.files.append(Found(path, 1, path, text.count("\n")))
            self.classes += reader.classes
            self.functions += reader.functions
            for included in _INCLUDE.findall(text):
                for room in room_of, inner_room_of:
                    one, other = room(path), room(included)
                    if one and other and one != other and included in texts:
                        includes.setdefault(one, {}).setdefault(other, f"{path} includes {included}")
        for found in (self.files, self.classes, self.functions):
            found.sort(key=lambda one: (-one.size, one.path, one.line))
        self.includes = includes

    @classmethod
    def of(cls, root):
        return cls({path: read(root, path) for path in sources(root)})

    def circles(self):
        """The sets of folders of which each reaches each other by includes, sorted."""
        reached = {folder: self._reached_from(folder) for folder in self.includes}
        knots = {
            tuple(sorted(other for other in reached[folder] if folder in reached.get(other, ())))
            for folder in reached
            if folder in reached[folder]
        }
        return sorted(knots)

    def arrows_of(self, circle):
        """One include for each arrow inside the circle."""
        return [self.includes[one][other] for one in circle for other in circle if other in self.includes.get(one, {})]

    def _reached_from(self, folder):
        seen = set()
        waiting = [folder]
        while waiting:
            for other in self.includes.get(waiting.pop(), {}):
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return seen


def room_of(path):
    """A folder and its internal/, with what is in that, are one room."""
    return re.sub(r"/internal(/.*)?$", "", os.path.dirname(path))


def inner_room_of(path):
    """A folder within an internal/ is a room of its own among those; none for other paths."""
    folder = os.path.dirname(path)
    return folder if "/internal/" in folder else None


def complaints(structure):
    """What is beyond the goals, one line each."""
    lines = [f"{one.path}:{one.line}: {one.name} has {one.size} members, of {MOST_MEMBERS}" for one in structure.classes if one.size > MOST_MEMBERS]
    lines += [f"{one.path}: {one.size} lines, of {MOST_FILE_LINES}" for one in structure.files if one.size > MOST_FILE_LINES]
    lines += [f"{one.path}:{one.line}: {one.name}() has {one.size} lines, of {MOST_FUNCTION_LINES}" for one in structure.functions if one.size > MOST_FUNCTION_LINES]
    lines += [f"folders include each other: {', '.join(circle)}" for circle in structure.circles()]
    return lines


def report(structure, count=5):
    """For people."""
    lines = ["largest classes (members: functions, data)"]
    lines += [f"  {one.size:4}: {one.functions}, {one.data}  {one.name}  {one.path}:{one.line}" for one in structure.classes[:count]]
    lines.append("longest files (lines)")
    lines += [f"  {one.size:4}  {one.path}" for one in structure.files[:count]]
    lines.append("longest functions (lines)")
    lines += [f"  {one.size:4}  {one.name}()  {one.path}:{one.line}" for one in structure.functions[:count]]
    lines.append("folders that include each other")
    circles = structure.circles()
    for circle in circles:
        lines.append(f"  {', '.join(circle)}")
        lines += [f"      {arrow}" for arrow in structure.arrows_of(circle)]
    if not circles:
        lines.append("  none")
    return "\n".join(lines)
