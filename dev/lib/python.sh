# shellcheck shell=bash
# Python programs of others, each in a virtual environment of the cache. Which index they come from is pip's own
# configuration.

# A Debian python3 has no ensurepip without python3-venv, which also brings python3 itself.
need_python_packages() {
  python3 -c 'import ensurepip, venv' 2>/dev/null || NEEDED+=(python3-venv)
}

# python_venv NAME REQUIREMENTS_FILE: prints the folder of an environment that has exactly what the file pins.
# Other pins, or another Python, make another folder.
python_venv() {
  local name=$1 requirements=$2 python pins folder
  python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  pins=$(sha256sum <"$requirements")
  name=$name-python-$python-${pins:0:12}
  folder=$CACHE/$name
  make_logs
  mkdir -p -- "$CACHE"
  # Not `cached`: the programs in an environment name its folder, so it cannot be moved there when it is complete.
  (
    exec 8>>"$CACHE/$name.lock" || fail "cannot write to $CACHE"
    flock 8
    [[ -e $folder/complete ]] || python_venv_fill "$folder" "$requirements" "$LOGS/$name.log"
  ) || return
  printf '%s\n' "$folder"
}

python_venv_fill() {
  local folder=$1 requirements=$2 log=$3
  say "installing what $requirements pins (log: $log)"
  rm -rf --one-file-system -- "$folder"
  python3 -m venv -- "$folder" >"$log" 2>&1 </dev/null 8>&- ||
    fail_with_log "$log" "could not make a virtual environment in $folder"
  "$folder/bin/python" -m pip install --disable-pip-version-check --no-input --no-cache-dir --only-binary :all: \
    --requirement "$requirements" >>"$log" 2>&1 </dev/null 8>&- ||
    fail_with_log "$log" "could not install what $requirements pins"
  touch -- "$folder/complete"
}
