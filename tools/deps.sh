#!/bin/bash
# Installs what is missing: deps.sh build|check|bench|fuzz ... Prints the apt line that it runs; uses sudo only when not root.
# Without apt it says what is missing and goes on where the libraries are found all the same.
set -euo pipefail

build=(gcc libc6-dev make pkg-config libhdf5-dev libcjson-dev libopenblas-dev libjpeg62-turbo-dev libpng-dev zlib1g-dev)
check=(g++ libcmocka-dev clang-format python3 python3-h5py python3-numpy git slurmctld slurmd slurm-client slurm-wlm-basic-plugins
	libslurm-dev munge chromium fonts-dejavu-core procps zstd)
bench=(python3 python3-numpy python3-h5py python3-torch python3-pil zstd)
fuzz=(clang libclang-rt-dev)

wanted=()
for set in "$@"; do
	case $set in
	build) wanted+=("${build[@]}") ;;
	check) wanted+=("${check[@]}") ;;
	bench) wanted+=("${bench[@]}") ;;
	fuzz) wanted+=("${fuzz[@]}") ;;
	*) echo "deps.sh: no such set: $set" >&2; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
	here=$(dirname "$0")
	"$here/detect.sh" >/dev/null || exit 1
	echo "coppice: this is no Debian; the libraries were found, tests that lack a program are skipped" >&2
	exit 0
fi

missing=()
for p in "${wanted[@]}"; do
	status=$(dpkg-query -W -f '${Status}' "$p" 2>/dev/null || true)
	[ "$status" = "install ok installed" ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || { echo "coppice: missing, and neither root nor sudo: ${missing[*]}" >&2; exit 1; }
	sudo=(sudo)
fi
install=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}")
echo "+ ${install[*]}"
"${sudo[@]}" apt-get update -qq || echo "coppice: 'apt-get update' failed; trying with the lists that are here" >&2
if ! "${install[@]}" >/tmp/coppice-deps.$$ 2>&1; then
	tail -n 20 /tmp/coppice-deps.$$ >&2
	rm -f /tmp/coppice-deps.$$
	exit 1
fi
rm -f /tmp/coppice-deps.$$
# what was found before is out of date now
rm -f "$(dirname "$0")"/../build/config.mk "$(dirname "$0")"/../build/*/config.mk
