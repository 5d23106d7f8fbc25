/* Gathering; see gather.h. */
#include "gather.h"

#include "report/csv.h"
#include "sweep/collect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* "3-5 9": runs of indices. */
static void print_missing(const struct cop_collected *r)
{
	printf("missing:");
	for (size_t i = 0; i < r->nmissing;) {
		size_t j = i;
		while (j + 1 < r->nmissing && r->missing[j + 1] == r->missing[j] + 1)
			j++;
		printf(j > i ? " %" PRId64 "-%" PRId64 : " %" PRId64, r->missing[i], r->missing[j]);
		i = j + 1;
	}
	printf("\n");
}

int gather_run(const struct cop_run *run, struct cop_err *err)
{
	struct cop_collected r;
	cop_run_sweep(run);
	int rc = cop_collect(run, &r, err);
	if (rc)
		return rc;
	char *csv = cop_run_file(run, "results.csv");
	rc = cop_csv_write(csv, r.row, r.ncells, err);
	if (!rc) {
		printf("%zu of %zu cells are done: %s/results.h5\n", r.ncells, run->ncells, run->path);
		if (r.nmissing) {
			print_missing(&r);
			rc = cop_fail(err, COP_EPARTIAL,
				      "%zu of %zu cells missing ('coppice status' says why, 'coppice redo' does them)",
				      r.nmissing, run->ncells);
		}
	}
	cop_collected_release(&r);
	free(csv);
	return rc;
}
