#!/bin/bash
# test: coppice report on made-up results: the heat map, the page, JSON, the picture, and what goes wrong
source "$ROOT/tests/lib.sh"
make_run() { "$BUILD/tests/test_report" "$@"; } # RUN QUANTILES RESETS REPLICATES MISSING VALIDATION NAME

make_run run 7 5 3 4 1 'a & <b>' || no "made-up results"
expect "no run's folder" 2 "'nowhere' is no run's folder" coppice report nowhere
mkdir empty
expect "no results yet" 2 "'empty' has no results yet \(run 'coppice collect empty' first\)" coppice report empty
mkdir damaged && head -c 3000 run/results.h5 >damaged/results.h5
expect "damaged results" 2 "damaged/results.h5" coppice report damaged
check "damaged results leave no page" test ! -e damaged/report.html
expect "no RUN" 2 'which RUN' coppice report
expect "a colour that is none" 2 "always or never, not 'sometimes'" coppice report run --color sometimes

expect "heat map" 0 '^   0.964    3.60   [0-9]{2}\.[0-9]{2} ' coppice report run
expect "means with their intervals" 0 '^mean of 3 replicates ± half the width of its 95% interval$' coppice report run
expect "in each place" 0 '^   0.964    3.60   ([0-9]{2}\.[0-9]{2} ± *[0-9]+\.[0-9]{2} *){4}$' coppice report run
expect "how fast they ran" 0 '^   0.964   3.60 +11     2.00   2.00  2.00$' coppice report run
check "the page is there" test -s run/report.html
check "paths come last" test "$(coppice report run | tail -n 2)" = "run/results.h5
run/report.html"
check "plain where it is no terminal" bash -c '! coppice report run | grep -q $'"'\\033'"
check "256 colours" bash -c 'COLORTERM= coppice report run --color always | grep -q $'"'\\033\\[48;5;'"
check "24 bits" bash -c 'COLORTERM=truecolor coppice report run --color always | grep -q $'"'\\033\\[48;2;'"
check "never" bash -c 'COLORTERM=truecolor coppice report run --color never | { ! grep -q $'"'\\033'; }"

make_run four 7 5 3 4 1 four 4 || no "made-up results of four variants"
expect "a map for each variant" 0 '^magnitude, reinit:$' coppice report four
check "four of them" test "$(coppice report four | grep -c '^quantile  left %     0ep')" -eq 4
coppice report four --json >four.json
if "$PYTHON" - <<'PYTHON'
import json
report = json.load(open("four.json"))
places = {(g["criterion"], g["retrain"], g["control"], g["quantile"], g["reset"]): g for g in report["grid"]}
assert len(places) == len(report["grid"]) == 4 * 35, len(places)
kinds = [("magnitude", "rewind", False), ("magnitude", "reinit", True), ("random", "rewind", False), ("random", "reinit", True)]
assert {k[:3] for k in places} == set(kinds), {k[:3] for k in places}
sparse = [places[(*k, 0.964, "0ep")]["test_top1"] for k in kinds]
assert all(a > b + 0.01 for a, b in zip(sparse, sparse[1:])), sparse
assert [g["replicates"] for g in report["grid"]].count(2) == 4 and all(g["replicates"] > 1 for g in report["grid"])
stops = report["early_stop"][1:]
assert len({(s["criterion"], s["retrain"], s["reset"], s["quantile"]) for s in stops}) == len(stops) == 4 * 35, len(stops)
PYTHON
then ok "JSON has the rows of each variant"; else no "JSON has the rows of each variant"; fi

rm run/report.html
check "-o" coppice report run -o elsewhere.html
check "-o is obeyed" test -s elsewhere.html -a ! -e run/report.html
expect "a folder that is not there" 1 "no/where" coppice report run -o no/where.html
check "--svg" coppice report run --svg map.svg
if coppice report run --json >grid.json && "$PYTHON" - <<'PYTHON'
import json, xml.etree.ElementTree as ET
report = json.load(open("grid.json"))
grid, usage = report["grid"], report["usage"]
assert usage["results"] >= 35 and usage["core_hours"] > 0 and sum(h["cells"] for h in usage["hosts"]) >= 35, usage
assert 1 <= usage["at_once_most"] and usage["cell_seconds_median"] <= usage["cell_seconds_longest"], usage
assert len(grid) == 35, len(grid)
assert [(s["quantile"], s["speedup"], s["least"], s["most"]) for s in report["speed"]] == [
    (q, 2, 2, 2) for q in sorted({g["quantile"] for g in grid})], report["speed"]
assert sum(s["cells"] for s in report["speed"]) == sum(g["replicates"] for g in grid), report["speed"]
stops = report["early_stop"]
assert len(stops) == 36 and stops[0]["reset"] == "dense" and all(s["split"] == "test" for s in stops), stops
assert [s["reset"] for s in stops[1:]] == [r for r in ("0ep", "100it", "500it", "1ep", "2ep") for _ in range(7)]
assert all(s["times_sooner"] == stops[0]["step"] / s["step"] and s["step_half"] >= 0 for s in stops)
assert all(g["test_top1_half"] > g["test_top1_sd"] and abs(g["difference"] - g["test_top1"] + g["dense_top1"]) < 1e-12
           and 0 < g["difference_p"] <= 1 for g in grid)
assert all(0 < g["test_top1_min"] <= g["test_top1"] <= g["test_top1_max"] <= 1 for g in grid)
assert [g["replicates"] for g in grid].count(2) == 4
def walk(path):
    return list(ET.parse(path).getroot().iter())
def tag(e):
    return e.tag.split("}")[1] if "}" in e.tag else e.tag
page = walk("run/report.html")
assert not [e for e in page if tag(e) in ("script", "link", "img", "iframe")]
assert not [k for e in page for k in e.attrib if k in ("src", "href", "onclick", "onload")]
assert sum(tag(e) == "rect" and e.get("class") == "cell" for e in page) == 35
assert [e.text for e in page if tag(e) == "h1"] == ["a & <b>"]
picture = walk("map.svg")
assert tag(picture[0]) == "svg" and sum(tag(e) == "rect" and e.get("class") == "cell" for e in picture) == 35
PYTHON
then ok "JSON, page and picture are well-formed and whole"; else no "JSON, page and picture are well-formed and whole"; fi
