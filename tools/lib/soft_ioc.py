"""The IOC of EPICS on loopback, for the rows ca.* of tools/bench."""

import os
import pathlib
import socket
import subprocess
import threading

READY = "iocRun: All initialization complete"


def epics_programs():
    """The folder of softIoc, where tools/lib/epics.sh finds EPICS."""
    script = pathlib.Path(__file__).parent / "epics.sh"
    found = subprocess.run(["bash", "-c", 'source "$1"; find_epics', "find_epics", script], stdout=subprocess.PIPE, text=True, check=True)
    base, architecture = found.stdout.strip().rsplit(" ", 1)
    return pathlib.Path(base) / "bin" / architecture


def free_port():
    """Free for TCP and UDP a moment ago."""
    for _ in range(100):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            stream.bind(("127.0.0.1", 0))
            try:
                datagrams.bind(stream.getsockname())
            except OSError:
                continue
            return stream.getsockname()[1]
    raise SystemExit("bench: no port of loopback is free")


def environment_of(port, repeater_port):
    """Clients and servers with it know nothing but loopback, and these ports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EPICS_CA_", "EPICS_CAS_"))}
    return kept | {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(repeater_port),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_PORT": str(repeater_port),
    }


class SoftIoc:
    """Serves `records`, pairs of a file and its macros, in a `with` statement; `environment` is that of its clients.

    `repeater` is the command of a repeater: without one each client would try to start its own, and complain that it cannot.
    """

    def __init__(self, records, repeater):
        self.environment = environment_of(free_port(), free_port())
        self.commands = [repeater, [epics_programs() / "softIoc"]]
        for file, macros in records:
            self.commands[1] += ["-m", ",".join(f"{name}={value}" for name, value in macros.items()), "-d", file]
        self.processes = []

    def __enter__(self):
        try:
            for command in self.commands:
                # It ends with its standard input, too: softIoc's shell reads that.
                self.processes.append(
                    subprocess.Popen(
                        command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
                    )
                )
            said = []
            for line in self.processes[1].stdout:
                said.append(line)
                if READY in line:
                    break
            else:
                raise SystemExit(f"bench: softIoc did not start: {''.join(said)[-500:]}")
            # A full pipe would stop it.
            threading.Thread(target=self.processes[1].stdout.read, daemon=True).start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
            for stream in (process.stdin, process.stdout):
                try:
                    stream.close()
                except OSError:
                    pass  # what was not written is of no use any more
