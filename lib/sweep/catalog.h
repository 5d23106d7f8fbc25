/*
 * Which cells of a run have a valid result. RUN/cells is listed once; what was validated before is remembered in
 * RUN/state/catalog by size, time and inode, so that only new and changed files are opened. A valid file is complete,
 * as long as it says that it is, and of this experiment and this point of its grid; that its data can be read is found
 * by whoever reads them, who tells with cop_catalog_reject.
 */
#ifndef COP_SWEEP_CATALOG_H
#define COP_SWEEP_CATALOG_H

#include "sweep/run.h"

enum cop_verdict {
	COP_VERDICT_MISSING, /* no file */
	COP_VERDICT_VALID,   /* by all that can be told without reading its data */
	COP_VERDICT_INVALID, /* cut short, unfinished, foreign or unreadable; looked at anew each time */
	COP_VERDICT_REJECTED /* looked valid, but could not be read: remembered until the file changes */
};

struct cop_listed {
	enum cop_verdict verdict;
	bool read; /* its data were read after all, whatever others say */
	struct cop_stamp stamp;
	char *reason; /* why it is not valid; NULL otherwise */
};

struct cop_catalog {
	const struct cop_run *run;
	struct cop_listed *cell; /* run->ncells of them, by index */
	size_t opened;           /* how many files had to be validated */
	bool changed;            /* something is to be remembered */
};

/*
 * Lists and validates. Never fails: what cannot be listed is missing, what cannot be remembered will be validated
 * again. Close it.
 */
void cop_catalog_open(struct cop_catalog *c, const struct cop_run *run);
/* Remembers what changed, where the folder can be written, and releases. */
void cop_catalog_close(struct cop_catalog *c);

bool cop_catalog_valid(const struct cop_catalog *c, int64_t index);
/* Whether a file is there, valid or not. */
bool cop_catalog_there(const struct cop_catalog *c, int64_t index);
/* Why a file that is there is not valid, naming it; "" for one that is valid or missing. The catalog's. */
const char *cop_catalog_reason(const struct cop_catalog *c, int64_t index);

/* Reading a valid file failed: it counts as invalid from now on, also for those who open the catalog later. */
void cop_catalog_reject(struct cop_catalog *c, int64_t index, const char *reason);
/* A rejected file could be read after all. */
void cop_catalog_accept(struct cop_catalog *c, int64_t index);

#endif
