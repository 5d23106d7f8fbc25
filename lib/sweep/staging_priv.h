/* What staging.c's two halves share: one file on its way, its note, and tidying up. See staging.h. */
#ifndef COP_SWEEP_STAGING_PRIV_H
#define COP_SWEEP_STAGING_PRIV_H

#include "base/json.h"
#include "sweep/staging.h"

#include <sys/stat.h>

enum { COP_STAMP = 64, COP_BOOT = 64, COP_STAGING_KEY = 17 };

/* One file on its way, and the names that it has in the stage. */
struct cop_staged {
	const struct cop_staging *s;
	char *source;              /* absolute */
	char key[COP_STAGING_KEY]; /* 16 hex digits */
	char source_stamp[COP_STAMP], boot[COP_BOOT];
	char *note, *lock;
	off_t size;
};

/* Release it. Its stamp and size are those of no file until cop_staged_look was there. */
void cop_staged_init(struct cop_staged *e, const struct cop_staging *s, const char *path);
void cop_staged_release(struct cop_staged *e);

/* Size and mtime of the original as they are now. COP_EFAILED: it is gone, or no file. */
int cop_staged_look(struct cop_staged *e, struct cop_err *err) COP_CHECKED;

/* Size and mtime as text: what a file is known again by. */
void cop_stamp(const struct stat *st, char text[COP_STAMP]);

/* The note's copy where it is of this original and lies there as it was left; the caller frees. NULL: copy anew. */
char *cop_staged_noted(const struct cop_staged *e, const cJSON *note);

int cop_staged_write_note(const struct cop_staged *e, const char *copy, const char *hash, struct cop_err *err)
	COP_CHECKED;

/*
 * Makes room, for the holder of the lock: everything of the file but its lock goes, old copies and what a killed
 * process left. So do copies whose originals are gone, unless somebody is at work on them.
 */
void cop_staged_tidy(const struct cop_staged *e);

#endif
