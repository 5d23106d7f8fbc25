/* RUN/results.h5: every finished cell's row, history and layers; the missing ones by index; the dense runs. */
#ifndef COP_STORE_RESULTS_H
#define COP_STORE_RESULTS_H

#include "store/cell.h"

#define COP_RESULTS_FORMAT "coppice-results"

/* The dense network of a replicate: what final.h5's run measured. */
struct cop_dense {
	int64_t replicate, total; /* total: prunable weights */
	double test_top1, test_top5, test_loss, val_top1, seconds, images_per_second, data_wait;
	double began, ended, joules, gpus; /* as of a cell */
	int64_t cores;
	struct cop_history history;
};

struct cop_results {
	char *name, *experiment, *hash; /* experiment: the resolved JSON */
	struct cop_cell *cell;          /* by index, ascending */
	size_t ncells;
	int64_t *missing;
	size_t nmissing;
	struct cop_dense *dense; /* one a replicate that is done */
	size_t ndense;
};

int cop_results_write(const char *path, const struct cop_results *r, struct cop_err *err) COP_CHECKED;
int cop_results_read(const char *path, struct cop_results *r, struct cop_err *err) COP_CHECKED;
void cop_results_release(struct cop_results *r);

#endif
