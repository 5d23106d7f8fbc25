/*
 * Tables: datasets of one dimension and a compound type, which numpy and pandas take whole. In chunks with a checksum.
 * Not for other floors.
 */
#ifndef COP_STORE_H5_TABLE_H
#define COP_STORE_H5_TABLE_H

#include "store/h5_priv.h"

/*
 * Writes `n` rows of `type`, a row's type in memory. A table that is there is overwritten in its place, so that a file
 * that is updated often does not grow. COP_EFAILED.
 */
int cop_h5_table_write(struct cop_h5 *f, const char *path, hid_t type, const void *rows, size_t n, struct cop_err *err)
	COP_CHECKED;

/*
 * Reads all rows into *rows, a pointer that the caller frees; *n: how many there are. Fields that the table lacks stay
 * 0. COP_EINPUT where there is no table or it has more rows than `most`.
 */
int cop_h5_table_read(struct cop_h5 *f, const char *path, hid_t type, size_t most, void *rows, size_t *n,
		      struct cop_err *err) COP_CHECKED;

/* Whether a table has such a field; what cannot be found out counts as there. */
bool cop_h5_table_has(struct cop_h5 *f, const char *path, const char *field);

/* Whether there is a table of exactly this type. */
bool cop_h5_table_is(struct cop_h5 *f, const char *path, hid_t type);

#endif
