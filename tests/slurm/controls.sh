#!/bin/bash
# test: every criterion, way to retrain, control and child as array tasks of a real cluster, in rounds too
. "$ROOT/tests/lib.sh"
. "$ROOT/tests/slurm/common.sh"
. "$ROOT/tests/slurm/runs.sh"

cat >e.json <<END
{
  "name": "e", "model": {"hidden": [24, 16]},
  "data": {"path": "glyphs", "validation": 40, "glyphs": {"train": 240, "test": 80}},
  "train": {"epochs": 2, "batch": 20, "optimizer": {"name": "adam", "lr": 0.002}},
  "sweep": {"quantiles": [0.6, 0.8], "reset": ["1ep"], "score_batches": 2},
  "slurm": {"time": "00:05:00", "cpus": 1, "mem": "400M", "max_running": 0, "max_attempts": 1}
}
END
ways='"retrain": ["rewind", "lr-rewind"], "controls": ["fine-tune", "reinit", "reinit-sign", "shuffle", "random"]'
sed "s/\"sweep\": {/&\"rounds\": 2, \"children\": 2, $ways, /" e.json >rounds.json
sed "s/\"sweep\": {/&\"criterion\": [\"magnitude\", \"change\", \"magnitude-same-sign\", \"random\", \"random-layerwise\", \"snip\", \"grasp\", \"synflow\", \"gradient-weight\"], /" e.json >criteria.json

# what a column of the results holds, each once
words() {
	awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next } { print $c }' "$1/results.csv" |
		sort -u | xargs
}

mv criteria.json e.json
plan one-here
check "18 cells of nine criteria on this machine" coppice submit one-here --local --jobs 2
plan one
check "submitting them" coppice submit one
mv rounds.json e.json
plan here
check "28 cells of two rounds on this machine" coppice submit here --local --jobs 2

# a round has several followers: its next one, controls and children
scontrol update partition=main state=down
plan held
expect "the first round's arrays and trees" 0 'submitted [0-9]+ jobs .*1 dense, 28 cells' coppice submit held
followers=$(squeue --noheader --name=held.cells --format='%F %E' | grep -o 'aftercorr:[0-9]*' | sort | uniq -c | sort -n | awk '{ print $1 }' | xargs)
# of the ticket's first round its second, that one's child, five controls and their children; of lr-rewind's two
check "who follows whom: $followers" test "$followers" = "2 12"
check "cancelling" coppice cancel held
check "leaves none" left_none held
scontrol update partition=main state=up

plan rounds
check "submitting" coppice submit rounds
check "every criterion is done" ends one 18
check "with the same bits as here" same_points one-here one
check "each by its name" test "$(words one criterion)" = "change gradient-weight grasp magnitude magnitude-same-sign random random-layerwise snip synflow"
check "every way to retrain, control and child is done in both rounds" ends rounds 28
check "with the same bits" same_points here rounds
check "each by its name" test "$(words rounds retrain)" = "fine-tune lr-rewind random reinit reinit-sign rewind shuffle"
check "two children of each" test "$(words rounds child)" = "0 1"

# chains by turns, where so many may run
plan few --set slurm.max_running=2
check "submitting with two at once" coppice submit few
most=0
until [ $SECONDS -ge 400 ] || collected few 28 2>/dev/null; do
	running=$(squeue --noheader --array --states=running --name=few.cells | wc -l)
	[ "$running" -le "$most" ] || most=$running
	sleep 0.3
done
check "all are done" collected few 28
check "with the same bits" same_points here few
check "$most tasks ran at once, and never more than two" test "$most" -ge 1 -a "$most" -le 2

# controls are added to a sweep that is done
sed -e 's/, "controls": \[[^]]*\]//' -e 's/"children": 2, //' e.json >grown.json
mv e.json whole.json
mv grown.json e.json
plan grown
check "without controls" coppice submit grown
check "it is done" ends grown 4
mv whole.json e.json
plan grown
expect "what is new is submitted" 0 '0 dense, 24 cells' coppice submit grown
check "and done" ends grown 28
check "with the same bits, and nothing was done twice" same_points here grown
check "nothing was submitted twice" each_once grown 28
