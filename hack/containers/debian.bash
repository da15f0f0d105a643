# Sourced by the scripts that make images of Debian's packages, for machines that reach no image registry.
#
# The machine's certificates and mirrors stay out of the images.

sources() {
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' |
    awk '$2 == "Debian" && !seen[$1]++ {print $1}' |
    while read -r uri; do
      case $uri in
        *debian-security*) echo "deb $uri $1-security main" ;;
        *) echo "deb $uri $1 main"; echo "deb $uri $1-updates main" ;;
      esac
    done
}

# NAME SUITE PACKAGES HOOK [CHANGES...]: one image, unless it is there already. The hook finds the tree at "$1".
debian_image() {
  local name=$1 suite=$2 packages=$3 hook=$4 change changes=()
  shift 4
  if podman image exists "$name"; then return; fi
  say "making $name"
  for change in "$@"; do changes+=(--change "$change"); done
  sources "$suite" | nice mmdebstrap --quiet --mode=root --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook="$hook" \
    --customize-hook='rm -rf "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/var/log/* "$1"/etc/resolv.conf' \
    "$suite" - - 2>"$state/image.log" | podman import --quiet "${changes[@]}" - "$name" >/dev/null ||
    { cat "$state/image.log" >&2; give_up "$name could not be made"; }
}
