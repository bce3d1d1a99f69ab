#!/usr/bin/env python3
"""Counts the test cases of one `bazel test`: count_tests.py BUILD-EVENTS EXIT-STATUS

Reads which tests ran from Bazel's build events and their cases from the test.xml files the events name, so that a file
left by an earlier run is never counted. Ends with the line `N passed, N failed` and an exit status that agrees with it.
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree


# Bazel's exit status when the named targets hold no test.
NO_TESTS = 4


def results(events):
    """The last result of each test, run and shard: {(label, run, shard): testResult}."""
    found = {}
    for event in events:
        if "testResult" in event:
            which = event["id"]["testResult"]
            found[which["label"], which.get("run"), which.get("shard")] = event["testResult"]
    return found


def unbuilt(events):
    """The labels of the targets that Bazel set out to build and did not."""
    return [
        event["id"]["targetCompleted"]["label"]
        for event in events
        if "targetCompleted" in event["id"] and "completed" in event and not event["completed"].get("success")
    ]


def cases(result):
    """(passed, failed, skipped) of one result."""
    passed = failed = skipped = 0
    for output in result.get("testActionOutput", []):
        if output["name"] != "test.xml":
            continue
        path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
        for case in xml.etree.ElementTree.parse(path).iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.get("status") == "notrun" or case.find("skipped") is not None:
                skipped += 1
            else:
                passed += 1
    # A crash at exit or a sanitizer's report fails a program whose cases have all passed.
    if result["status"] != "PASSED" and not failed:
        failed = 1
    return passed, failed, skipped


def main(path, status):
    with open(path, encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    counts = [cases(result) for result in results(events).values()]
    passed, failed, skipped = (sum(column) for column in zip(*counts)) if counts else (0, 0, 0)
    for label in sorted(set(unbuilt(events))):
        print(f"did not build: {label}")
        failed += 1
    if status not in (0, NO_TESTS) and not failed:
        print(f"bazel ended with status {status}")
        failed += 1
    if skipped:
        print(f"{skipped} skipped")
    if not passed and not failed:
        print("no tests ran")
    print(f"{passed} passed, {failed} failed")
    return status or int(bool(failed) or not passed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
