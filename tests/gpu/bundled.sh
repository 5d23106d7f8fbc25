#!/bin/bash
# The tests that want a GPU, in a bundle: gpu-check.sh. They write to a folder of their own below $TMPDIR.
cd "$(dirname "$0")" || exit 1
if [ ! -e lib/coppice-libs/libcudnn.so.9 ]; then
	# the bundle was made without them: those of the toolkit, or those that PyTorch came with
	for d in /usr/local/cuda*/lib64 /usr/lib/x86_64-linux-gnu $(find / -xdev -type d -path '*/nvidia/c*/lib' 2>/dev/null); do
		for l in libcudnn.so.9 libcublasLt.so.13; do
			[ -e "$d/$l" ] && [[ :${LD_LIBRARY_PATH:-}: != *:$d:* ]] && LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$d
		done
	done
	export LD_LIBRARY_PATH
	echo "NVIDIA's libraries are looked for in ${LD_LIBRARY_PATH:-no further folder}"
fi
bin/coppice doctor
BUILD=bin exec tests/run.sh gpu
