/* The tables of results.h5, for those who write and read them. */
#ifndef COP_STORE_RESULTS_PRIV_H
#define COP_STORE_RESULTS_PRIV_H

#include "store/h5_table.h"
#include "store/results.h"

/* More than anybody has: a damaged size must not ask for all memory. */
enum { COP_RESULTS_MAX = 10000000 };

struct cop_source_row {
	int64_t cell;
	struct cop_stamp stamp;
};

/* Compound types of this and of struct cop_row in memory; strings have a fixed length, so that any reader can take a
 * table whole. The caller closes them. */
hid_t cop_row_type(void);
hid_t cop_source_type(void);

/* The table /cells; *rows is the caller's. */
int cop_results_rows(struct cop_h5 *f, struct cop_row **rows, size_t *n, struct cop_err *err) COP_CHECKED;

/* The groups of a cell's history and layers. */
enum { COP_GROUP_NAME = 32 };
void cop_results_groups(int64_t index, char history[COP_GROUP_NAME], char layers[COP_GROUP_NAME]);

/* The numbers of a dense run, which are attributes of its group. */
enum { COP_DENSE_REALS = 16, COP_DENSE_COUNTS = 2 };
extern const struct cop_dense_field {
	const char *name;
	size_t offset;
	bool later; /* as of struct cop_row_field */
} cop_dense_reals[COP_DENSE_REALS], cop_dense_counts[COP_DENSE_COUNTS];

#endif
