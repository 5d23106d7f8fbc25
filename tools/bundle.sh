#!/bin/bash
# Makes a folder that runs where nothing can be installed: bundle.sh BUILD FOLDER. What make linked for it is in
# BUILD/bundled (programs that look for libraries in lib/coppice-libs of the folder that they are in, wherever that is).
# From the environment: CUDA=0 leaves cuDNN's and cuBLASLt's libraries out, which are a gigabyte; TESTS=1 adds the tests
# for a GPU; ARCHIVE=1 packs the folder.
#
# What is taken along: all that ldd names but glibc, which the machine has, and the driver's libraries, which must be
# the machine's; and the parts that cuDNN opens when it runs.
set -euo pipefail
build=$1 out=$2
root=$(cd "$(dirname "$0")/.." && pwd)
libs=$out/lib/coppice-libs

rm -rf "$out"
mkdir -p "$out/bin" "$out/lib/coppice" "$libs" "$out/share/man/man1" "$out/share/coppice/configs" "$out/share/licences"
cp "$build/bundled/coppice" "$out/bin/"
programs=("$build/coppice")
if [ -e "$build/bundled/coppice-cuda.so" ]; then
	cp "$build/bundled/coppice-cuda.so" "$out/lib/coppice/"
	programs+=("$build/bundled/coppice-cuda.so")
fi
cp "$root"/docs/*.1 "$out/share/man/man1/"
cp "$root"/configs/*.json "$root/configs/README.md" "$out/share/coppice/configs/"
cp "$root/LICENSE" "$out/"
if [ "${TESTS:-0}" = 1 ]; then
	mkdir -p "$out/bin/gpu" "$out/bin/tests/tools" "$out"/tests/{gpu,cli,bench}
	cp "$root"/tests/bench/{gpu,reference}.sh "$out/tests/bench/"
	cp "$root"/tests/{run,lib}.sh "$out/tests/"
	cp "$root"/tests/gpu/*.sh "$out/tests/gpu/"
	cp "$root/tests/cli/cuda.sh" "$out/tests/cli/"
	cp "$root/tests/gpu/bundled.sh" "$out/gpu-check.sh"
	rm "$out/tests/gpu/bundled.sh"
	cp "$build"/bundled/*_tensors "$out/bin/tests/tools/"
	for name in feed networks training; do
		cp "$build/tests/gpu_test_$name" "$out/bin/tests/"
		programs+=("$build/tests/gpu_test_$name")
	done
	if [ -d "$build/gpu" ]; then
		cp "$build"/gpu/test_* "$out/bin/gpu/"
		programs+=("$build"/gpu/test_*)
	fi
fi

glibc='^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|anl|mvec|nsl|nss_.*|BrokenLocale|thread_db))\.so'
driver='^lib(cuda|nvidia-.*|nvcuvid|nvoptix)\.so'
nvidia='^lib(cublas|cublasLt|cudnn.*|nvrtc.*|nccl|nvJitLink)\.so'
declare -A from=()
while read -r name path; do
	if [[ $name =~ $glibc || $name =~ $driver ]]; then continue; fi
	[ "$path" != not ] || { echo "bundle: $name is not found" >&2; exit 1; }
	from[$name]=$path
done < <(LD_LIBRARY_PATH="${LD_LIBRARY_PATH:-}" ldd "${programs[@]}" | awk '$2 == "=>" {n = $1; sub(".*/", "", n); print n, $3}' | sort -u)
# the parts of cuDNN, the compiler that some of them call, and NCCL, which the module opens
if [ -n "${from[libcudnn.so.9]:-}" ]; then
	for f in "${from[libcudnn.so.9]%/*}"/libcudnn_*.so.9; do
		from[${f##*/}]=$f
	done
	for name in libcudart.so.13 libcublasLt.so.13 libcudnn.so.9; do
		for f in "${from[$name]%/*}"/lib{nvrtc,nvrtc-builtins,nccl}.so.[0-9]*; do
			[[ ! -e $f || $f = *.alt.* ]] || from[${f##*/}]=$f
		done
	done
fi
if [ "${CUDA:-1}" = 0 ]; then
	for name in "${!from[@]}"; do
		[[ ! $name =~ $nvidia ]] || unset "from[$name]"
	done
fi
for name in "${!from[@]}"; do
	cp -L "${from[$name]}" "$libs/$name"
	chmod 755 "$libs/$name"
done

# what the libraries' own licences say, where the system tells
if command -v dpkg-query >/dev/null; then
	for name in "${!from[@]}"; do
		readlink -f "${from[$name]}" | sed -E 's/.*(\/[^/]*\/[^/]*)$/*\1/'
	done | { xargs dpkg-query -S 2>/dev/null || true; } | sed 's/[:,].*//' | sort -u | while read -r package; do
		cp "/usr/share/doc/$package/copyright" "$out/share/licences/$package.txt" 2>/dev/null || true
	done
fi
for name in "${!from[@]}"; do
	[[ ! $name =~ $nvidia && $name != libcudart* ]] || touch "$out/share/licences/nvidia"
done
if [ -e "$out/share/licences/nvidia" ]; then
	rm "$out/share/licences/nvidia"
	echo "libcudart, libcublasLt, libcudnn, libnvrtc and libnccl, as far as they are here, are NVIDIA's, under the licences of the CUDA Toolkit and of cuDNN." >"$out/share/licences/NVIDIA.txt"
fi

wants=$(find "$out/bin" "$out/lib" -type f -exec objdump -T {} + 2>/dev/null | grep -oE 'GLIBC_2\.[0-9]+' | sort -Vu | tail -n 1 || true)
cat >"$out/README" <<END
$("$build/coppice" --version), for $(uname -m): bin/coppice, and what it needs beside it. The folder may lie anywhere. It wants
${wants:+glibc ${wants#GLIBC_} or newer} and, for GPUs, NVIDIA's driver; 'bin/coppice doctor' says what it found.
END
if [ "${CUDA:-1}" = 0 ] && [ -e "$out/lib/coppice/coppice-cuda.so" ]; then
	echo "cuDNN 9 and cuBLASLt 13 are not in it: where they are not the system's, name their folders in LD_LIBRARY_PATH." >>"$out/README"
fi
echo "The module for SLURM is not in it, since it must be built for a site's own SLURM; coppice calls sbatch instead." >>"$out/README"
[ ! -e "$out/gpu-check.sh" ] || echo "./gpu-check.sh runs the tests that want a GPU; BUILD=bin tests/bench/gpu.sh and tests/bench/reference.sh measure." >>"$out/README"

du -sh --apparent-size "$out" | awk '{ printf "%s: %s\n", $2, $1 }'
if [ "${ARCHIVE:-0}" = 1 ]; then
	pack=(gzip -9) ending=gz
	! command -v zstd >/dev/null || pack=(zstd -q -10 -T0) ending=zst
	tar -C "${out%/*}" --sort=name --owner=0 --group=0 --numeric-owner -cf - "${out##*/}" | "${pack[@]}" >"$out.tar.$ending.tmp"
	mv "$out.tar.$ending.tmp" "$out.tar.$ending"
	du -h --apparent-size "$out.tar.$ending" | awk '{ printf "%s: %s\n", $2, $1 }'
fi
