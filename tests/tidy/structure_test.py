#!/usr/bin/env -S python3 -B
"""Holds the library to the sizes and arrows of tools/lib/structure.py, and shows that its reader sees what is too large."""

import pathlib
import sys
import unittest

import xml_report

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "lib"))

import structure  # noqa: E402

def of(**texts):
    return structure.Structure({name.replace("__", "/").replace("_h", ".h").replace("_cc", ".cc"): text for name, text in texts.items()})


def only(found):
    (one,) = found
    return one


class TreeTest(unittest.TestCase):
    def test_it_is_the_tree(self):
        self.assertTrue((ROOT / "tests/tidy/structure_test.py").exists())
        self.assertGreater(len(structure.Structure.of(ROOT).classes), 300)

    def test_the_library_keeps_to_the_goals(self):
        complaints = structure.complaints(structure.Structure.of(ROOT))
        self.assertEqual([], complaints, "\n" + "\n".join(complaints))


class MembersTest(unittest.TestCase):
    def members(self, body):
        one = only(structure.Structure({"cooperative/a.h": "class A : public B {\n" + body + "\n};\n"}).classes)
        return one.functions, one.data

    def test_functions_and_data_are_told_apart(self):
        self.assertEqual((3, 4), self.members("""
         public:
          explicit A(int a = 1) : a_{a}, b_(2) { f(); }
          template <typename T, int N = (1 < 2)>
            requires std::is_class_v<T>
          void g(T t);
          bool operator==(const A& other) const = default;
         private:
          alignas(64) std::atomic<int> a_{0};
          int b_ = [] { return 1; }();
          const std::map<int, std::pair<int, int>> c_;
          std::mutex d_ ABSL_GUARDED_BY(e_);
        """))

    def test_what_is_no_member_is_not_counted(self):
        self.assertEqual((0, 0), self.members("""
          A(const A&) = delete;
          using B::B;
          friend class C;
          static_assert(sizeof(int) == 4);
          enum class E : bool { no, yes };
          class Later;
        """))

    def test_members_of_an_inner_class_are_its_own(self):
        classes = structure.Structure({"cooperative/a.h": "class A { struct B { int b; int c; }; int a; union { int d; int e; }; };"}).classes
        self.assertEqual({"A": 3, "B": 2}, {one.name: one.size for one in classes})

    def test_braces_in_strings_and_comments_are_text(self):
        self.assertEqual((1, 1), self.members("""
          const char* a = "}{;";  // } ; {
          void f() { g("}", '}', R"x(})x"); /* } */ }
        """))

    def test_too_many_members_are_a_complaint(self):
        body = "".join(f"int a{i};\n" for i in range(structure.MOST_MEMBERS))
        self.assertEqual([], structure.complaints(of(cooperative__a_h="struct A {\n" + body + "};\n")))
        self.assertIn("A has 91 members", only(structure.complaints(of(cooperative__a_h="struct A {\n" + body + "int b;\n};\n"))))


class LinesTest(unittest.TestCase):
    def test_a_function_is_as_long_as_from_its_head_to_its_brace(self):
        text = "namespace n {\nvoid A::f(int a) const noexcept {\n  if (a) {\n  }\n}\n}\nstruct B {\n  B()\n      : b{1} {\n  }\n  int b;\n};\n"
        functions = structure.Structure({"cooperative/a.cc": text}).functions
        self.assertEqual([("A::f", 4), ("B::B", 3)], [(one.name, one.size) for one in functions])

    def test_a_long_function_is_a_complaint(self):
        inner = "  g();\n" * (structure.MOST_FUNCTION_LINES - 2)
        self.assertEqual([], structure.complaints(of(cooperative__a_cc="void f() {\n" + inner + "}\n")))
        self.assertIn("f() has 71 lines", only(structure.complaints(of(cooperative__a_cc="void f() {\n\n" + inner + "}\n"))))

    def test_a_long_file_is_a_complaint(self):
        self.assertEqual([], structure.complaints(of(cooperative__a_cc="\n" * structure.MOST_FILE_LINES)))
        self.assertIn("501 lines", only(structure.complaints(of(cooperative__a_cc="\n" * (structure.MOST_FILE_LINES + 1)))))


class FoldersTest(unittest.TestCase):
    def circles(self, **texts):
        return of(**texts).circles()

    def test_a_folder_and_all_within_its_internal_are_one_room(self):
        self.assertEqual(
            [],
            self.circles(
                cooperative__x_h='#include "cooperative/internal/a/x.h"\n',
                cooperative__internal__a__x_h='#include "cooperative/y.h"\n#include "cooperative/internal/b/x.h"\n',
                cooperative__internal__b__x_h='#include "cooperative/y.h"\n',
                cooperative__y_h="",
            ),
        )

    def test_folders_within_an_internal_are_rooms_among_themselves(self):
        self.assertEqual(
            [("cooperative/internal/a", "cooperative/internal/b")],
            self.circles(
                cooperative__internal__a__x_h='#include "cooperative/internal/b/x.h"\n',
                cooperative__internal__b__x_h='#include "cooperative/internal/a/y.h"\n',
                cooperative__internal__a__y_h="",
            ),
        )

    def test_a_circle_of_three_is_found(self):
        self.assertEqual(
            [("cooperative/a", "cooperative/b", "cooperative/c")],
            self.circles(
                cooperative__a__x_h='#include "cooperative/b/x.h"\n',
                cooperative__b__x_h='#include "cooperative/c/x.h"\n',
                cooperative__c__x_h='#include "cooperative/a/y.h"\n',
                cooperative__a__y_h="",
            ),
        )

    def test_a_folder_and_its_internal_are_one_room(self):
        self.assertEqual(
            [],
            self.circles(cooperative__a__x_h='#include "cooperative/a/internal/x.h"\n', cooperative__a__internal__x_h='#include "cooperative/a/y.h"\n', cooperative__a__y_h=""),
        )


if __name__ == "__main__":
    xml_report.main()
