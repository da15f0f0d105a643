# Sourced by the scripts beside it: which engine they use, and where its things are. Not for use on its own.
#
# With a Docker daemon it is that. Without one it is Podman as root, kept apart from any other Podman of this machine: a
# storage of its own in the cache, and a network namespace of its own, from which nothing leaves the machine.

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/claude-mem
state=$cache/containers
# Two caches are two Podmans: neither may meet the other's networks and mounts.
number=$(printf %s "$state" | cksum | cut -d' ' -f1)
namespace=claude-mem-$number

say() { printf 'containers: %s\n' "$*" >&2; }
# What cannot be had here is told with its reason; 69 is sysexits' "unavailable".
give_up() { say "$*"; exit 69; }

if [[ -z ${CLAUDE_MEM_CONTAINER_ENGINE:-} ]]; then
  CLAUDE_MEM_CONTAINER_ENGINE=podman
  if docker info >/dev/null 2>&1; then CLAUDE_MEM_CONTAINER_ENGINE=docker; fi
fi
export CLAUDE_MEM_CONTAINER_ENGINE
is_podman() { [[ $CLAUDE_MEM_CONTAINER_ENGINE == podman ]]; }

# The stand-ins are made anew when their recipe changes.
stand_ins=$(cat "$checkout"/hack/containers/{stand-ins,debian.bash} | sha256sum | cut -c1-12)
compose_version=$(sed -n 's/^podman-compose==\([0-9.]*\).*/\1/p' "$checkout/hack/containers/podman-compose.txt")
podman_compose=$cache/podman-compose-$compose_version/bin/podman-compose

at_most() { if [[ $1 == unlimited || $1 -gt $2 ]]; then echo "$2"; else echo "$1"; fi; }

configure_podman() {
  mkdir -p "$state/networks"
  # Limits stay within this process's own, because raising one needs a capability that a sandbox may lack. runc, because
  # crun refuses hybrid control groups. No systemd is needed for any of it. A container on two networks has two name
  # servers, and while a container restarts the first may be deaf for most of a minute: one second is enough to wait for it.
  cat >"$state/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=$(at_most "$(ulimit -Hn)" 20000):$(at_most "$(ulimit -Hn)" 20000)", "nproc=$(at_most "$(ulimit -Hu)" 20000):$(at_most "$(ulimit -Hu)" 20000)"]
log_driver = "k8s-file"
dns_options = ["timeout:1"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
runtime = "runc"
tmp_dir = "/run/claude-mem/$number/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$state/networks"
CONF
  cat >"$state/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$state/storage"
runroot = "/run/claude-mem/$number/storage"
CONF
  echo 'unqualified-search-registries = []' >"$state/registries.conf"
  export CONTAINERS_CONF=$state/containers.conf CONTAINERS_STORAGE_CONF=$state/storage.conf
  export CONTAINERS_REGISTRIES_CONF=$state/registries.conf
  # HEALTHCHECK is Docker's, not OCI's: builds keep it in the docker format only.
  export BUILDAH_FORMAT=docker BUILDAH_ISOLATION=chroot
  # Podman would have systemd time the health checks; where there is none, whoever wants an answer asks.
  if [[ ! -d /run/systemd/system ]]; then export DISABLE_HC_SYSTEMD=true; fi
  export PYTHON_IMAGE=localhost/claude-mem-stand-in/python:$stand_ins
  export POSTGRES_IMAGE=localhost/claude-mem-stand-in/postgres:$stand_ins
  export VALKEY_IMAGE=localhost/claude-mem-stand-in/valkey:$stand_ins
}

# Keeps unknown_names.py at the addresses of the machine's name servers, in the namespace.
answer_names() {
  local pid_file=/run/claude-mem/$number/names.pid servers server
  mapfile -t servers < <(awk '$1 == "nameserver" && $2 !~ /^127\.|:/ {print $2}' /etc/resolv.conf)
  if ((${#servers[@]} == 0)) || [[ $(ps -o args= -p "$(cat "$pid_file" 2>/dev/null || echo 1)") == *unknown_names* ]]; then
    return
  fi
  for server in "${servers[@]}"; do
    nsenter --net="/run/netns/$namespace" ip address replace "$server/32" dev lo
  done
  mkdir -p "${pid_file%/*}"
  setsid nsenter --net="/run/netns/$namespace" "${podman_compose%/*}/python" \
    "$checkout/hack/containers/unknown_names.py" "${servers[@]}" </dev/null >/dev/null 2>&1 &
  echo $! >"$pid_file"
}

# Runs a command where published ports are reached: in the namespace, or with Docker right here.
within() {
  if ! is_podman || [[ $(ip netns identify "$$" 2>/dev/null) == "$namespace" ]]; then
    "$@"
    return
  fi
  if [[ ! -e /run/netns/$namespace ]]; then
    ip netns add "$namespace"
    nsenter --net="/run/netns/$namespace" ip link set lo up
  fi
  answer_names
  # Not `ip netns exec`: that mounts a fresh /sys, and the control groups are gone.
  nsenter --net="/run/netns/$namespace" "$@"
}

if is_podman; then configure_podman; fi
