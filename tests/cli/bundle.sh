#!/bin/bash
# test: a bundle with its tests, moved elsewhere, runs with nothing of the system's but glibc; NVIDIA's libraries left out
source "$ROOT/tests/lib.sh"
heavy "a bundle" && exit

CUDA=0 TESTS=1 "$ROOT/tools/bundle.sh" "$BUILD" "$PWD/made" >log 2>&1 || { no "the bundle is made"; tail -n 5 log; exit; }
mkdir "some where" && mv made "some where/else"
bundle="$PWD/some where/else"
check "nothing in it is a link to what is not" test -z "$(find "$bundle" -type l)"
for f in README LICENSE share/man/man1/coppice.1 share/coppice/configs/demo.json lib/coppice-libs/libgomp.so.1; do
	check "it has $f" test -s "$bundle/$f"
done
has() { ls "$bundle/lib/coppice-libs" | grep -E "^lib($1)\.so"; }
expect "it has neither glibc nor the driver nor cuDNN" 1 '' has 'c|m|dl|pthread|cuda|nvidia-ml|cudnn.*|cublas.*|nvrtc.*'

# alone COMMAND...: of the bundle, in an empty environment; what the loader does goes to debug.*
within() { env -i HOME="$PWD" OMP_NUM_THREADS=2 LD_DEBUG=files LD_DEBUG_OUTPUT="$PWD/debug" "$@"; }
alone() { within "$bundle/bin/coppice" "$@"; }
loaded() { # the program's own, not those of squeue and the like, which it may ask
	grep -lF /coppice-libs/ debug.* | xargs sed -n 's/.*calling init: //p' | sort -u
}
foreign() { # what was loaded that is neither the bundle's nor glibc's, nor NVIDIA's, which was left out
	loaded | grep -vF "$bundle/" |
		grep -vE '/(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|anl|nss_.*|cudnn.*|cublasLt|cuda|nvidia.*))\.so[0-9.]*$'
}
expect "doctor" 0 'OpenBLAS +yes' alone doctor
expect "its libraries are the bundle's" 1 '^$' foreign
check "all of those that it has" test "$(loaded | grep -cF "$bundle/bin/../lib/coppice-libs/")" -ge 7
rm -f debug.*
cat >e.json <<'END'
{"name": "tiny", "model": {"hidden": [8]},
 "data": {"path": "glyphs", "validation": 10, "glyphs": {"train": 60, "test": 20}},
 "train": {"epochs": 1, "batch": 10}, "sweep": {"quantiles": [0.5], "reset": ["0ep"]}}
END
expect "a sweep" 0 '1 of 1 cells are done' alone run e.json -o run --set device.kind=cpu
expect "its libraries, too" 1 '^$' foreign
check "the same bits as of the program itself" bash -c 'coppice run e.json -o here --set device.kind=cpu >/dev/null 2>&1'
check "weight for weight" same_tensors {run,here}/cells/000000.h5

if [ -e "$bundle/lib/coppice/coppice-cuda.so" ]; then
	expect "a GPU, or what lacks for one" 0 'GPU +(yes|no) .*(libcublasLt|libcudnn|driver|GPU)' alone doctor
else
	skip "the module for GPUs" "it was not built"
fi

# what opens the module, on the module for the host
if [ ! -e "$BUILD/emulated/coppice-cuda.so" ]; then
	skip "the tests for a GPU" "no module for the host was built"
	exit
fi
cp "$BUILD/emulated/coppice-cuda.so" "$bundle/lib/coppice/"
rm -f debug.*
check "a test that trains" within COPPICE_MODULES="$bundle/lib/coppice" "$bundle/bin/tests/gpu_test_training" record
expect "its libraries, too" 1 '^$' foreign

# gpu-check.sh finds them and the module; what takes long stands in for itself
for f in bin/gpu/test_kernel bin/tests/gpu_test_training tests/gpu/steps.sh tests/gpu/sanitizer.sh tests/cli/cuda.sh; do
	printf '#!/bin/sh\necho ok it stands in\n' >"$bundle/$f"
	chmod 755 "$bundle/$f"
done
find "$bundle/bin/gpu" -type f ! -name test_kernel -delete
env -i HOME="$PWD" PATH=/usr/bin:/bin "$bundle/gpu-check.sh" >checked 2>&1 || { no "gpu-check.sh"; tail -n 20 checked; }
for name in kernel feed networks training steps cells sanitizer; do
	check "gpu-check.sh does $name" grep -q "^gpu-$name " checked
done
expect "all is well" 0 '^[0-9]+ passed, 0 failed, 0 skipped$' tail -n 1 checked
