#!/bin/bash
# Sourced by the scripts beside it: which Debian packages serve which purpose, and how they get installed.

packages_for() {
  case $1 in
    build) echo g++ python3 libabsl-dev libboost1.81-dev libc-ares-dev libconcurrentqueue-dev libfmt-dev libspdlog-dev libssl-dev liburing-dev ;;
    # To build EPICS, where the site has none: epics.sh.
    epics) echo dpkg-dev libreadline-dev make perl ;;
    examples) echo libcli11-dev ;;
    test) echo chromium curl gdb libgmock-dev libunwind-dev nlohmann-json3-dev openssl python3-pyepics valgrind wrk ;;
    # The sanitizers of clang match suppressions against symbols, which llvm's symbolizer looks up.
    clang) echo clang-14 libclang-rt-14-dev lld-14 llvm ;;
    bench) echo curl findutils golang-go golang-golang-x-net-dev libbenchmark-dev libboost-fiber1.81-dev libev-dev libtbb-dev libuv1-dev nginx-light openssl python3-pyepics strace util-linux wrk ;;
    *) echo "packages_for: no purpose named $1" >&2; return 1 ;;
  esac
}

missing_packages() {
  # Any bazel will do; where there is none, Debian's.
  command -v bazel >/dev/null || echo bazel-bootstrap
  local native purpose package
  native=$(dpkg --print-architecture 2>/dev/null || true)
  for purpose; do
    for package in $(packages_for "$purpose"); do
      # A package of another architecture may be installed beside it, or instead.
      dpkg-query -W -f='${db:Status-Status} ${Architecture}\n' "$package" 2>/dev/null |
        grep -qxE "installed ($native|all)" || echo "$package"
    done
  done
}

# need_packages PURPOSE...: installs what is missing, or ends the script with a list of it.
need_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  echo "Missing Debian packages: ${missing[*]}"

  local as_root=()
  if ((EUID != 0)); then
    as_root=(sudo)
    # Without a terminal sudo cannot ask for a password.
    [[ -t 0 ]] || as_root+=(-n)
  fi
  if ! command -v apt-get >/dev/null; then
    echo "There is no apt-get here to install them: this needs Debian 12." >&2
    exit 1
  elif ! "${as_root[@]}" true 2>/dev/null; then
    _say_how_to_install "Installing them needs root or sudo." "${missing[@]}"
  fi

  echo "Installing them and what they depend on${as_root:+, with sudo} ..."
  local log
  log=$(mktemp)
  if ! "${as_root[@]}" bash -s -- "${missing[@]}" >"$log" 2>&1 <<'INSTALL'
    export DEBIAN_FRONTEND=noninteractive
    # An index that cannot be fetched is no reason to stop: what is known already may do.
    apt-get update || true
    exec apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=600 "$@" </dev/null
INSTALL
  then
    tail -n 3 "$log" >&2
    rm -f "$log"
    _say_how_to_install "Installing them failed; apt-get's last lines are above. Is there a network?" "${missing[@]}"
  fi
  echo "Installed $(grep -c '^Setting up ' "$log") packages."
  rm -f "$log"
}

_say_how_to_install() {
  echo "$1 As root:" >&2
  shift
  echo "    apt-get install --no-install-recommends $*" >&2
  exit 1
}
