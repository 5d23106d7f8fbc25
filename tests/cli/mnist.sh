#!/bin/bash
# test: MNIST with LeNet-300-100: the dense network's accuracy, a ticket as good as it, and the files seen from outside
source "$ROOT/tests/lib.sh"

heavy "MNIST" && exit
if [ ! -d "$SHARED/data/mnist" ]; then
	skip "MNIST" "no folder of MNIST's files"
	exit
fi
check "pack" coppice pack "$SHARED/data/mnist" mnist.h5
# half of the epochs and the cells of the file
coppice run "$ROOT/configs/lenet-mnist.json" -o run --set data.path=mnist.h5 --set train.epochs=10 \
	--set 'sweep.quantiles=[0.79, 0.964]' >out 2>log && ok "coppice run" || {
	no "coppice run"
	tail -n 5 log out | sed 's/^/# /'
}

# columns of results.csv by name
column() { awk -F, -v want="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == want) c = i; next } { print $c }' run/results.csv; }
dense=$(coppice show run/results.h5 --json | awk '$1 == "\"dense_test_top1\":" { print $2 + 0 }')
[ -n "$dense" ] && awk "BEGIN { exit !($dense >= 0.974) }" && ok "dense test top-1 is 0.974 at least ($dense)" ||
	no "dense test top-1 is '$dense', less than 0.974"
paste -d' ' <(column quantile) <(column reset) <(column test_top1) >cells
good=$(awk -v dense="$dense" '$1 == 0.79 && $3 >= dense - 0.005' cells | wc -l)
[ "$good" -ge 1 ] && ok "$good of 2 cells at quantile 0.79 are within 0.005 of it or above" || {
	no "no cell at quantile 0.79 is within 0.005 of $dense"
	sed 's/^/# /' cells
}
check "four cells" test "$(wc -l <cells)" -eq 4
check "the heat map names its columns" grep -q '0ep *1ep' out
check "report.html is there" test -s run/report.html
if ! has_python; then
	skip "verify_run.py" "no python3 with h5py"
elif [ ! -e "$SHARED/verify/verify_run.py" ]; then
	skip "verify_run.py" "it is not here"
else
	verdict=$("$PYTHON" "$SHARED/verify/verify_run.py" run | tail -n 1)
	[[ $verdict =~ ^[1-9][0-9]*\ passed,\ 0\ failed$ ]] && ok "verify_run.py: $verdict" || no "verify_run.py: $verdict"
fi
