"""Runs a file's unittest cases and tells Bazel of each, so that they are counted one by one."""

import os
import unittest
from xml.etree import ElementTree


class _Result(unittest.TextTestResult):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.cases = []

    def startTest(self, test):
        super().startTest(test)
        self.cases.append(test)


def main():
    program = unittest.main(testRunner=unittest.TextTestRunner(resultclass=_Result), exit=False)
    result = program.result
    failed = {test: trace for test, trace in result.failures + result.errors}
    suite = ElementTree.Element("testsuite", name=os.environ.get("TEST_TARGET", ""), tests=str(len(result.cases)))
    for test in result.cases:
        suite_name, case_name = test.id().split(".")[-2:]
        case = ElementTree.SubElement(suite, "testcase", classname=suite_name, name=case_name, status="run")
        if test in failed:
            ElementTree.SubElement(case, "failure", message=failed[test])
    if "XML_OUTPUT_FILE" in os.environ:
        ElementTree.ElementTree(suite).write(os.environ["XML_OUTPUT_FILE"])
    raise SystemExit(not result.wasSuccessful())
