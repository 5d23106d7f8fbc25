#!/bin/bash
# test: the documents say what the program says: keys, defaults, commands, exit codes, options, links
source "$ROOT/tests/lib.sh"

# Each key of the experiment file with its default, as 'KEY DEFAULT' lines: from --help, and from the table in docs.
coppice plan --help >help || no "coppice plan --help"
tr -s '\n ' '  ' <help | sed 's/.*Keys of an experiment file: //' |
	grep -oE '(^| )(name|(model|data|train|sweep|device|slurm|cost)\.[a-z0-9_.]+) ' | tr -d ' ' | sort >keys.help
sed -nE 's/^\| `([a-z0-9_.]+)`( ·)? \|.*/\1/p' "$ROOT/docs/experiment.md" | sort >keys.docs
check "there are keys" test "$(wc -l <keys.help)" -gt 40
check "docs/experiment.md has the keys of 'plan --help' and no others" diff keys.help keys.docs

echo '{}' >empty.json
check "an experiment of defaults" coppice plan --no-timing empty.json -o run \
	--set data.glyphs.train=100 --set data.glyphs.test=10 --set train.epochs=0
if has_python; then
	cat >defaults.py <<'PYTHON'
import json, re, sys
experiment = json.load(open(sys.argv[1]))
given = {"data.glyphs.train": 12000, "data.glyphs.test": 2000, "train.epochs": 10, "data.fingerprint": ""}
for line in open(sys.argv[2]):
    cell = [c.strip() for c in line.split("|")]
    m = len(cell) > 4 and re.match(r"`([a-z0-9_.]+)`", cell[1])
    if not m:
        continue
    key, value = m[1], experiment
    for part in key.split("."):
        value = value[part]
    value = given.get(key, value)
    said = json.loads(cell[3].strip("`"))
    if said != value or type(said) != type(value) and not isinstance(value, float):
        print(f"{key}: {cell[3]} in the docs, {value} by default")
PYTHON
	expect "docs/experiment.md has the defaults" 0 '^$' "$PYTHON" defaults.py run/experiment.json "$ROOT/docs/experiment.md"
else
	skip "docs/experiment.md has the defaults" "no python"
fi

# Commands: in README's table, in the manual page, with every option of each in the manual page.
coppice --help >commands
sed -nE 's/^  ([a-z]+) .*/\1/p' commands | sort >names
check "there are commands" test "$(wc -l <names)" -gt 10
sed -nE 's/^\| `coppice ([a-z]+).*/\1/p' "$ROOT/README.md" | sort >table
check "README's table has the commands of --help" diff names table
sed -nE 's/^\.SS "?(coppice )?([a-z]+).*/\2/p' "$ROOT/docs/coppice.1" | sort >sections
check "the manual page has the commands of --help" diff names sections

# The options that a command's help lists, long names only; --help and --usage go without saying.
options() { "$@" --help | grep -oE '^ +(-[a-z], +)?--[a-z-]+' | grep -oE -- '--[a-z-]+' | grep -vE -- '--(help|usage)$' | sort -u; }
tr -d '\\' <"$ROOT/docs/coppice.1" >manual
section() { awk -v name="coppice $1( |$)" '/^\.S[SH] /{on = $0 ~ name} on' manual | grep -oE -- '--[a-z-]+' | sort -u; }
for c in $(grep -v mask names); do
	check "the manual page has the options of $c" diff <(options coppice "$c") <(section "$c")
done
for action in make apply shuffle show compare; do options coppice mask "$action"; done | sort -u >mask.help
check "the manual page has the options of mask" diff mask.help <(section mask)

codes=$(tr -s '\n ' '  ' <commands | grep -oE 'Exit codes: .*again')
for text in "$ROOT/README.md" manual; do
	check "exit codes in ${text##*/}" grep -qF "${codes#Exit codes: }" <(tr -s '\n ' '  ' <"$text")
done

# Links to files and headings of this repository.
if has_python; then
	cat >links.py <<'PYTHON'
import pathlib, re, sys
root = pathlib.Path(sys.argv[1])
def anchors(path):
    heads = re.findall(r"^#+ +(.*)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in heads}
n = bad = 0
for page in [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").glob("*.md"), *(root / "configs").glob("*.md")]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for to in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in to:
            continue
        n += 1
        name, _, anchor = to.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            bad += print(f"{page.name}: '{to}' does not exist") is None
        elif anchor and anchor not in anchors(target):
            bad += print(f"{page.name}: '{to}' has no such heading") is None
print(f"{n} links, {bad} broken")
PYTHON
	expect "links" 0 '^[1-9][0-9]+ links, 0 broken$' "$PYTHON" links.py "$ROOT"

	# README's Python, on a run that is there.
	"$BUILD/tests/test_report" results/demo 4 3 1 2 1 demo || no "made-up results"
	sed -n '/^```python$/,/^```$/p' "$ROOT/README.md" | grep -v '^```' >snippet.py
	expect "README's h5py snippet" 0 "'index', 'replicate'" "$PYTHON" snippet.py
else
	skip "links, and README's h5py snippet" "no h5py"
fi

if command -v groff >/dev/null; then
	expect "the manual page is clean" 0 '^$' bash -c 'groff -man -ww -z -Tutf8 "$1" 2>&1' - "$ROOT/docs/coppice.1"
else
	skip "the manual page is clean" "no groff"
fi

# Every experiment in configs/ is one, and is told of.
for f in "$ROOT"/configs/*.json; do
	check "${f##*/} can be planned" coppice show "$f"
	check "${f##*/} has its line in configs/README.md" grep -qF "\`${f##*/}\`" "$ROOT/configs/README.md"
done
