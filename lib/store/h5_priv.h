/* What the files of store/ share of an open HDF5 file. Not for other floors. */
#ifndef COP_STORE_H5_PRIV_H
#define COP_STORE_H5_PRIV_H

#include "store/h5.h"

#include <hdf5.h>

struct cop_h5 {
	hid_t id;
	char *path, *temporary; /* temporary: NULL for a file opened for reading */
	char *format;
	struct cop_err late; /* a failure that could not be told at once; the file cannot be committed then */
};

hid_t cop_h5_id(const struct cop_h5 *f);

/* The in-memory type. */
hid_t cop_h5_native(enum cop_h5_type type);

/* Fills err with "WHAT 'SUBJECT' in 'FILE': the innermost reason that HDF5 gives", returns `code`. */
int cop_h5_fail(struct cop_err *err, int code, const struct cop_h5 *f, const char *what, const char *subject);

/* The innermost reason on HDF5's error stack. */
void cop_h5_reason(char *buf, size_t size);

/* Silences HDF5's own printing. Called by every way in. */
void cop_h5_quiet(void);

#endif
