# `cargo run` of a program of the workspace that is built already; it knows nothing else.
refused() {
    echo "nothing stands here for cargo $*" >&2
    exit 64
}
[ "$1" = run ] || refused "$@"
shift
while [ $# -gt 0 ]; do
    case $1 in
    --release) shift ;;
    -p | --bin)
        program=$2
        shift 2
        ;;
    --)
        shift
        break
        ;;
    *) refused run "$@" ;;
    esac
done
exec "${program:?}" "$@"
