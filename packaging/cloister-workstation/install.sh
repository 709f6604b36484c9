#!/bin/sh
# Sets a workstation up from this folder, or takes it back. Run as root by hand or by any tool that distributes software; again is harmless.
#
#   sh install.sh [--kiosk] [--without-card] [--key FILE]    --key: check the signature with this public key first
#   sh install.sh --remove
#
# DESTDIR=FOLDER prepares an image's tree instead of this machine: files only, no package and no service is touched.
set -eu
cd "$(dirname "$0")"
here=$(pwd)
root=${DESTDIR:-}
kiosk=no card=yes remove=no key=

stop() { echo "error: $1" >&2; echo "hint: $2" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case $1 in
    --kiosk) kiosk=yes ;;
    --without-card) card=no ;;
    --remove) remove=yes ;;
    --key) [ $# -gt 1 ] || stop "--key needs a file." "The public key that cloister workstation key prints."; key=$2; shift ;;
    *) stop "This is no option: $1" "sh install.sh [--kiosk] [--without-card] [--key FILE] | --remove" ;;
  esac
  shift
done
[ -n "$root" ] || [ "$(id -u)" = 0 ] || stop "Only root may set a workstation up." "sudo sh install.sh"

POLICIES="etc/chromium/policies/managed etc/opt/chrome/policies/managed etc/opt/edge/policies/managed"
ANCHOR=usr/local/share/ca-certificates/cloister-trust.crt
UNIT=etc/systemd/system/cloister-kiosk.service

here_only() { [ -z "$root" ] && command -v "$1" >/dev/null 2>&1; }
put() { mkdir -p "$root/$(dirname "$2")"; cp "$1" "$root/$2.new"; chmod "$3" "$root/$2.new"; mv "$root/$2.new" "$root/$2"; }
renew() {
  if here_only update-ca-certificates; then update-ca-certificates >/dev/null; fi
  if here_only systemctl && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
}

if [ $remove = yes ]; then
  if here_only systemctl && [ -f "/$UNIT" ] && [ -d /run/systemd/system ]; then systemctl disable --now cloister-kiosk >/dev/null 2>&1 || :; fi
  for folder in $POLICIES; do rm -f "$root/$folder/cloister.json" "$root/$folder/cloister-kiosk.json"; done
  rm -f "$root/$ANCHOR" "$root/$UNIT"
  rm -rf "$root/etc/cloister-workstation" "$root/usr/lib/cloister-workstation" "$root/usr/share/doc/cloister-workstation"
  renew
  echo "removed; the card agent stays (apt remove cloister-card)"
  exit 0
fi

if [ -n "$key" ]; then
  openssl pkeyutl -verify -rawin -pubin -inkey "$key" -sigfile SHA256SUMS.sig -in SHA256SUMS >/dev/null 2>&1 ||
    stop "This kit was not signed with that key." "Fetch it again, and compare the key's fingerprint with the trust's."
fi
sha256sum --quiet --strict -c SHA256SUMS || stop "A file of this kit is not as it was signed." "Fetch the kit again."

for folder in $POLICIES; do
  case $folder in *edge*) from=edge ;; *) from=chromium ;; esac
  put "$from/cloister.json" "$folder/cloister.json" 644
  if [ $kiosk = yes ]; then put "$from/cloister-kiosk.json" "$folder/cloister-kiosk.json" 644; else rm -f "$root/$folder/cloister-kiosk.json"; fi
done
if [ -f trust/cloister-trust.crt ]; then put trust/cloister-trust.crt "$ANCHOR" 644; fi
put README.txt usr/share/doc/cloister-workstation/README 644
put kit.json etc/cloister-workstation/kit.json 644
put card/origins etc/cloister-card/origins 644

if [ $kiosk = yes ]; then
  put kiosk/kiosk.conf etc/cloister-workstation/kiosk.conf 644
  put kiosk/kiosk usr/lib/cloister-workstation/kiosk 755
  put kiosk/cloister-kiosk.service "$UNIT" 644
  if [ -z "$root" ]; then
    id cloister-kiosk >/dev/null 2>&1 || useradd --system --shell /usr/sbin/nologin --no-create-home cloister-kiosk
    if here_only systemctl && [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl enable cloister-kiosk >/dev/null 2>&1; fi
    command -v cage >/dev/null 2>&1 || echo "hint: apt install cage xwayland chromium" >&2
  fi
fi
if [ $card = yes ] && [ -z "$root" ] && ls card/cloister-card_*_all.deb >/dev/null 2>&1; then
  if command -v apt-get >/dev/null 2>&1; then
    apt-get install -y -qq -o Dpkg::Options::=--force-confold "$here"/card/cloister-card_*_all.deb >/dev/null ||
      stop "The card agent could not be installed." "See apt's words above, or leave it out: --without-card"
    if here_only systemctl; then systemctl --global enable cloister-card >/dev/null 2>&1 || :; fi
  else
    echo "hint: no apt here: the card agent is one Python file in card/, to be installed by other means" >&2
  fi
fi
renew
echo "set up: $(sed -n 's/.*"origin": *"\([^"]*\)".*/\1/p' kit.json), kit $(sed -n 's/.*"version": *"\([^"]*\)".*/\1/p' kit.json)"
