# Sourced by the scripts beside it: what they share beyond hack/containers/common.bash, whose engine, storage, network
# namespace and stand-ins are the clusters' too. Not for use on its own.
source "$(dirname "${BASH_SOURCE[0]}")/../containers/common.bash"
source "$checkout/hack/cluster/versions.bash"

say() { printf 'cluster: %s\n' "$*" >&2; }

home=$cache/cluster-$(sha256sum <"$checkout/hack/cluster/versions.bash" | cut -c1-12)
programs=$home/bin
clusters=$cache/clusters
mkdir -p "$programs" "$clusters"

# One set-up at a time, whoever asks; the lock goes with the process.
only_one() { exec 8>"$cache/cluster.lock"; flock 8; }

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
  apt-get -qq update || true
  DEBIAN_FRONTEND=noninteractive \
    apt-get -qq -o Dpkg::Use-Pty=0 install --yes --no-install-recommends "${packages[@]}" >/dev/null
}
