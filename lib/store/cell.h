/* The result of one cell, RUN/cells/NNNNNN.h5, and what of it goes into RUN/results.h5. */
#ifndef COP_STORE_CELL_H
#define COP_STORE_CELL_H

#include "base/layout.h"
#include "store/h5.h"

#define COP_CELL_FORMAT "coppice-cell"

enum { COP_TEXT = 64 };

/* One row of the table of cells. Fractions, not percent; NaN where there is no value. */
struct cop_row {
	int64_t index, replicate;
	int64_t round;   /* of iterative pruning, from 1; 1 where there is one only */
	int64_t same_as; /* the cell whose result this is, mask and reset step being the same; -1: its own */
	double quantile, threshold;
	char reset[COP_TEXT]; /* as the experiment says it: "3ep" */
	int64_t reset_step;
	char criterion[COP_TEXT], retrain[COP_TEXT]; /* the experiment's words; empty for a dense run */
	int64_t child;
	int64_t total, nnz;
	double test_top1, test_top5, test_loss, val_top1;
	/* where the validation loss is least (struct cop_early_stop); NaN without a validation split */
	double early_stop_step, early_stop_val_top1;
	double early_stop_test_top1; /* NaN where it was not asked for */
	double seconds, images_per_second;
	double data_wait;       /* share of the time within steps that went to waiting for images */
	double began;           /* when its first attempt began, in seconds since 1970 */
	double ended;           /* when its last one had its result */
	double joules;          /* of the processors and GPUs, over all restarts; NaN where no counter tells */
	int64_t cores;          /* threads that it had, no more than there were cores for it; of the last attempt */
	double gpus;            /* that were its own; a part of one where cells share it */
	double gpu_utilisation; /* of these, whoever used them: the mean share of the time in which they computed */
	double gpu_memory; /* the most bytes of a GPU's that its process had allocated at once, over all restarts */
	int64_t restarts;
	char host[COP_TEXT], device[COP_TEXT];
	char engine[COP_TEXT]; /* "dense", "sparse 45 of 53 layers"; empty where a file does not say */
	char job[COP_TEXT];
};

/* One row each train.validate_every, and a first one for the state before the first step (train_* are NaN there). */
enum cop_history_column {
	COP_HISTORY_EPOCH,
	COP_HISTORY_STEP,
	COP_HISTORY_LR,
	COP_HISTORY_TRAIN_LOSS,
	COP_HISTORY_TRAIN_TOP1,
	COP_HISTORY_VAL_LOSS,
	COP_HISTORY_VAL_TOP1,
	COP_HISTORY_VAL_TOP5,
	COP_HISTORY_SECONDS,
	COP_HISTORY_TEST_TOP1, /* where the validation loss is a new minimum and that is asked for, else NaN */
	COP_HISTORY_COLUMNS
};
extern const char *const cop_history_names[COP_HISTORY_COLUMNS];

struct cop_history {
	double (*row)[COP_HISTORY_COLUMNS];
	size_t n, cap;
};

void cop_history_add(struct cop_history *h, const double row[COP_HISTORY_COLUMNS]);
void cop_history_release(struct cop_history *h);

/* How many of the columns tell something: test_top1, the last one, is left out of files and digests where it is NaN in
   each row. */
int cop_history_told(const struct cop_history *h);

/* Goes on with a digest, row by row, then test_top1 where it tells something. */
uint64_t cop_history_hash(uint64_t hash, const struct cop_history *h);

/*
 * The early-stopping iteration of Frankle & Carbin (2019): the row of the least validation loss, of equal ones the
 * first; what it says. All NaN where no row has a validation loss.
 */
struct cop_early_stop {
	double step, val_loss, val_top1, test_top1;
};
struct cop_early_stop cop_history_early_stop(const struct cop_history *h);
int cop_history_store(struct cop_h5 *f, const char *group, const struct cop_history *h, struct cop_err *err)
	COP_CHECKED;
int cop_history_load(struct cop_h5 *f, const char *group, struct cop_history *h, struct cop_err *err) COP_CHECKED;

/* Survivors by prunable tensor. */
struct cop_layer_count {
	char name[COP_TENSOR_NAME];
	int64_t total, nnz;
	int64_t sparse; /* 1: computed from a list of its survivors, 0: whole; -1: not known */
};

struct cop_cell {
	struct cop_row row;
	struct cop_history history;
	struct cop_layer_count *layer;
	size_t nlayers;
	char *hash; /* experiment_hash */
};

/* Which file it was: two files with the same stamp are the same one, unchanged. */
struct cop_stamp {
	int64_t size;
	int64_t changed; /* nanoseconds since 1970 */
	int64_t inode;
};

/* Whether it is the same file, unchanged. */
static inline bool cop_stamp_same(const struct cop_stamp *a, const struct cop_stamp *b)
{
	return a->size == b->size && a->changed == b->changed && a->inode == b->inode;
}

/* Writes the file; params and mask may be NULL ("keep_weights": false). `experiment` is the resolved JSON. */
int cop_cell_write(const char *path, const struct cop_cell *c, const char *experiment, const struct cop_layout *l,
		   const float *param, const uint8_t *mask, const struct cop_layout *buffers, const float *buffer,
		   struct cop_err *err) COP_CHECKED;
/* Reads everything but weights and masks. A file that is not a complete cell is COP_EINPUT. */
int cop_cell_read(const char *path, struct cop_cell *c, struct cop_err *err) COP_CHECKED;
/* Writes `to`, all of the cell's file `from` but with `row` in place of its row. */
int cop_cell_copy(const char *from, const char *to, const struct cop_row *row, struct cop_err *err) COP_CHECKED;
/*
 * Reads only what tells which cell of which experiment it is: index, replicate, round, quantile, reset_step, criterion,
 * retrain, child and hash; the rest stays 0. A file that is cut short, or is no complete cell, is COP_EINPUT.
 */
int cop_cell_probe(const char *path, struct cop_cell *c, struct cop_err *err) COP_CHECKED;
void cop_cell_release(struct cop_cell *c);

#endif
