# shellcheck shell=bash
# Installs what is missing and nothing else. `need_...` collects, `install_needed` installs:
# one apt-get update at most in a run, also across the scripts that call each other.

NEEDED=()

# need_tool COMMAND PACKAGE
need_tool() {
  command -v "$1" >/dev/null || NEEDED+=("$2")
}

# need_library PKG_CONFIG_NAME PACKAGE
need_library() {
  pkg-config --exists "$1" 2>/dev/null || NEEDED+=("$2")
}

# need_package PACKAGE: where there is no command to look for.
need_package() {
  package_installed "$1" || NEEDED+=("$1")
}

package_installed() {
  [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# librdkafka is compiled by cmake; its OAuth code includes curl's header.
need_build_packages() {
  need_tool cmake cmake
  need_tool make make
  need_tool gcc gcc
  need_tool g++ g++
  need_tool pkg-config pkg-config
  need_library libssl libssl-dev
  need_library libcurl libcurl4-openssl-dev
  need_library zlib zlib1g-dev
}

need_tls_packages() {
  need_tool openssl openssl
}

need_kafka_packages() {
  need_tool java default-jre-headless
  need_tool mvn maven
  need_tool kcat kcat
}

# Java runs a source file only where its compiler is.
need_producer_packages() {
  need_kafka_packages
  need_python_packages
  need_tool javac default-jdk-headless
  need_tool kcat kcat
}

# The server is the distribution's own where it has TimescaleDB, otherwise Debian 13's in a folder.
need_postgres_packages() {
  need_tool psql postgresql-client
  if native_timescaledb; then
    need_package "$TIMESCALEDB_PACKAGE"
    return
  fi
  ((EUID == 0)) ||
    fail "this distribution has no $TIMESCALEDB_PACKAGE: postgres needs Debian 13 in a folder, and that needs root: run dev/services as root"
  unshare --mount true 2>/dev/null ||
    fail "this distribution has no $TIMESCALEDB_PACKAGE: postgres needs Debian 13 in a folder, and this root may not mount"
  if [[ ! -d $CACHE/$TRIXIE_RELEASE ]]; then
    need_tool debootstrap debootstrap
    need_package debian-archive-keyring
  fi
}

need_test_packages() {
  need_tool kcat kcat
  need_tool jq jq
  need_tool curl curl
}

# The browser that the pages are tested in; Playwright brings everything else, its own Node.js included.
need_browser_packages() {
  need_tool chromium chromium
}

require_rust() {
  command -v cargo >/dev/null ||
    fail "cargo is missing: install Rust first (rustup, or your distribution's packages), then run this again"
}

install_needed() {
  if ((${#NEEDED[@]} == 0)); then
    return
  fi
  local wanted
  wanted=$(printf '%s\n' "${NEEDED[@]}" | sort -u | tr '\n' ' ')
  wanted=${wanted% }
  local -a packages
  read -ra packages <<<"$wanted"
  local by_hand="apt-get update && apt-get install --no-install-recommends -y $wanted"
  command -v apt-get >/dev/null ||
    fail "missing: $wanted (Debian's names); there is no apt-get here: install them by hand"
  ((EUID == 0)) || fail "missing: $wanted; as root: $by_hand"
  say "installing $wanted"
  make_logs
  update_package_lists
  DEBIAN_FRONTEND=noninteractive apt-get install -o DPkg::Lock::Timeout=300 --no-install-recommends -y "${packages[@]}" \
    </dev/null >"$LOGS/packages.log" 2>&1 8>&- 9>&- ||
    fail_with_log "$LOGS/packages.log" "could not install $wanted; by hand: $by_hand"
  NEEDED=()
}

update_package_lists() {
  if [[ -z ${SENSORPIPE_APT_UPDATED:-} ]]; then
    make_logs
    apt-get update >"$LOGS/packages.log" 2>&1 || fail_with_log "$LOGS/packages.log" "apt-get update failed"
    export SENSORPIPE_APT_UPDATED=1
  fi
}
