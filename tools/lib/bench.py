"""Measures the rows of the benchmark table, each beside its peers, and says which targets are missed.

A repetition measures ours and then the peer, or the peer and then ours, in turns, each in a process of its own. A row's ratio
is the median of the repetitions' ratios; [low, high] covers the true median with at least 95 % by the sign test. A target is
missed when the whole interval lies beyond it.
"""

import argparse
import atexit
import functools
import json
import math
import os
import pathlib
import re
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from soft_ioc import SoftIoc

BENCHMARKS = "//tests/benchmarks:"


class Row:
    """One line of work. `targets` maps each peer to the largest ratio allowed, or to None where it is only reported.

    The program gives a figure in a unit other than time as a counter of that name.
    """

    prefix = []  # of the command that runs a side

    def __init__(self, name, program, targets, unit="ns", min_time=0.1):
        self.name = name
        self.program = program
        self.targets = targets
        self.unit = unit
        self.min_time = min_time

    def bazel_targets(self):
        return [BENCHMARKS + self.program]

    def measure(self, side, bin_dir):
        """One figure, in the row's unit, from a process of its own."""
        with tempfile.NamedTemporaryFile(suffix=".json") as out:
            subprocess.run(
                [
                    *self.prefix,
                    bin_dir / "tests/benchmarks" / self.program,
                    f"--benchmark_filter=^{self.name}/{side}(/|$)",
                    f"--benchmark_min_time={self.min_time}",
                    f"--benchmark_out={out.name}",
                    "--benchmark_out_format=json",
                ],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            runs = json.load(out)["benchmarks"]
        if len(runs) != 1 or runs[0].get("error_occurred"):
            raise SystemExit(f"bench: {self.program} gave no figure for {self.name}/{side}: {runs}")
        if self.unit in runs[0]:
            return runs[0][self.unit]
        per_second = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}
        return runs[0]["real_time"] / per_second[runs[0]["time_unit"]] * per_second[self.unit]

    def prepare(self, bin_dir):
        """What must be there before the first measurement."""


class ConstantPeer(Row):
    """A row whose peer is a bare limit, in the row's unit."""

    def __init__(self, name, program, limit, target=1.0, **kwargs):
        super().__init__(name, program, {"floor": target}, **kwargs)
        self.limit = limit

    def measure(self, side, bin_dir):
        return self.limit if side == "floor" else super().measure(side, bin_dir)


class IoRow(Row):
    """A server on one processor and its load on another. The figure is what tests/benchmarks/io_client.cc prints."""

    GO_SOURCE = "io_go.go"

    def __init__(self, name, work, connections, targets, mode="echo", unit="ns"):
        super().__init__(name, None, targets, unit=unit)
        self.work = work
        self.connections = connections
        self.mode = mode

    def bazel_targets(self):
        return [BENCHMARKS + program for program in ("io_client", "io_floor", "io_server")]

    def prepare(self, bin_dir):
        if "go" in self.targets:
            go_program(self.GO_SOURCE)

    def server(self, side, bin_dir):
        """The command, and its environment, of a program that prints its port."""
        programs = bin_dir / "tests/benchmarks"
        command = {
            "ours": lambda: programs / "io_server",
            "floor": lambda: programs / "io_floor",
            "go": lambda: go_program(self.GO_SOURCE),
        }[side]()
        return [command, self.mode], os.environ | {"GOMAXPROCS": "1"}

    def measure(self, side, bin_dir):
        first, *_, last = sorted(os.sched_getaffinity(0))
        command, environment = self.server(side, bin_dir)
        with subprocess.Popen(
            on_processor(first, command), env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as server:
            try:
                return self.load(on_processor(last, self.client(bin_dir, server)), server)
            finally:
                try:
                    os.killpg(server.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it has ended

    def client(self, bin_dir, server):
        port = server.stdout.readline().strip()
        return [bin_dir / "tests/benchmarks/io_client", self.work, port, str(self.connections), str(server.pid)]

    def load(self, client, server):
        return float(subprocess.run(client, check=True, stdout=subprocess.PIPE, text=True).stdout)


class IoMemory(IoRow):
    """Its peer is so many bytes for each connection."""

    def __init__(self, name, work, limit, target, mode="echo"):
        super().__init__(name, work, 10_000, {"floor": target}, mode=mode, unit="B")
        self.limit = limit

    def measure(self, side, bin_dir):
        return self.limit if side == "floor" else super().measure(side, bin_dir)


class IoCalls(IoRow):
    """System calls of the server for each request, as strace counts them."""

    REQUESTS = 20_000

    def server(self, side, bin_dir):
        command, environment = super().server(side, bin_dir)
        self.counts = tempfile.NamedTemporaryFile(suffix=".strace", mode="r+")
        return ["strace", "-f", "-c", "-qq", "-o", self.counts.name, *command], environment

    def client(self, bin_dir, server):
        return [*super().client(bin_dir, server)[:-1], str(self.REQUESTS)]

    def load(self, client, server):
        subprocess.run(client, check=True, stdout=subprocess.DEVNULL)
        # strace writes its table when what it runs has ended.
        children = pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        server.wait()
        total = next(line for line in self.counts.read().splitlines() if line.endswith(" total"))
        return int(total.split()[3]) / self.REQUESTS


def processor_seconds(pid):
    """That a process and its children have had."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(processor_seconds(child) for child in children)


class HttpRow(IoRow):
    """The example file_server on one processor beside nginx with one worker, both without a log of requests; wrk or curl on the other."""

    NGINX = """
        daemon off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
        events {{ worker_connections 4096; }}
        http {{
          access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type application/octet-stream;
          client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
          uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
          server {{ listen {listen}; root {folder}/site; }}
        }}
    """

    scheme = "http"

    def __init__(self, name, size, load, unit):
        super().__init__(name, None, None, {"nginx": 1.0}, unit=unit)
        self.size = size
        self.load_of = load

    def bazel_targets(self):
        return ["//docs/examples:file_server"]

    def prepare(self, bin_dir):
        self.folder = tempfile.TemporaryDirectory(prefix="bench_http_")
        site = pathlib.Path(self.folder.name) / "site"
        site.mkdir()
        os.chmod(self.folder.name, 0o755)  # nginx's worker is another user where it is started by root
        with open(site / "file.bin", "wb") as file:
            for _ in range(0, self.size, 1024):
                file.write(bytes(1024))

    def listen(self):
        """What nginx is told of where."""
        return f"127.0.0.1:{self.port}"

    def options(self):
        """Ours are told more."""
        return []

    def server(self, side, bin_dir):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        if side == "ours":
            site = f"{self.folder.name}/site"
            program = bin_dir / "docs/examples/file_server"
            return [program, "--quiet", "--threads", "1", *self.options(), "--port", str(self.port), site], os.environ
        configuration = pathlib.Path(self.folder.name) / "nginx.conf"
        configuration.write_text(self.NGINX.format(folder=self.folder.name, listen=self.listen()))
        return ["nginx", "-e", "stderr", "-c", configuration], os.environ

    def client(self, bin_dir, server):
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"bench: {self.name}: the server does not listen") from None
                time.sleep(0.01)
        return self.load_of(f"{self.scheme}://127.0.0.1:{self.port}/file.bin")[0]

    def load(self, client, server):
        done = subprocess.run(client, check=True, stdout=subprocess.PIPE, text=True)
        return self.load_of("")[1](done.stdout)


class HttpsRow(HttpRow):
    """The same over TLS: the ns of a processor that the server had for a request."""

    scheme = "https"

    def __init__(self, name, size, target):
        super().__init__(name, size, wrk, "ns")
        self.targets = {"nginx": target}

    def prepare(self, bin_dir):
        super().prepare(bin_dir)
        self.key = f"{self.folder.name}/key.pem"
        self.certificate = f"{self.folder.name}/certificate.pem"
        subprocess.run(
            [
                *["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"],
                *["-subj", "/CN=localhost", "-keyout", self.key, "-out", self.certificate],
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )

    def listen(self):
        return f"127.0.0.1:{self.port} ssl; ssl_certificate {self.certificate}; ssl_certificate_key {self.key}; ssl_protocols TLSv1.2 TLSv1.3"

    def options(self):
        return ["--cert", self.certificate, "--key", self.key]

    def load(self, client, server):
        before = processor_seconds(server.pid)
        done = subprocess.run(client, check=True, stdout=subprocess.PIPE, text=True)
        used = processor_seconds(server.pid) - before
        self.load_of("")[1](done.stdout)  # that all was answered well
        return used * 1e9 / int(re.search(r"(\d+) requests in", done.stdout)[1])


def wrk(url):
    """Its command, and the nanoseconds for a request from what it prints."""

    def figure(text):
        if "Socket errors" in text or "Non-2xx" in text:
            raise SystemExit(f"bench: wrk was not answered well: {text}")
        return 1e9 / float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])

    return ["wrk", "--threads", "1", "--connections", "50", "--duration", "2s", url], figure


def curl(url):
    return ["curl", "--silent", "--fail", "--noproxy", "*", "--output", "/dev/null", "--write-out", "%{time_total}", url], float


def on_processor(number, command):
    return ["taskset", "--cpu-list", str(number), *command]


class FiberRow(Row):
    """Fibers of one thread. All sides run on the same processor; the peer `go` is a program of its own."""

    prefix = ["taskset", "--cpu-list", str(max(os.sched_getaffinity(0)))]

    def __init__(self, name, targets, **kwargs):
        super().__init__(name, "fiber_benchmark", targets, min_time=0.2, **kwargs)

    def prepare(self, bin_dir):
        if "go" in self.targets:
            go_program("fiber_go.go")

    def measure(self, side, bin_dir):
        if side != "go":
            return super().measure(side, bin_dir)
        done = subprocess.run(
            [*self.prefix, go_program("fiber_go.go"), self.name],
            env=os.environ | {"GOMAXPROCS": "1"},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return float(done.stdout)


@functools.cache
def go_program(name):
    """The path of a program of the peer `go`, built when first asked for."""
    source = pathlib.Path(__file__).parents[2] / "tests/benchmarks" / name
    folder = tempfile.TemporaryDirectory(prefix="bench_go_")
    atexit.register(folder.cleanup)
    program = pathlib.Path(folder.name) / source.stem
    try:
        # Debian's packages of Go's libraries are in a GOPATH.
        debian = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode"}
        subprocess.run(["go", "build", "-o", program, source], check=True, stderr=subprocess.PIPE, text=True, env=debian)
    except OSError as error:
        raise SystemExit(f"bench: the peer go cannot be built: {error}") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bench: the peer go cannot be built from {source}: {error.stderr}") from error
    return program


class CaRow(Row):
    """A client of Channel Access, of an IOC of EPICS that each measurement starts anew. `ours` and peers are a program and its work each."""

    SIDES = {"libca": "ca_raw", "list": "ca_ours"}

    def __init__(self, name, work, targets, records=(("ca_double.db", 1000),), unit="us"):
        super().__init__(name, None, targets, unit=unit)
        self.work = work
        self.records = records

    def bazel_targets(self):
        return [BENCHMARKS + program for program in ("ca_ours", "ca_raw")]

    def client(self, side, programs):
        if side == "pyepics":
            # Of the packages that Debian's own interpreter finds.
            return ["/usr/bin/python3", "-B", pathlib.Path(__file__).parents[2] / "tests/benchmarks/ca_pyepics.py"]
        return [programs / self.SIDES.get(side, "ca_ours"), "list" if side == "list" else self.work]

    def measure(self, side, bin_dir):
        programs = bin_dir / "tests/benchmarks"
        folder = pathlib.Path(__file__).parents[2] / "tests/benchmarks"
        records = [(folder / file, {"N": number}) for file, count in self.records for number in range(count)]
        with SoftIoc(records, repeater=[programs / "ca_raw", "repeater"]) as ioc:
            done = subprocess.run(self.client(side, programs), env=ioc.environment, check=True, stdout=subprocess.PIPE, text=True)
        return float(done.stdout) / {"ns": 1, "us": 1e3, "ms": 1e6}[self.unit]


class HashTree(Row):
    """The example program over a real tree in a warm cache, beside OpenSSL's own program and beside two bare threads."""

    def __init__(self):
        super().__init__("hash_tree", None, {"xargs": 0.9, "floor": 1.1}, unit="s")
        self.tree = pathlib.Path("/usr/lib")
        self.list = None

    def bazel_targets(self):
        return ["//docs/examples:hash_tree", BENCHMARKS + "hash_floor"]

    def prepare(self, bin_dir):
        self.list = tempfile.NamedTemporaryFile(suffix=".list")
        subprocess.run(["find", self.tree, "-type", "f", "-print0"], check=True, stdout=self.list)
        for side in ["floor", "ours", "xargs"]:
            self.measure(side, bin_dir)  # warms the cache

    def measure(self, side, bin_dir):
        command = {
            "ours": [bin_dir / "docs/examples/hash_tree", "--workers", "2", self.tree],
            "floor": [bin_dir / "tests/benchmarks/hash_floor", self.list.name],
            "xargs": [
                "bash",
                "-c",
                f"find {shlex.quote(str(self.tree))} -type f -print0 | xargs -0 -P2 -n64 openssl dgst -sha256",
            ],
        }[side]
        start = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        seconds = time.monotonic() - start
        # hash_tree and openssl say 1 when a file could not be read, xargs makes 123 of that.
        if done.returncode not in (0, 1, 123):
            raise SystemExit(f"bench: {command} failed: {done.stderr.decode(errors='replace')[-500:]}")
        return seconds


ROWS = [
    Row("signal.test", "signal_benchmark", {"std": 1.0}),
    Row("signal.go_then", "signal_benchmark", {"std": 1.0}),
    Row("signal.wake", "signal_benchmark", {"absl": 0.2}),
    Row("signal.wake_cold", "signal_benchmark", {"absl": 1.05}),
    Row("signal.or_drop", "signal_benchmark", {"one": 1.5}),
    Row("till.cycle", "till_benchmark", {"libuv": 1.0}),
    Row("lock.uncontended", "lock_benchmark", {"std": 1.2, "absl": 0.4}),
    Row("lock.contended2", "lock_benchmark", {"std": 1.0}),
    Row("queue.spsc", "queue_benchmark", {"tbb": 0.7, "std": 0.7, "moodycamel": 1.5}),
    Row("queue.mpmc", "queue_benchmark", {"tbb": 0.6, "std": 0.6, "moodycamel": 1.5}),
    ConstantPeer("queue.idle", "queue_benchmark", 5.0, unit="ms"),
    Row("thread.run_join", "thread_benchmark", {"std": 1.3}),
    Row("foreign.entry", "thread_benchmark", {"std": 4.0}),
    HashTree(),
    Row("shutdown.tree", "thread_benchmark", {"std": 1.5}, unit="ms"),
    FiberRow("fiber.yield2", {"floor": 3.0, "boost": 0.1}),
    FiberRow("fiber.yield1000", {"floor": 2.5, "boost": 0.3}),
    FiberRow("fiber.spawn_join", {"boost": 0.2}),
    FiberRow("fiber.spawn_block_join", {"boost": 0.2}),
    FiberRow("fiber.event", {"boost": 0.05, "go": 0.15}),
    FiberRow("fiber.queue", {"boost": 0.35, "go": 0.5}),
    FiberRow("fiber.timed_wait", {"boost": 0.15}),
    FiberRow("fiber.timers", {"libev": 1.0, "go": 0.2}),
    FiberRow("fiber.skynet", {"boost": 0.05, "go": 0.15}, unit="s"),
    FiberRow("fiber.skynet_mem", {"go": 2.5}, unit="MB"),
    ConstantPeer("fiber.parked", "fiber_benchmark", 4096, target=1.15, unit="B"),
    Row("fiber.signal_both", "fiber_benchmark", {"thread": 1.2}),
    Row("bridge.post1", "bridge_benchmark", {"libuv": 0.8, "std": 0.5}),
    Row("bridge.post3", "bridge_benchmark", {"libuv": 0.8, "std": 0.5}),
    Row("bridge.latency_cold", "bridge_benchmark", {"eventfd": 1.1}),
    Row("bridge.latency_warm", "bridge_benchmark", {"eventfd": 0.1}),
    Row("then.executor", "bridge_benchmark", {"post": 1.1}),
    Row("look.100k", "look_benchmark", {"floor": 4.0}, unit="ms"),
    ConstantPeer("look.pause", "look_benchmark", 1.0, unit="ms"),
    ConstantPeer("bridge.wakes", "bridge_benchmark", 1, unit="wakes"),
    IoRow("io.echo", "echo", 100, {"go": 1 / 1.15, "floor": 1 / 0.95}),
    IoCalls("io.echo_calls", "count", 100, {"floor": 1.05}, unit="calls"),
    IoRow("io.echo_pipelined", "stream", 4, {"go": 1 / 1.5}, mode="requests"),
    IoMemory("io.conn_memory", "idle", 4096, 2.0),
    IoRow("io.accept", "accept", 8, {"go": 1.0, "floor": 1.05}),
    Row("io.read_aligned", "file_benchmark", {"floor": 1.05}, unit="s", min_time=0.5),
    HttpRow("io.http_small", 1024, wrk, "ns"),
    HttpRow("io.file_1g", 1 << 30, curl, "s"),
    IoMemory("http.idle_memory", "http_idle", 2048, 1.0, mode="http"),
    IoMemory("ws.idle_memory", "ws_idle", 2048, 1.0, mode="http"),
    HttpsRow("http.tls", 1024, 1.0),
    IoRow("ws.echo", "websocket", 50, {"go": 0.6}, mode="http"),
    CaRow("ca.list", "list", {"libca": 1.3}),
    CaRow("ca.list_vs_single", "one_by_one", {"list": None}),
    CaRow("ca.single", "single", {"libca": 1.15}),
    CaRow("ca.put_wait", "put_wait", {"libca": 1.15}),
    CaRow("ca.monitor", "monitor", {"libca": 2.0}, records=(("ca_counter.db", 1000), ("ca_tick.db", 10)), unit="ns"),
    CaRow("ca.waveform", "waveform", {"libca": 1.2}, records=(("ca_wave.db", 1),)),
    CaRow("ca.connect", "connect", {"libca": 1.2}, records=(("ca_double.db", 1000), ("ca_wave.db", 1))),
    CaRow("ca.pyepics", "list", {"pyepics": 0.1}),
]

# Ours against ours: what the machine's noise alone makes of a ratio.
NOISE = "lock.uncontended"

# A change may cost a row this much: of the same row of the code before it.
BEFORE = 1.02


def interval(values):
    """The narrowest pair of order statistics that covers the median with at least 95 % by the sign test."""
    ordered = sorted(values)
    count = len(ordered)
    best = (ordered[0], ordered[-1])
    for skipped in range(1, count // 2):
        outside = 2 * sum(math.comb(count, k) for k in range(skipped + 1)) / 2**count
        if outside > 0.05:
            break
        best = (ordered[skipped], ordered[-1 - skipped])
    return best


def measure_pair(row, peer, repetitions, bin_dir, before):
    def measure(side):
        return row.measure("ours", before) if side == "before" else row.measure(side, bin_dir)

    ours, theirs, ratios = [], [], []
    for repetition in range(repetitions):
        sides = ["ours", peer] if repetition % 2 == 0 else [peer, "ours"]
        figures = [measure(side) for side in sides]
        mine, other = figures if repetition % 2 == 0 else reversed(figures)
        ours.append(mine)
        theirs.append(other)
        ratios.append(mine / other)
    low, high = interval(ratios)
    return {
        "name": row.name,
        "ours": statistics.median(ours),
        "peer": peer,
        "theirs": statistics.median(theirs),
        "unit": row.unit,
        "ratio": statistics.median(ratios),
        "low": low,
        "high": high,
    }


def print_result(result, target):
    verdict = ""
    if target is not None:
        verdict = f"<= {target:<5g} " + ("MISSED" if result["low"] > target else "ok")
    print(
        f"{result['name']:<23}{result['ours']:>11.4g} {result['unit']:<3}{result['peer']:>11}{result['theirs']:>11.4g}"
        f"{result['ratio']:>9.3f}  [{result['low']:.3f}, {result['high']:.3f}]  {verdict}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(prog="tools/bench")
    parser.add_argument("--json", metavar="FILE", help="also write the rows there")
    parser.add_argument("--repetitions", type=int, default=9, help="at least 7; default 9")
    parser.add_argument(
        "--before",
        type=pathlib.Path,
        metavar="CHECKOUT",
        help=f"measure each row beside the same row of this checkout of older code, and not beside its peers; the target is {BEFORE}",
    )
    parser.add_argument("--bin", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--bin-before", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--list-targets", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="a row's name or the beginning of one; default all")
    options = parser.parse_args()
    if options.repetitions < 7:
        parser.error("fewer than 7 repetitions give no interval at 95 %")
    chosen = [row for row in ROWS if not options.rows or any(row.name.startswith(name) for name in options.rows)]
    if not chosen:
        parser.error(f"no row begins with {' or '.join(options.rows)}; there are {', '.join(row.name for row in ROWS)}")
    noise = next(row for row in ROWS if row.name == NOISE)
    if options.list_targets:
        print(" ".join(sorted({target for row in [noise, *chosen] for target in row.bazel_targets()})))
        return 0

    print(f"{'row':<23}{'ours':>15}{'peer':>11}{'theirs':>11}{'ratio':>9}  95 % interval   target")
    results = [measure_pair(noise, "ours", options.repetitions, options.bin, None)]
    results[0]["name"] = "aa"
    print_result(results[0], None)
    missed = 0
    for row in chosen:
        row.prepare(options.bin)
        targets = {"before": BEFORE} if options.bin_before else row.targets
        for peer, target in targets.items():
            result = measure_pair(row, peer, options.repetitions, options.bin, options.bin_before)
            results.append(result)
            print_result(result, target)
            missed += target is not None and result["low"] > target
    if options.json:
        try:
            pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
        except OSError as error:
            raise SystemExit(f"bench: cannot write {options.json}: {error.strerror}") from error
    print(f"{len(results) - 1} comparisons on {os.cpu_count()} processors; {missed} targets missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
