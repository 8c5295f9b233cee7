# Sourced by scripts/run --docker and scripts/launchdb: where the installation lies, and how its commands are run here.
# POSIX sh; needs docker and nothing else. The caller sets `checkout`.

# The same choice as config/installation.py's default_home.
if [ -n "${LAUNCHDB_HOME:-}" ]; then
    home=$(readlink -m -- "$LAUNCHDB_HOME")
else
    case $checkout in
    /opt/launchdb | /opt/launchdb/*) home=/opt/launchdb ;;
    *) home=$checkout/.launchdb-docker ;;
    esac
fi

# The version that runs, else the one that the checkout is.
wanted_version() {
    # As config/installation.py reads it: the last one counts; quotes, and what other systems end lines with, do not.
    found=$(sed -n 's/^LAUNCHDB_VERSION=\(..*\)$/\1/p' "$home/.env" 2>/dev/null | tail -n 1 | tr -d "\r\"' ")
    [ -n "$found" ] || found=${LAUNCHDB_VERSION:-}
    [ -n "$found" ] || found=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$checkout/pyproject.toml")
    printf '%s\n' "$found"
}

# Folders are given to the accounts of the containers: that takes root, which a container has. And services may add files
# to the home: in a checkout that is the home Python would find these, so the image's code is run there.
may_use_python() {
    [ -z "${LAUNCHDB_HOST_IMAGE:-}" ] && [ "$(id -u)" = 0 ] && [ "$home" != "$checkout" ]
}

uses_venv() {
    may_use_python && [ -x "$checkout/.venv/bin/launchdb" ] &&
        "$checkout/.venv/bin/python" -c '' 2>/dev/null
}

# Runs `launchdb` with these arguments, here or in the image; ends with its exit code.
on_host() {
    if uses_venv; then
        [ -n "${LAUNCHDB_HOME:-}" ] || [ ! -f "$home/.env" ] || export LAUNCHDB_HOME="$home"
        exec "$checkout/.venv/bin/launchdb" "$@"
    fi
    in_image "$@"
}

in_image() {
    image=launchdb/host:$(wanted_version)
    docker image inspect "$image" >/dev/null 2>&1 || {
        printf '%s\n' "the image $image is missing; scripts/build-images makes it" >&2
        exit 1
    }
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    case $socket in
    unix://*) socket=${socket#unix://} ;;
    *)
        printf '%s\n' "DOCKER_HOST is $socket; without Python only a Docker on this machine can be used" >&2
        exit 1
        ;;
    esac
    mkdir -p "$home" 2>/dev/null || :
    case ${1:-} in
    # The machine is looked at, not the container.
    doctor) set -- -v /:/host:ro -e LAUNCHDB_HOST_ROOT=/host "$image" "$@" ;;
    *) set -- "$image" "$@" ;;
    esac
    : "${HOST_SCRIPT_DIR:=$checkout/scripts}"
    export HOST_SCRIPT_DIR
    # What `.env.example` names may be set for `launchdb init`; a name alone keeps the value out of the arguments.
    for name in $(sed -n 's/^#* *\([A-Z][A-Z0-9_]*\)=.*$/\1/p' "$checkout/.env.example") \
        LAUNCHDB_URL LAUNCHDB_TOKEN LAUNCHDB_PROJECT XDG_CONFIG_HOME; do
        [ "$name" = LAUNCHDB_HOME ] || eval "[ -z \"\${$name:-}\" ]" || set -- -e "$name" "$@"
    done
    for folder in "$home" "$checkout" /root "${HOME:-/root}" /etc/docker; do
        [ ! -d "$folder" ] || set -- -v "$folder:$folder" "$@"
    done
    [ ! -t 0 ] || [ ! -t 1 ] || set -- -t "$@"
    exec docker run --rm -i --init --network host --user 0:0 --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE \
        --cap-add FOWNER --cap-add FSETID --security-opt no-new-privileges --read-only --tmpfs /tmp \
        -v "$socket:/var/run/docker.sock" -e LAUNCHDB_HOME="$home" -e HOME="${HOME:-/root}" "$@"
}
