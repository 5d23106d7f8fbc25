#!/bin/bash
# test: --help and --version: every command is listed and explains itself
source "$ROOT/tests/lib.sh"

cat >expected <<'END'
Usage: coppice COMMAND [ARGUMENTS]

Pruning sweeps: train once, cut, rewind, retrain, for every threshold and reset point.

  run        plan, train, all cells, collect and report on this machine
  pack       images, IDX files or synthetic glyphs into one HDF5 dataset
  plan       check an experiment and write a run's folder
  train      the dense run with its checkpoints
  cell       one cell of the grid
  task       what a task of an array runs: its cells, or a dense run
  submit     send dense -> cells -> collect to a scheduler
  status     what is done, running, queued, failed or lost
  cancel     end what runs
  redo       submit only what is missing or failed
  collect    gather the cells into results.h5 and results.csv
  report     heat map in the terminal, and report.html
  connect    error on the line between children: are they linearly connected?
  quantile   exact magnitude quantiles of any HDF5 file
  mask       make, apply, show and compare masks
  show       what is in a file of coppice's
  doctor     what was found on this machine, and what is missing
  bench      the benchmarks, each beside its floor

'coppice COMMAND --help' tells a command's options. Exit codes: 0 done, 1 failed, 2 bad usage or input,
3 a needed capability is missing, 4 some cells failed, 75 checkpointed and wants to be run again.
END
same "coppice --help" expected coppice --help
same "coppice help" expected coppice help
expect "coppice --version" 0 '^coppice [0-9]+\.[0-9]+\.[0-9]+ \([0-9a-z]+\)$' coppice --version
for c in $(awk '/^  [a-z]/ { print $1 }' expected); do
	expect "coppice $c --help" 0 "^Usage: coppice $c" coppice $c --help
	expect "coppice $c does not know --no-such-option" 2 "unrecognized option|no action" coppice $c --no-such-option
done
for key in train.optimizer.lr sweep.quantiles data.path device.checkpoint_minutes slurm.extra; do
	expect "coppice plan --help tells of $key" 0 "^ +$key +[a-z0-9]" coppice plan --help
done
