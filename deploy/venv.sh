#!/bin/sh
# Makes .venv beside the Makefile and installs the hash-locked packages: "run" or "dev".
# Says in one sentence what is wrong; pip's own words are in .venv/install.log.
set -u
kind=${1:-run}
case $kind in run) lock=requirements.lock ;; *) kind=dev lock=requirements-dev.lock ;; esac
say() { printf '%s\n' "$*" >&2; }
enough='import sys; sys.exit(sys.version_info < (3, 11))'

# A stamp keeps the fingerprint of what is installed; "dev" contains "run".
print=$(cksum <"$lock" | tr ' ' -)
if [ -x .venv/bin/python ] && .venv/bin/python -c "$enough" 2>/dev/null; then
    [ "$(cat .venv/.installed-$kind 2>/dev/null)" = "$print" ] && exit 0
    [ $kind = run ] && [ "$(cat .venv/.run-by-dev 2>/dev/null)" = "$print" ] && exit 0
fi

python=''
for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && "$candidate" -c "$enough" 2>/dev/null; then
        python=$candidate
        break
    fi
    [ -n "${PYTHON:-}" ] && break
done
if [ -z "$python" ]; then
    found=$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
    say "Liandiao needs Python 3.11 or newer, and ${PYTHON:-python3} is ${found:-not there}: install one, or name one with: make ${MAKE_TARGET:-setup} PYTHON=/path/to/python3.11"
    exit 1
fi

if ! { [ -x .venv/bin/python ] && .venv/bin/python -c "$enough" && .venv/bin/python -m pip --version; } >/dev/null 2>&1; then
    say "Making the virtual environment .venv with $("$python" --version)."
    if ! words=$("$python" -m venv --clear .venv 2>&1); then
        say "$words"
        say "The virtual environment .venv could not be made: this Python lacks its venv module (Debian and Ubuntu: install python3-venv), the disk is full, or this folder is not writable for you."
        exit 1
    fi
fi
rm -f .venv/.installed-* .venv/.run-by-dev
say "Installing the locked packages of $lock (a few minutes the first time)."
if ! .venv/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar off \
    --no-input --require-hashes --only-binary :all: -r "$lock" >.venv/install.log 2>&1; then
    tail -n 12 .venv/install.log >&2
    if grep -qE 'No space left' .venv/install.log; then
        say "The packages could not be installed: the disk is full."
    elif grep -qE 'DO NOT MATCH THE HASHES' .venv/install.log; then
        say "A package did not have the hash that $lock names: it was refused, nothing was started."
    else
        say "The packages could not be fetched: the network does not reach the package index (a mirror is set with PIP_INDEX_URL)."
    fi
    exit 1
fi
# The command "liandiao", also from other folders.
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
pwd >"$site/liandiao.pth"
printf '#!/bin/sh\nexec "$(dirname "$0")/python" -m services "$@"\n' >.venv/bin/liandiao
chmod 755 .venv/bin/liandiao
printf '%s' "$print" >".venv/.installed-$kind"
[ $kind = dev ] && cksum <requirements.lock | tr ' ' - | tr -d '\n' >.venv/.run-by-dev
exit 0
