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

# The CUDA module wants the compiler, the headers and the libraries of one toolkit; cuDNN may be beside it or the system's.
no_cuda() { # no_cuda WHY
	echo "# $1: training on the CPU"
	echo "HAVE_CUDA = 0"
	exit 0
}
holds() { # holds CODE: it goes through the preprocessor
	printf '%b\n' "$1" | ${CC:-gcc} $flags -E - >/dev/null 2>&1
}

[ "${CUDA:-auto}" != 0 ] || no_cuda "CUDA=0"
command -v nvcc >/dev/null || no_cuda "no nvcc"
command -v "${CXX:-g++}" >/dev/null || no_cuda "nvcc, but no C++ compiler"
home=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
flags=
for d in "$home/include" "$home/targets/x86_64-linux/include" ${CUDNN_HOME:+"$CUDNN_HOME/include"}; do
	[ ! -e "$d/cuda_runtime_api.h" ] && [ ! -e "$d/cudnn.h" ] || flags="$flags -isystem $d"
done
for h in cuda_runtime_api.h cublasLt.h cudnn.h; do
	holds "#include <$h>" || no_cuda "nvcc in $home, but no $h"
done
holds '#include <cudnn.h>\n#if CUDNN_VERSION < 90800\n#error\n#endif' || no_cuda "nvcc, but a cuDNN older than 9.8"
libs= path=
for d in "$home/lib64" "$home/lib" "$home/targets/x86_64-linux/lib" ${CUDNN_HOME:+"$CUDNN_HOME/lib"}; do
	d=$(readlink -f "$d") || continue
	case "$path:" in *":$d:"*) continue ;; esac
	[ -e "$d/libcudart.so" ] || [ -e "$d/libcudnn.so" ] || continue
	libs="$libs -L$d"
	path="$path:$d"
done
for l in cudart cublasLt cudnn; do
	echo 'int main(void) { return 0; }' | ${CC:-gcc} -x c - -o /dev/null $libs "-l$l" 2>/dev/null ||
		no_cuda "nvcc in $home, but no lib$l to link with"
done
version() { # version FILE NAME: the number that is defined as NAME
	printf '#include <%s>\n%s\n' "$1" "$2" | ${CC:-gcc} $flags -E -P - 2>/dev/null | tail -n 1
}
echo "# found nvcc $(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')"
echo "# found cuDNN $(version cudnn.h CUDNN_MAJOR).$(version cudnn.h CUDNN_MINOR).$(version cudnn.h CUDNN_PATCHLEVEL)"
echo "HAVE_CUDA = 1"
echo "CUDA_CFLAGS =$flags"
echo "CUDA_LIBS =$libs -lcudart -lcublasLt -lcudnn"
# the module finds them beside itself, or where they were when it was built
echo "CUDA_PATH = \$\$ORIGIN$path"
