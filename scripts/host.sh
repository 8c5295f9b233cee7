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

# What `.env` says of a variable, as config/installation.py reads it: the last one counts; quotes, and what other systems end
# lines with, do not.
said() {
    [ -f "$home/.env" ] || return 0
    sed -n "s/^$1=\(..*\)\$/\1/p" "$home/.env" 2>/dev/null | tail -n 1 | tr -d "\r\"'" | sed 's/[[:space:]]*$//'
}
checkout_version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$checkout/pyproject.toml"; }

# The version that runs, else the one that the checkout is.
wanted_version() {
    found=$(said LAUNCHDB_VERSION)
    [ -n "$found" ] || found=${LAUNCHDB_VERSION:-}
    [ -n "$found" ] || found=$(checkout_version)
    printf '%s\n' "$found"
}

# The images that there are: a folder each. Whether all of a version are here.
all_there() {
    for name in "$checkout"/compose/images/*/Dockerfile; do
        name=${name%/Dockerfile}
        docker image inspect "launchdb/${name##*/}:$1" >/dev/null 2>&1 || return 1
    done
}

refuse() {
    printf 'launchdb: %s\n' "$1" >&2
    exit 1
}

# Folders are given to the accounts of the containers: that takes root, which a container has. And services may add files
# to the home: in a checkout that is the home Python would find these, so the image's code is run there.
may_use_python() {
    [ -z "${LAUNCHDB_HOST_IMAGE:-}" ] && [ "$(id -u)" = 0 ] && [ "$home" != "$checkout" ]
}

uses_venv() {
    may_use_python && [ -x "$checkout/.venv/bin/launchdb" ] && fits_lock &&
        "$checkout/.venv/bin/python" -c '' 2>/dev/null
}

# Another version may need packages that were not installed for the one before; the image of what runs has its own.
fits_lock() {
    [ ! -e "$checkout/.venv/.installed" ] ||
        [ -z "$(find "$checkout"/requirements.txt "$checkout"/requirements-embedded.txt -newer "$checkout/.venv/.installed")" ]
}

# Runs `launchdb` with these arguments, here or in the image; ends with its exit code.
on_host() {
    if uses_venv; then
        [ -n "${LAUNCHDB_HOME:-}" ] || [ ! -f "$home/.env" ] || export LAUNCHDB_HOME="$home"
        exec "$checkout/.venv/bin/launchdb" "$@"
    fi
    case ${1:-} in update | rollback) change_version "$@" ;; *) in_image "$(wanted_version)" "$@" ;; esac
}

# Runs `update` or `rollback` in the image of the host commands, which has neither git nor what building takes: what is to be
# done of these it says, and is told how it ended (infra/host/machine.py). What it says last is how it goes on, in which image.
change_version() {
    verb=$1 version=$(wanted_version) named=''
    shift
    for word; do
        case $word in
        -h | --help) in_image "$version" "$verb" "$@" ;;
        -*) ;;
        *) named=${named:-$word} ;;
        esac
    done
    # A later version knows more of what it takes to come to it.
    if [ "$verb" = update ] && [ -n "$named" ] && docker image inspect "launchdb/host:$named" >/dev/null 2>&1; then
        version=$named
    fi
    case $(docker image inspect -f '{{index .Config.Labels "launchdb.by-shell"}}' "launchdb/host:$version" 2>/dev/null) in
    yes) ;;
    *)
        # One of before asks for nothing: it goes on where all images are here, and cannot build any.
        [ "$verb" != update ] || [ "$version" = "$named" ] || next=$(checkout_version)-next
        [ -z "${next:-}" ] || refuse "launchdb/host:$version cannot have anything built here; to go on to what the checkout is:
  LAUNCHDB_VERSION=$next $checkout/scripts/build-images && launchdb update $next"
        in_image "$version" "$verb" "$@"
        ;;
    esac
    work=$(mktemp -d) ended='' interrupted=''
    mkfifo "$work/answers"
    # Whoever is interrupted puts back what it has begun: that is waited for.
    trap 'interrupted=130' INT
    trap 'interrupted=143' TERM HUP
    { (in_image "$version" "$verb" --by-shell "$checkout" "$@") || printf '%s\n' $? >"$work/status"; } <"$work/answers" |
        serve >"$work/answers" || ended=${ended:-1}
    status=$(cat "$work/status" 2>/dev/null || :)
    set --
    if [ -f "$work/become" ]; then
        while IFS= read -r word; do set -- "$@" "$word"; done <"$work/become"
    fi
    rm -rf "$work"
    trap - INT TERM HUP
    [ -z "$interrupted$status$ended" ] || exit "${interrupted:-${status:-$ended}}"
    [ $# -eq 0 ] || in_image "$@"
}

# Runs what it reads, word by word, and writes how each ended. Verbs and lines are those of infra/host/machine.py.
serve() {
    # What it runs hears these as well, and ends; how it ended is told even then.
    trap : INT TERM HUP
    while IFS=' ' read -r asked count; do
        set --
        while [ $# -lt "$count" ]; do
            IFS= read -r word || exit 1
            set -- "$@" "$word"
        done
        status=0
        case $asked in
        run)
            "$@" >"$work/said" 2>"$work/fault" </dev/null || status=$?
            [ $status = 0 ] || mv "$work/fault" "$work/said"
            printf '%s %s\n' $status "$(awk 'END { print NR }' "$work/said")"
            # The last line may lack its end.
            awk 1 "$work/said"
            ;;
        follow)
            "$@" >&2 </dev/null || status=$?
            printf '%s 0\n' $status
            ;;
        become) printf '%s\n' "$@" >"$work/become" ;;
        *) exit 1 ;;
        esac
    done
}

# Runs `launchdb` in the image of a version.
in_image() {
    image=launchdb/host:$1
    shift
    docker image inspect "$image" >/dev/null 2>&1 ||
        refuse "the image $image is not here, or Docker does not answer to you; $checkout/scripts/build-images makes it"
    socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
    case $socket in
    unix://*) socket=${socket#unix://} ;;
    *) refuse "DOCKER_HOST is $socket; without Python only a Docker on this machine can be used" ;;
    esac
    mkdir -p "$home" 2>/dev/null || :
    first=${1:-}
    set -- "$image" "$@"
    : "${HOST_SCRIPT_DIR:=$checkout/scripts}"
    export HOST_SCRIPT_DIR
    # What `.env.example` names may be set for `launchdb init`; a name alone keeps the value out of the arguments.
    for name in $(sed -n 's/^#* *\([A-Z][A-Z0-9_]*\)=.*$/\1/p' "$checkout/.env.example") \
        LAUNCHDB_URL LAUNCHDB_TOKEN LAUNCHDB_PROJECT XDG_CONFIG_HOME NO_COLOR; do
        [ "$name" = LAUNCHDB_HOME ] || eval "[ -z \"\${$name:-}\" ]" || set -- -e "$name" "$@"
    done
    for folder in "$home" "$checkout" /root "${HOME:-/root}" /etc/docker; do
        [ ! -d "$folder" ] || set -- -v "$folder:$folder" "$@"
    done
    # Whose the containers are that bear our names: the command looks whether that home is there still.
    for folder in $(docker ps --all --filter label=com.docker.compose.project=launchdb --format '{{.Label "launchdb.home"}}' |
        sort -u); do
        [ "$folder" = "$home" ] || [ ! -f "$folder/.env" ] || set -- -v "$folder/.env:$folder/.env:ro" "$@"
    done
    # The data APIs' configurations may lie beside the home; what is made of them in a container has to be on the machine.
    configurations=${HOST_CONFIG_DIR:-$(said HOST_CONFIG_DIR)}
    case $configurations in
    "$home"/* | *[:,]* | */../* | */.. | /) ;;
    /*) mkdir -p "$configurations" && set -- -v "$configurations:$configurations" "$@" ;;
    esac
    # Files are named from where one stands; what the image has of its own is left to it.
    case $PWD/ in
    "$home"/* | "$checkout"/*) set -- -w "$PWD" "$@" ;;
    *[:,]* | // | /bin/* | /dev/* | /etc/* | /lib*/* | /opt/ | /opt/venv/* | /opt/launchdb-app/* | /proc/* | /run/* | \
        /sbin/* | /sys/* | /usr/* | /var/ | /var/lib/* | /var/run/*) ;;
    *) set -- -v "$PWD:$PWD" -w "$PWD" "$@" ;;
    esac
    [ "$PWD" = /tmp ] || set -- --tmpfs /tmp "$@"
    # The doctor looks at the machine, not at its own container.
    [ "$first" != doctor ] || set -- -v /:/host:ro -e LAUNCHDB_HOST_ROOT=/host "$@"
    [ ! -t 0 ] || [ ! -t 1 ] || set -- -t -e "TERM=${TERM:-dumb}" "$@"
    exec docker run --rm -i --init --network host --user 0:0 --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE \
        --cap-add FOWNER --cap-add FSETID --security-opt no-new-privileges --read-only \
        -v "$socket:/var/run/docker.sock" -e LAUNCHDB_HOME="$home" -e HOME="${HOME:-/root}" "$@"
}
