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

IMAGES='app postgres pgbouncer redis caddy backup data-api host'
all_there() {
    for name in $IMAGES; do
        docker image inspect "launchdb/$name:$1" >/dev/null 2>&1 || return 1
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
    may_use_python && [ -x "$checkout/.venv/bin/launchdb" ] &&
        "$checkout/.venv/bin/python" -c '' 2>/dev/null
}

# Runs `launchdb` with these arguments, here or in the image; ends with its exit code.
on_host() {
    if uses_venv; then
        [ -n "${LAUNCHDB_HOME:-}" ] || [ ! -f "$home/.env" ] || export LAUNCHDB_HOME="$home"
        exec "$checkout/.venv/bin/launchdb" "$@"
    fi
    case ${1:-} in update | rollback) make_version "$@" ;; *) in_image "$(wanted_version)" "$@" ;; esac
}

# Lets the images of the version be here that `update` or `rollback` is about, and runs that in the image of the host
# commands, which has neither git nor what building takes.
make_version() {
    verb=$1 named='' count=$#
    shift
    for word; do
        case $word in
        -h | --help) in_image "$(wanted_version)" "$verb" "$@" ;;
        -*) ;;
        *) named=${named:-$word} ;;
        esac
    done
    runs=$(wanted_version) new=$named
    # Images that are built now would be what the next `up` starts, unverified: it is for the command to say why not.
    [ -n "$(docker ps --quiet --filter 'name=^/?launchdb-postgres$' --filter status=running)" ] || in_image "$runs" "$verb" "$@"
    # Two would move checkout and names under each other. Docker's client keeps it until the command has ended.
    if [ -d "$checkout/.git" ] && [ -w "$checkout/.git" ]; then
        exec 9>"$checkout/.git/launchdb-update.lock"
        flock --nonblock 9 || refuse 'another update or rollback is at work'
    fi
    [ -n "$new" ] || [ "$verb" = update ] || new=$(before)
    # Which version ran before, if any, is for the command to say.
    [ -n "$new" ] || [ "$verb" = update ] || in_image "$runs" "$verb" "$@"
    if [ -z "$new" ] || ! all_there "$new"; then
        [ -z "$new" ] || take_out "$new"
        new=$(checkout_version)
        # What is to be built takes the name of what runs: that is kept under another one, to go back to.
        # A change that was cut short has done so, and by now what runs may be of both.
        [ "$new" != "$runs" ] || { [ -n "$(past begun)" ] && [ "$(past running)" = "$new-previous" ]; } ||
            keep "$new" "$new-previous"
        printf '%s\n' "building the images of $new" >&2
        LAUNCHDB_VERSION=$new "$checkout/scripts/build-images" >&2 || refuse 'the images could not be built; see above'
    fi
    # The same words, with the version as it is called here.
    while [ $count -gt 1 ]; do
        word=$1
        shift
        count=$((count - 1))
        [ "$word" = "$named" ] || set -- "$@" "$word"
    done
    # An earlier version may know less of this home than the one that runs; a later one brings its own services.
    case $verb in update) in_image "$new" update "$new" "$@" ;; *) in_image "$runs" "$verb" "$new" "$@" ;; esac
}

# What scripts/stack/versions.py has written down.
past() {
    [ ! -f "$home/versions.json" ] || sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" "$home/versions.json" 2>/dev/null
}
before() {
    case $(past begun)/$(past by) in
    ?*/update) past running ;;
    ?*/rollback) past begun ;;
    *) past previous ;;
    esac
}

# Lets the checkout be a branch, a tag or a release, as scripts/stack/checkout.py does it.
take_out() {
    changed=$(git -C "$checkout" status --porcelain --untracked-files=no) || refuse "$checkout is no git checkout of yours"
    [ -z "$changed" ] || refuse "the checkout $checkout was changed by hand; commit or undo that first"
    printf '%s\n' 'fetching versions' >&2
    git -C "$checkout" fetch --tags --quiet || printf '%s\n' 'nothing could be fetched; what is here is used' >&2
    for name in "origin/$1" "$1" "v$1"; do
        if git -C "$checkout" rev-parse --verify --quiet "$name^{commit}" >/dev/null; then
            git -C "$checkout" checkout --quiet --detach "$name" || exit
            printf '%s\n' "the checkout is $name, version $(checkout_version)" >&2
            return
        fi
    done
    refuse "there is no version, tag or branch $1 in $checkout"
}

# Whether the platform API was started from a version's image.
is_of() {
    started=$(docker inspect -f '{{.Image}}' launchdb-platform-api 2>/dev/null) &&
        [ "$started" = "$(docker image inspect -f '{{.Id}}' "launchdb/app:$1" 2>/dev/null)" ]
}

# What runs gets a second name; the first may have been given to others since it was started.
keep() {
    # One that was cut short has done it, and what no container is of may have lost its name since.
    ! is_of "$2" || return 0
    for name in $IMAGES; do
        case $name in
        app) from=launchdb-platform-api ;;
        data-api | host) from='' ;;
        *) from=launchdb-$name ;;
        esac
        [ -n "$from" ] && started=$(docker inspect -f '{{.Image}}' "$from" 2>/dev/null) || started=launchdb/$name:$1
        docker tag "$started" "launchdb/$name:$2" || exit
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
