/* Gathering; see gather.h. */
#include "gather.h"

#include "report/csv.h"
#include "sweep/collect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* "3-5 9": runs of indices. */
static void print_missing(const struct cop_results *r)
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
	struct cop_results r;
	cop_run_sweep(run);
	cop_collect(run, &r);
	char *h5 = cop_run_file(run, "results.h5"), *csv = cop_run_file(run, "results.csv");
	int rc = cop_results_write(h5, &r, err);
	if (!rc)
		rc = cop_csv_write(csv, &r, err);
	if (!rc) {
		printf("%zu of %zu cells are done: %s\n", r.ncells, run->ncells, h5);
		if (r.nmissing) {
			print_missing(&r);
			rc = cop_fail(err, COP_EPARTIAL,
				      "%zu of %zu cells missing ('coppice status' says why, 'coppice redo' does them)",
				      r.nmissing, run->ncells);
		}
	}
	cop_results_release(&r);
	free(h5);
	free(csv);
	return rc;
}
