/* The numbers of a grid out of its results; see recover.h. */
#include "sweep/recover.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/validate.h"

#include <stdint.h>
#include <stdlib.h>

/* The numbers for which there is a file; returns how many of the `n`. */
static size_t list_results(const struct cop_run *r, int64_t *index, size_t n)
{
	size_t there = 0;
	for (size_t i = 0; i < n; i++) {
		char *path = cop_run_cell(r, (int64_t)i);
		if (cop_exists(path))
			index[there++] = (int64_t)i;
		free(path);
	}
	return there;
}

/* Which points they are; returns how many could be told. */
static size_t identify(const struct cop_run *r, const int64_t *index, size_t n, struct cop_point *who)
{
	size_t known = 0;
	char **why = cop_identify(r, index, n, who);
	for (size_t i = 0; i < n; i++) {
		if (!why[i])
			who[known++] = who[i];
		else
			cop_warn("%s", why[i]);
		free(why[i]);
	}
	free(why);
	return known;
}

int cop_cells_recover(struct cop_cells *g, const struct cop_experiment *e, const char *run, int64_t steps_per_epoch,
		      size_t *known, struct cop_err *err)
{
	size_t places = cop_cells_count(e);
	struct cop_run r = {.path = (char *)(uintptr_t)run};
	cop_experiment_hash(e, r.hash);
	int64_t *index = cop_xcalloc(places, sizeof(*index));
	size_t there = list_results(&r, index, places);
	struct cop_point *who = cop_xcalloc(there, sizeof(*who));
	size_t n = identify(&r, index, there, who);
	int rc = cop_cells_restore(g, e, steps_per_epoch, who, n, known, err);
	free(who);
	free(index);
	return rc;
}
