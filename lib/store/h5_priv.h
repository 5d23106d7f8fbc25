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

/* How files are opened: without locks, and closed with all that is open in them. */
hid_t cop_h5_access_list(void);

/* What stands for the file `path`, not open yet. */
struct cop_h5 *cop_h5_new(const char *path);

/* COP_EINPUT where the open file has another format, an unknown version, or is not complete. */
int cop_h5_check_format(struct cop_h5 *f, const char *format, struct cop_err *err) COP_CHECKED;

/* Silences HDF5's own printing. Called by every way in. */
void cop_h5_quiet(void);

#endif
