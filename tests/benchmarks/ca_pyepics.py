"""The peer `pyepics` of the row ca.pyepics: prints the median time of caget_many of a thousand values, in nanoseconds."""

import statistics
import time

import epics

VARIABLES = 1000
ROUNDS = 20


def main():
    names = [f"bench:double{i}" for i in range(VARIABLES)]
    times = []
    for counted in [False] + [True] * ROUNDS:  # the first connects
        begin = time.monotonic_ns()
        values = epics.caget_many(names)
        if counted:
            times.append(time.monotonic_ns() - begin)
        if values != list(range(VARIABLES)):
            raise SystemExit(f"ca_pyepics: the values are wrong: {values[:3]} ... {values[-3:]}")
    print(statistics.median(times))


main()
