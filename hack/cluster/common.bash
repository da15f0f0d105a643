# Sourced by the scripts beside it: what they share beyond hack/containers/common.bash, whose engine, storage, network
# namespace and stand-ins are the clusters' too. Not for use on its own.
source "$(dirname "${BASH_SOURCE[0]}")/../containers/common.bash"
source "$checkout/hack/cluster/versions.bash"
source "$checkout/hack/apt.bash"

say() { printf 'cluster: %s\n' "$*" >&2; }

home=$cache/cluster-$(sha256sum <"$checkout/hack/cluster/versions.bash" | cut -c1-12)
programs=$home/bin
clusters=$cache/clusters
mkdir -p "$programs" "$clusters"

# One set-up at a time, whoever asks; the lock goes with the process, and is its children's too.
only_one() {
  if [[ -n ${CLUSTER_LOCKED:-} ]]; then return; fi
  exec 8>"$cache/cluster.lock"
  flock 8
  export CLUSTER_LOCKED=1
}

# Runs a command that downloads, twice more where that breaks off; what it has by then it does not fetch again.
persist() { "$@" || { sleep 5; "$@"; } || { sleep 20; "$@"; }; }

# FILE DIRECTORY/NAME: a file is there when it is whole, wherever it comes from and whenever this is killed.
place() {
  cp "$1" "$2.new"
  mv "$2.new" "$2"
}

# Installs what is missing of the Debian packages given as PROGRAM:PACKAGE or /A/FILE:PACKAGE.
install_missing() {
  local needed packages=()
  for needed in "$@"; do
    if [[ $needed == /* ]]; then [[ -e ${needed%%:*} ]] && continue; else command -v "${needed%%:*}" >/dev/null && continue; fi
    packages+=("${needed##*:}")
  done
  if ((${#packages[@]} == 0)); then return; fi
  ((EUID == 0)) || give_up "these Debian packages are needed, and only root can install them: ${packages[*]}"
  command -v apt-get >/dev/null || give_up "there is no apt-get here; install what these Debian packages hold: ${packages[*]}"
  say "installing ${packages[*]}"
  apt_update
  apt_install "${packages[@]}"
}

# The node image's name, made anew when its recipe changes. Empty means kind's own, which comes from a registry.
node_image() {
  if [[ -n ${CLUSTER_NODE_IMAGE:-} ]] || ! is_podman; then
    echo "${CLUSTER_NODE_IMAGE:-}"
    return
  fi
  local recipe
  recipe=$(cd "$checkout/hack/cluster" && cat versions.bash node-image node/* | sha256sum | cut -c1-12)
  echo "localhost/claude-mem-node:$recipe-$stand_ins"
}

# Takes the network namespace away when nothing is left in it: no container, and no process but its name server.
release_namespace() {
  local names=/run/claude-mem/$number/names.pid server=
  if ! is_podman || [[ ! -e /run/netns/$namespace || -n $(podman ps --all --quiet) ]]; then return; fi
  if [[ -e $names ]]; then server=$(<"$names"); fi
  if ip netns pids "$namespace" | grep --quiet --invert-match --line-regexp --fixed-strings "${server:-none}"; then
    return
  fi
  if [[ -n $server ]]; then kill "$server" 2>/dev/null || true; rm -f "$names"; fi
  podman network rm kind >/dev/null 2>&1 || true
  ip netns del "$namespace"
}
