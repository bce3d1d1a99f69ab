#!/usr/bin/env -S python3 -B
"""Holds this tree to the rules of rules.py."""

import pathlib
import unittest

import rules
import xml_report

TREE = rules.Tree(pathlib.Path(__file__).resolve().parents[2])


class TreeTest(unittest.TestCase):
    def test_it_is_the_tree(self):
        self.assertIn("tests/tidy/rules.py", TREE.paths)

    @classmethod
    def tearDownClass(cls):
        for remark in rules.long_headers(TREE):
            print("long:", remark)


def _holds(rule):
    def test(self):
        complaints = rule(TREE)
        if complaints:
            self.fail("\n" + "\n".join(complaints))

    return test


for _rule in rules.RULES:
    setattr(TreeTest, "test_" + _rule.__name__, _holds(_rule))

if __name__ == "__main__":
    xml_report.main()
