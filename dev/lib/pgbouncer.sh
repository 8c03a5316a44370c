# shellcheck shell=bash
# PgBouncer of Debian 13, from its package and those of the two libraries that a server does not have, unpacked into a
# folder of the cache: nothing is installed, and nothing else is started. Needs postgres.sh and trixie.sh.

PGBOUNCER_RELEASE=trixie-pgbouncer
PGBOUNCER_PACKAGES=(pgbouncer libcares2 libevent-2.1-7t64)
PGBOUNCER_HOME=$STATE/pgbouncer
PGBOUNCER_LOG=$LOGS/pgbouncer.log

pgbouncer_fetch_into() {
  local root log=$LOGS/pgbouncer-fetch.log package
  local -a reach
  root=$(postgres_root)
  mapfile -t reach < <(apt_reach_options)
  say "fetching PgBouncer"
  (
    # shellcheck disable=SC2016  # expanded by the inner shell
    enter "$root" "$1" "$POSTGRES_MOUNT_POINT" "$root" \
      bash -euc 'cd "$1" && shift && apt-get "$@"' fetch "$POSTGRES_MOUNT_POINT" \
      "${reach[@]}" -o APT::Sandbox::User=root download "${PGBOUNCER_PACKAGES[@]}"
  ) >"$log" 2>&1 </dev/null 8>&- || fail_with_log "$log" "could not fetch ${PGBOUNCER_PACKAGES[*]}"
  for package in "$1"/*.deb; do
    dpkg-deb --extract "$package" "$1/root"
    rm -- "$package"
  done
  mkdir -- "$1/program"
  cp -- "$1/root/usr/sbin/pgbouncer" "$1"/root/usr/lib/*/lib{cares,event}*.so.* "$1/program"
  rm -rf -- "$1/root"
}

# Its own defaults, but for what has to be said: where it listens, whom it lets in, and the mode that is asked for.
pgbouncer_write_settings() {
  printf '"sensorpipe" ""\n"postgres" ""\n' >"$PGBOUNCER_HOME/users.txt"
  cat >"$PGBOUNCER_HOME/pgbouncer.ini" <<END
[databases]
* = host=127.0.0.1 port=$POSTGRES_PORT
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $PGBOUNCER_PORT
unix_socket_dir =
auth_type = trust
auth_file = $1/users.txt
pool_mode = $PGBOUNCER_POOL_MODE
$PGBOUNCER_SETTINGS
END
}
