# Sourced by the scripts that install Debian packages. Not for use on its own.
#
# A fresh machine updates itself just then: whoever holds apt's locks is waited for.

apt_patience=900

# Runs a command as root. Who is not defines it otherwise.
as_root() { "$@"; }

# What the mirrors hold now. Where they cannot be reached, what is known of them may do.
apt_update() {
  local said until=$((SECONDS + apt_patience))
  while ! said=$(as_root apt-get -qq update 2>&1); do
    if [[ $said != *"/lock"* ]] || ((SECONDS > until)); then printf '%s\n' "$said" >&2; return; fi
    sleep 2
  done
}

# PACKAGE...
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o "DPkg::Lock::Timeout=$apt_patience" \
    install --yes --no-install-recommends "$@" >/dev/null
}
