# Sourced by scripts/run --docker: init, images, up, wait, first project; each step says so and may be done again.
. "$checkout/scripts/host.sh"

# Python is used where it is, by root; else the image does the same.
has_python() {
    may_use_python || return 1
    (find_python) 2>/dev/null && find_python && { [ -x "$venv/bin/python" ] || "$python" -c 'import venv, ensurepip' 2>/dev/null; }
}

# One sum over all that goes into the images: the same code is not built again.
code_sum() {
    (cd "$checkout" && find config infra catalog jobs workers app scripts migrations compose pyproject.toml Procfile \
        requirements.txt requirements-embedded.txt .env.example -type f ! -path '*/__pycache__/*' ! -path 'scripts/bench/*' -print0 |
        LC_ALL=C sort -z | xargs -0 cksum | cksum | tr ' ' '-')
}

images() {
    version=$(wanted_version)
    mark=launchdb/code:$version-$(code_sum)
    # The mark is another name of the image that was built of this code; without it nothing says what a tag holds.
    if all_there "$version" && [ "$(docker image inspect -f '{{.Id}}' "$mark" 2>/dev/null)" = \
        "$(docker image inspect -f '{{.Id}}' "launchdb/app:$version")" ]; then
        printf '%s\n' "images of $version are here" >&2
        return 0
    fi
    if [ "$version" != "$(checkout_version)" ] && all_there "$version"; then
        printf '%s\n' "images of $version are here; this checkout is another version (launchdb update)" >&2
        return 0
    fi
    printf '%s\n' "building the images of $version" >&2
    LAUNCHDB_VERSION=$version "$checkout/scripts/build-images" >&2 || fail 'the images could not be built; see above'
    docker tag "launchdb/app:$version" "$mark"
    docker image ls --format '{{.Repository}}:{{.Tag}}' launchdb/code | while read -r old; do
        case $old in
        "$mark") ;;
        "launchdb/code:$version"-*) docker rmi "$old" >/dev/null 2>&1 || : ;;
        esac
    done
}

run_docker() {
    docker version >/dev/null 2>&1 || fail 'Docker does not answer: is it installed (scripts/install) and running, and may you use it?'
    if has_python; then
        environment requirements.txt
        (on_host init >&2) || exit
        images
    else
        printf '%s\n' 'without Python here, in containers' >&2
        images
        (on_host init >&2) || exit
    fi
    export LAUNCHDB_HOME="$home"
    on_host up "$@"
}
