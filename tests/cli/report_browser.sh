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
check "the dense network's interval behind both" test "$(count '<rect class="band"')" -eq 2
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
