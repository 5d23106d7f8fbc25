/* What the files of store/ share of an open HDF5 file. Not for other floors. */
#ifndef COP_STORE_H5_PRIV_H
#define COP_STORE_H5_PRIV_H

#include "store/h5.h"

#include <hdf5.h>

struct cop_h5 {
	hid_t id;
	char *path, *temporary; /* temporary: NULL for a file opened for reading */
	char *format;
	struct cop_err late; /* a failure that could not be told at once; a new file cannot be committed then */
};

hid_t cop_h5_id(const struct cop_h5 *f);

/* The in-memory type. */
hid_t cop_h5_native(enum cop_h5_type type);

/*
 * Fills err with "WHAT 'SUBJECT' in 'FILE': the innermost reason that HDF5 gives", returns `code`; COP_EFAILED in place
 * of COP_EINPUT where it was not the file's fault, but a call of the system failed or memory was wanting.
 */
int cop_h5_fail(struct cop_err *err, int code, const struct cop_h5 *f, const char *what, const char *subject);

/* After a call that failed: COP_EFAILED in place of COP_EINPUT, as above. */
int cop_h5_code(int code);

/* COP_EINPUT "'FILE' lacks this", unless looking for something had failed: then that is told. */
int cop_h5_lacks(struct cop_err *err, const struct cop_h5 *f, const char *fmt, ...) COP_PRINTF(3, 4);

/* Variable-length UTF-8; -1 where it cannot be made. */
hid_t cop_h5_string_type(void);

/* Closes what is there of these; what they are does not matter. */
void cop_h5_close_all(const hid_t *id, size_t n);

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
