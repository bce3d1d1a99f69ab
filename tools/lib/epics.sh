#!/bin/bash
# Sourced by the scripts beside it: where EPICS is, for //catools and its tests.
#
# A site that runs EPICS names its own build by EPICS_BASE, and by EPICS_HOST_ARCH where that build has several. Elsewhere Debian's source
# package is built once (its binary packages have neither headers nor programs), into the user's cache: half a minute of two processors for
# each of libCom, libca and the IOC.

readonly EPICS_VERSION=7.0.3.1-4

# What //catools and its tests use of it.
readonly -a EPICS_PROGRAMS=(softIoc caget caput camonitor cainfo)

_epics_cache() { echo "${XDG_CACHE_HOME:-$HOME/.cache}/mothreads-epics"; }

# find_epics: prints "FOLDER ARCHITECTURE" of the EPICS that is there, or says on stderr what is missing, and fails.
find_epics() {
  local base architecture file
  if [[ -n ${EPICS_BASE:-} ]]; then
    base=$EPICS_BASE
    architecture=${EPICS_HOST_ARCH:-}
    if [[ -z $architecture && -f $base/lib/perl/EpicsHostArch.pl ]]; then architecture=$(perl "$base/lib/perl/EpicsHostArch.pl"); fi
    if [[ -z $architecture ]]; then
      echo "EPICS_BASE is $base, but nothing says for which architecture it was built: set EPICS_HOST_ARCH, to linux-x86_64 for example." >&2
      return 1
    fi
  else
    base=$(_epics_cache)/$EPICS_VERSION
    architecture=$(cat "$base/architecture" 2>/dev/null) || architecture=none
    if [[ $architecture == none ]]; then
      echo "There is no EPICS: EPICS_BASE is not set, and $base has not been built. Run tools/epics, which builds it." >&2
      return 1
    fi
  fi
  for file in include/cadef.h include/os/Linux/osdThread.h "lib/$architecture/libca.so" "lib/$architecture/libCom.so" \
    "${EPICS_PROGRAMS[@]/#/bin/$architecture/}"; do
    if [[ ! -e $base/$file ]]; then
      echo "$base is no complete build of EPICS for $architecture: it has no $file." >&2
      return 1
    fi
  done
  echo "$base $architecture"
}

# need_epics: builds EPICS when there is none, or ends the script with what failed. Two at a time build it once.
need_epics() {
  if [[ -n ${EPICS_BASE:-} ]]; then
    find_epics >/dev/null || exit 1
    return 0
  fi
  if find_epics >/dev/null 2>&1; then return 0; fi
  need_packages build epics
  local cache
  cache=$(_epics_cache)
  mkdir -p "$cache" || exit 1
  (
    flock 9
    if find_epics >/dev/null 2>&1; then exit 0; fi
    # What an interrupted run has left: nobody else is here.
    rm -rf "$cache"/build.* "${cache:?}/$EPICS_VERSION"
    folder=$(mktemp -d "$cache/build.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 1' INT TERM
    echo "Building EPICS $EPICS_VERSION from Debian's source package, once, in $cache ..."
    _build_epics "$folder" && mv -T "$folder/installed" "$cache/$EPICS_VERSION"
  ) 9>"$cache/lock" || exit 1
  find_epics >/dev/null || exit 1
}

# _epics_step FOLDER WHAT COMMAND...: runs it with its output in a file, of which the end is shown when it fails.
_epics_step() {
  local log=$1/log what=$2
  shift 2
  if "$@" >"$log" 2>&1 </dev/null; then return 0; fi
  tail -n 15 "$log" >&2
  echo "EPICS could not be built: $what failed; its last lines are above." >&2
  return 1
}

_build_epics() {
  local folder=$1 source architecture
  _fetch_epics "$folder" || return 1
  source=$folder/epics-base-${EPICS_VERSION%-*}
  # Programs find the libraries by the way from where they are, so that the folder may be moved.
  local options=(-j"$(nproc)" STATIC_BUILD=NO SHARED_LIBRARIES=YES LINKER_USE_RPATH=ORIGIN)
  _epics_step "$folder" "make configure" make -C "$source" "${options[@]}" configure || return 1
  _epics_step "$folder" "make src" make -C "$source" "${options[@]}" src || return 1
  _epics_step "$folder" "making libCom" make -C "$source/modules/libcom/src" "${options[@]}" || return 1
  _epics_step "$folder" "making libca" make -C "$source/modules/ca/src" "${options[@]}" client tools || return 1
  _epics_step "$folder" "making softIoc" make -C "$source/modules/database/src" "${options[@]}" tools ioc std || return 1

  architecture=$(perl "$source/lib/perl/EpicsHostArch.pl") || return 1
  mkdir -p "$folder/installed/lib" "$folder/installed/bin" || return 1
  cp -a "$source/include" "$source/dbd" "$folder/installed/" || return 1
  if [[ -d $source/db ]]; then cp -a "$source/db" "$folder/installed/" || return 1; fi
  mkdir "$folder/installed/lib/$architecture" "$folder/installed/bin/$architecture" || return 1
  cp -a "$source/lib/$architecture"/*.so* "$folder/installed/lib/$architecture/" || return 1
  local program
  for program in "${EPICS_PROGRAMS[@]}"; do
    cp "$source/bin/$architecture/$program" "$folder/installed/bin/$architecture/" || return 1
  done
  echo "$architecture" >"$folder/installed/architecture"
}

# The source package, by lists of sources of our own that name the machine's own mirrors. The machine's own lists stay as they are.
_fetch_epics() {
  local folder=$1 codename signed=
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg  # which not every machine's apt trusts for all sources
  mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial" || return 1
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  if [[ -e $keys ]]; then signed="[signed-by=$keys] "; fi
  apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' "Created-By: Packages" 2>/dev/null |
    awk -v codename="$codename" -v signed="$signed" '$2 == codename && $3 == "main" { print "deb-src " signed $0 }' |
    sort -u >"$folder/apt/sources.list"
  if [[ ! -s $folder/apt/sources.list ]]; then
    echo "EPICS could not be fetched: apt's sources name no mirror of \"$codename main\"." >&2
    return 1
  fi
  local options=(
    -o "Dir::Etc::sourcelist=$folder/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o "Dir::State::lists=$folder/apt/lists" -o "Dir::Cache=$folder/apt/cache"
    # The folder is this user's alone, which apt's own user could not enter.
    -o "APT::Sandbox::User=$(id -un)" -o Acquire::Languages=none
  )
  _epics_step "$folder" "fetching the list of source packages" apt-get "${options[@]}" update || return 1
  _epics_step "$folder" "fetching the source package" env --chdir="$folder" apt-get "${options[@]}" source "epics-base=$EPICS_VERSION" || return 1
}
