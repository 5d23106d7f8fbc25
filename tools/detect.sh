#!/bin/sh
# Prints, as lines for make, which libraries are here and how to use them. A required one that is missing ends it with
# one line that says what to do. CUDA=0 and SLURM=0 (environment) leave those two out.
set -eu

need() { # need PACKAGE...: the first that pkg-config knows
	for p in "$@"; do
		if pkg-config --exists "$p" 2>/dev/null; then
			printf '%s' "$p"
			return
		fi
	done
	echo "coppice: $1 was not found by pkg-config; 'make deps' installs what is missing on Debian, elsewhere load the module or set PKG_CONFIG_PATH" >&2
	exit 1
}

command -v pkg-config >/dev/null || { echo "coppice: pkg-config is missing; 'make deps' installs it on Debian" >&2; exit 1; }
hdf5=$(need hdf5-serial hdf5)
cjson=$(need libcjson)
blas=$(need openblas)
jpeg=$(need libjpeg)
png=$(need libpng)
z=$(need zlib)
all="$hdf5 $cjson $blas $jpeg $png $z"
for p in $all; do
	echo "# found $p $(pkg-config --modversion "$p")"
done
echo "DEP_CFLAGS = $(pkg-config --cflags $all)"
echo "DEP_LIBS = $(pkg-config --libs $all) -ldl -lm"
if pkg-config --exists cmocka; then
	echo "# found cmocka $(pkg-config --modversion cmocka)"
	echo "CMOCKA_LIBS = $(pkg-config --libs cmocka)"
fi

if [ "${SLURM:-auto}" != 0 ] && echo '#include <slurm/slurm.h>' | ${CC:-gcc} -E - >/dev/null 2>&1; then
	echo "# found libslurm $(sed -n 's/.*SLURM_VERSION_NUMBER *\(0x[0-9a-f]*\).*/\1/p' /usr/include/slurm/slurm_version.h 2>/dev/null | head -n 1)"
	echo "HAVE_SLURM = 1"
	echo "SLURM_CFLAGS ="
	echo "SLURM_LIBS = -lslurm"
else
	echo "# no libslurm: submitting goes through sbatch"
	echo "HAVE_SLURM = 0"
fi

if [ "${CUDA:-auto}" != 0 ] && command -v nvcc >/dev/null; then
	echo "# found nvcc $(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')"
	echo "HAVE_CUDA = 1"
else
	echo "# no nvcc: training on the CPU"
	echo "HAVE_CUDA = 0"
fi
