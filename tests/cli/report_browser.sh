#!/bin/bash
# test: report.html in a browser: every mark is there, nothing is complained of, nothing is fetched
source "$ROOT/tests/lib.sh"
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
	skip "report.html in a browser" "no chromium here"
	exit 0
fi
show() { # show OPTION... URL
	timeout 120 "$browser" --headless --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --user-data-dir="$PWD/profile" \
		--disable-background-networking --virtual-time-budget=2000 --enable-logging=stderr --v=0 "$@"
}
count() { grep -oE "$1" page.dom | wc -l; } # count PATTERN

"$BUILD/tests/test_report" run 7 5 3 4 1 '<script>document.title="caught"</script>' || no "made-up results"
coppice report run >/dev/null || no "coppice report"
show --dump-dom "file://$PWD/run/report.html" >page.dom 2>log
if [ ! -s page.dom ]; then
	skip "report.html in a browser" "the browser does not start: $(tail -n 1 log)"
	exit 0
fi
check "a cell for each place of the heat map" test "$(count '<rect class="cell"')" -eq 35
check "a line for each reset point, in both views" test "$(count '<g class="series"')" -eq 10
check "a line for each reset point, of early stops and the accuracy there" test "$(count '<g class="series stop"')" -eq 10
check "a mark for each place of a figure of lines, and in its legend" test "$(count '<path class="mark"')" -eq 160
check "the dense network's interval behind all four" test "$(count '<rect class="band"')" -eq 4
check "training curves, one of them dense" test "$(count '<g class="curve[^"]*"')" -eq 11
check "layers" test "$(count '<rect class="layer"')" -eq 28
check "rows of the table" test "$(count '<tr><td>')" -eq 101
check "a line of the speeds for each quantile" test "$(count '<tr class="speed"><td>')" -eq 7
check "a hostile name is text" grep -qF '<h1>&lt;script&gt;' page.dom
check "and is not run" bash -c '! grep -q "<title>caught" page.dom'
check "no complaint on the console" bash -c '! grep -i "console" log'
check "no request" bash -c '! grep -iE "net::|Refused to" log'

show --window-size=1280,1600 --screenshot="$PWD/wide.png" "file://$PWD/run/report.html" 2>/dev/null
check "a screenshot, and more than an empty page" test "$(stat -c %s wide.png)" -gt 50000
cat >phone.html <<'HTML'
<!DOCTYPE html><body><iframe id="f" src="run/report.html" style="width:360px;height:2000px;border:0"></iframe>
<script>onload = () => { const d = document.getElementById("f").contentDocument.documentElement;
document.title = "width " + d.scrollWidth; }</script></body>
HTML
show --allow-file-access-from-files --dump-dom "file://$PWD/phone.html" >page.dom 2>/dev/null
expect "on a phone nothing but tables and wide figures scrolls sideways" 0 '<title>width 360</title>' cat page.dom

# a real sweep of two criteria, each with two controls
cat >e.json <<'END'
{"name": "two-criteria", "model": {"hidden": [16]},
 "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 360, "test": 100, "seed": 3}},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0.5, 0.9], "reset": ["0ep", "1ep"], "criterion": ["magnitude", "random"],
           "controls": ["reinit", "shuffle"], "replicates": 2}}
END
coppice run e.json -o swept >out 2>&1 && ok "a sweep of criteria and controls" || no "a sweep: $(tail -n 1 out)"
cat >figures.html <<'HTML'
<!DOCTYPE html><body><iframe id="f" src="swept/report.html" style="width:1280px;height:9000px;border:0"></iframe><pre id="p"></pre>
<script>onload = () => { const d = document.getElementById("f").contentDocument;
const of = (f, ...what) => what.map(w => f.querySelectorAll(w).length).join(" ");
document.getElementById("p").textContent = [...d.querySelectorAll("figure")].map(f => (f.querySelector("h2") || f).textContent + "|" +
	of(f, "rect.cell", "g.series", "g.series.dashed", "path.mark", "path.bar", "rect.band", "rect.pair")).join("\n") + "\n"; }</script></body>
HTML
show --allow-file-access-from-files --dump-dom "file://$PWD/figures.html" >page.dom 2>log
check "no complaint on the console about it" bash -c '! grep -i "console" log'
figure() { # figure NAME HEADING CELLS SERIES DASHED MARKS BARS BANDS [PAIRS]
	check "$1" test "$(grep -cE "(^|>)$2\|$3 $4 $5 $6 $7 $8 ${9:-0}$" page.dom)" -eq 1
}
for c in magnitude random; do
	for t in rewind reinit shuffle; do
		figure "a map of $c, $t" "Accuracy of every ticket: $c, $t" 4 0 0 0 0 0
	done
done
for at in 0ep 1ep; do
	figure "all ways reset to $at, with intervals" "Ways to cut and retrain: reset to $at" 0 6 4 18 12 1
done
figure "the reset points of the first" "Accuracy against sparsity: magnitude, rewind" 0 2 0 6 4 1
figure "early stops" "Early stop: reset to [01]ep" 0 6 4 18 12 1
figure "accuracy there" "Accuracy at early stop: reset to [01]ep" 0 6 4 18 12 1
# of two replicates: what two criteria leave, and that shuffled; the reset point and the weights change no mask here
figure "masks each with each, equal ones once" "What tickets have in common: quantile 0.[59]" 0 0 0 0 0 0 64
if has_python; then
	coppice report swept --json >report.json
	quantile=$("$PYTHON" -c 'import json; print(json.load(open("report.json"))["overlaps"]["quantile"])')
	coppice mask compare swept --quantile "$quantile" --json >masks.json
	"$PYTHON" - <<'END' && ok "and 'mask compare' says the same of them" || no "overlaps of the report"
import json
page, all = json.load(open("report.json"))["overlaps"], json.load(open("masks.json"))[0]
at = {m["cell"]: i for i, m in enumerate(all["masks"])}
cells = [m["cell"] for m in page["masks"]]
assert page["overlap"] == [[all["overlap"][at[a]][at[b]] for b in cells] for a in cells]
assert len(page["masks"]) == 8 and len(all["masks"]) == 24
assert abs(page["chance"] - (1 - page["quantile"])) < 1e-3
END
else
	skip "overlaps of the report against 'mask compare'" "no python"
fi

# children, and the lines between them
cat >e.json <<'END'
{"name": "children", "model": {"hidden": [16]},
 "data": {"path": "glyphs", "glyphs": {"train": 360, "test": 100, "seed": 3}},
 "train": {"epochs": 2, "batch": 20, "optimizer": {"lr": 0.05}},
 "sweep": {"quantiles": [0, 0.9], "reset": ["0ep", "1ep"], "children": 2, "replicates": 2}}
END
coppice run e.json -o connected >out 2>&1 && coppice connect connected --points 3 >/dev/null 2>&1 &&
	coppice report connected >/dev/null || no "a sweep with children: $(tail -n 1 out)"
sed -i s,swept/,connected/, figures.html
show --allow-file-access-from-files --dump-dom "file://$PWD/figures.html" >page.dom 2>log
check "no complaint on the console about children" bash -c '! grep -i "console" log'
figure "instability, the dense network's and the tickets', with intervals" "Instability against reset point" 0 2 0 6 4 0
figure "the error along the lines, of the first and the last reset point" "Error between two children" 0 4 0 16 0 0
expect "instabilities in the terminal" 0 "^criterion +retrain +quantile +left % +reset +replicates +pairs" coppice report connected
expect "and as JSON" 0 '"stable_pairs":' coppice report connected --json
figure "children but the first are in no map" "Accuracy of every ticket" 4 0 0 0 0 0
head -c 2000 connected/connect/000000-000001.h5 >cut && mv cut connected/connect/000000-000001.h5
expect "a damaged line is passed over, with a warning" 0 "000000-000001.h5.*it is not in the report" coppice report connected
cp connected/connect/000002-000003.h5 three
coppice connect connected --points 4 >/dev/null 2>&1
mv three connected/connect/000002-000003.h5
expect "a line that was measured otherwise than the rest goes into no mean" 0 "^coppice: warning: 1 of 8 lines were measured with other points" \
	coppice report connected
coppice connect connected --points 4 >/dev/null 2>&1
coppice plan e.json -o other --set train.seeds.order=9 --no-timing >/dev/null 2>&1 && coppice submit other --local >/dev/null 2>&1
if has_python; then
	"$PYTHON" - <<'END'
import h5py
with h5py.File("connected/cells/000003.h5", "r+") as f, h5py.File("other/cells/000003.h5") as o:
    for g in ("params", "buffers"):
        if g in f:
            del f[g]
            o.copy(g, f)
END
	expect "a line between weights that are no longer there is told of" 0 "cell 2 or 3 was computed anew" coppice report connected
else
	skip "a line between weights that are no longer there is told of" "no h5py"
fi
