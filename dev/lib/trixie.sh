# shellcheck shell=bash
# Debian 13 in a folder of the cache, for a PostgreSQL with TimescaleDB where the distribution has none.
# Mounts are made in a mount namespace of the process that needs them: they end with it, no other process
# sees them, and deleting a folder can never delete through one.

TRIXIE_RELEASE=trixie-postgresql-17-timescaledb

# enter ROOT FOLDER MOUNT_POINT COMMAND...: runs the command in ROOT with FOLDER mounted at MOUNT_POINT.
# The process that is started becomes the command: same pid. DETACHED=1: in a session of its own, which Ctrl-C
# at this terminal does not reach.
enter() {
  # shellcheck disable=SC2016  # expanded by the inner shell
  exec ${DETACHED:+setsid} unshare --mount bash -euc '
    root=$1 folder=$2 mount_point=$3
    shift 3
    if [[ $root != / ]]; then
      mount --rbind /proc "$root/proc"
      mount --rbind /dev "$root/dev"
    fi
    if [[ -n $folder ]]; then
      mkdir -p "$root/$mount_point"
      mount --bind "$folder" "$root/$mount_point"
    fi
    exec chroot "$@"
  ' enter "$@"
}

# The Debian mirror that this machine uses; elsewhere debootstrap's own default.
debian_mirror() {
  if grep -qx 'ID=debian' /etc/os-release; then
    # shellcheck disable=SC2016  # apt's placeholders
    apt-get indextargets --format '$(CREATED_BY) $(COMPONENT) $(RELEASE) $(REPO_URI)' |
      awk '$1 == "Packages" && $2 == "main" && $3 !~ /-/ && $4 ~ /^https?:/ { print $4; exit }'
  fi
}

# How this machine's apt reaches its mirror, as options for the inner apt. Without credentials.
apt_reach_options() {
  apt-config dump --format '%f=%v%n' Acquire 2>/dev/null |
    grep -E '^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy)=.+' |
    sed 's/^/-o\n/' || true
}

trixie_fetch_into() {
  local root=$1/root log=$LOGS/trixie.log mirror
  local -a reach
  make_logs
  mirror=$(debian_mirror)
  mapfile -t reach < <(apt_reach_options)

  say "fetching Debian 13 (debootstrap, about half a minute; log: $log)"
  unshare --mount debootstrap --variant=minbase trixie "$root" ${mirror:+"$mirror"} >"$log" 2>&1 </dev/null ||
    fail_with_log "$log" "debootstrap failed"

  say "installing $TIMESCALEDB_PACKAGE in it"
  echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
  # No cluster of Debian's making: each state folder makes its own.
  mkdir -p "$root/etc/postgresql-common/createcluster.d"
  echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.d/none.conf"
  (
    export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 TMPDIR=/tmp
    enter "$root" '' '' "$root" apt-get "${reach[@]}" install --no-install-recommends -y "$TIMESCALEDB_PACKAGE"
  ) >>"$log" 2>&1 </dev/null || fail_with_log "$log" "could not install $TIMESCALEDB_PACKAGE in Debian 13"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin
  [[ -x $root/$POSTGRES_PROGRAMS/postgres ]] || fail "no PostgreSQL in $root after installing $TIMESCALEDB_PACKAGE"
}
