/*
 * RUN/results.h5: every finished cell's row, history and layers, and the file that they came from; the missing ones by
 * index; the dense runs. It can be written a cell at a time, so that a large sweep needs little memory.
 */
#ifndef COP_STORE_RESULTS_H
#define COP_STORE_RESULTS_H

#include "store/cell.h"

#define COP_RESULTS_FORMAT "coppice-results"

/* The dense network of a replicate: what final.h5's run measured. */
struct cop_dense {
	int64_t replicate, total; /* total: prunable weights */
	double test_top1, test_top5, test_loss, val_top1, seconds, images_per_second, data_wait;
	double early_stop_step, early_stop_val_top1, early_stop_test_top1; /* these and the next ones as of a cell */
	double began, ended, joules, gpus, gpu_utilisation, gpu_memory;
	int64_t cores;
	char device[COP_TEXT]; /* as of a cell; empty where a file does not say */
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

/*
 * Writing a cell at a time, by index ascending; either from nothing, or from the results that are at `path`, of which
 * it keeps what it is told to keep.
 */
struct cop_results_writer;
int cop_results_begin(struct cop_results_writer **w, const char *path, const char *name, const char *experiment,
		      const char *hash, struct cop_err *err) COP_CHECKED;
/*
 * sum: the file's, from when it was written (cop_xxh_file). COP_EINPUT where it has another, is no results' file, is of
 * another experiment, or does not know where its cells came from.
 */
int cop_results_resume(struct cop_results_writer **w, const char *path, const char *name, const char *experiment,
		       const char *hash, uint64_t sum, struct cop_err *err) COP_CHECKED;
/* The cells that were there, by index ascending, and the files that they came from. None after cop_results_begin. */
size_t cop_results_count(const struct cop_results_writer *w);
const struct cop_row *cop_results_row(const struct cop_results_writer *w, size_t k);
const struct cop_stamp *cop_results_stamp(const struct cop_results_writer *w, size_t k);
/* The cell at place k stays as it is. */
int cop_results_keep(struct cop_results_writer *w, size_t k, struct cop_err *err) COP_CHECKED;
/* A cell that is new, or replaces the one of its index. stamp: of the file that it came from; NULL: none. */
int cop_results_add(struct cop_results_writer *w, const struct cop_cell *c, const struct cop_stamp *stamp,
		    struct cop_err *err) COP_CHECKED;
int cop_results_add_dense(struct cop_results_writer *w, const struct cop_dense *d, struct cop_err *err) COP_CHECKED;
/* Puts the file in place. Frees `w` whatever happens. */
int cop_results_end(struct cop_results_writer *w, const int64_t *missing, size_t nmissing, struct cop_err *err)
	COP_CHECKED;
void cop_results_abandon(struct cop_results_writer *w); /* NULL is allowed */

#endif
