#!/bin/bash
# Builds and runs tests/consumer, a workspace that depends on this one as a user's would.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/consumer"

# Beside the folder that is emptied for each run, so that only what has changed is built again.
outputs=$(dirname "$TEST_TMPDIR")/consumer
mkdir -p "$outputs"
export HOME=$outputs
bazel() {
  command bazel --output_user_root="$outputs" --max_idle_secs=5 "$@" --noshow_progress --nosandbox_debug </dev/null
}
bazel run --symlink_prefix=/ //:my_service

# A user needs no package that only our tests, examples and benchmarks use.
external=$(bazel info output_base)/external
for name in cli11 com_github_google_benchmark com_google_googletest libuv onetbb openssl; do
  if [[ -e $external/$name ]]; then
    echo "//mothreads made its user fetch @$name" >&2
    exit 1
  fi
done
[[ -e $external/com_google_absl ]]
