/*
 * Staging: what a task reads is copied to a folder of its node first, once for all tasks there, and read from the copy.
 * Where that cannot be done a warning says why and the original is read: staging never makes work fail, and the bits
 * that are computed do not depend on it.
 *
 * STAGE/coppice-UID (mode 700) holds of each file that was staged, KEY being the hash of its path:
 *
 *   KEY.lock       locked (flock) by the process that copies: the kernel gives the lock back however that one ends
 *   KEY-HASH.h5    the copy, HASH the XXH64 of its bytes; renamed to this when it is whole and was read back
 *   KEY.json       the note, written last: path, size and mtime of the original; name, size and mtime of the copy; the
 *                  hash, and the boot of the node
 *
 * A note that fits original and copy is believed without reading them. Nobody but the user can write there, whatever
 * writes to a file changes its mtime, and what the disk may have lost when the node went down is caught by the boot: a
 * copy from before is read and hashed again. Blocks that rot on the disk later on are found by HDF5's own checksums as
 * they are read.
 */
#ifndef COP_SWEEP_STAGING_H
#define COP_SWEEP_STAGING_H

#include "nn/batches.h"
#include "store/checkpoint.h"

#include <signal.h>

struct cop_staging {
	char *folder;                      /* STAGE/coppice-UID; NULL: nothing is staged */
	char *data;                        /* the dataset whose copy is read; NULL: it is read where it is */
	const volatile sig_atomic_t *stop; /* set: give up copying or waiting; may be NULL */
	double patience;                   /* seconds to wait for another's copy, and one more for each 10 MB */
};

/*
 * `stage` is the key device.stage; "" or NULL: nothing is staged. Its variables are replaced from the environment. A
 * stage that cannot be used is a warning. Release it.
 */
void cop_staging_open(struct cop_staging *s, const char *stage, const volatile sig_atomic_t *stop);
void cop_staging_release(struct cop_staging *s);

/* Warns of a stage that no node can make sense of: a relative path. For the planning of a run. */
void cop_staging_advise(const char *stage);

/*
 * As cop_data_open and cop_checkpoint_read, from copies; s may be NULL: from the files themselves. COP_ESTOPPED: asked
 * to stop while the dataset was staged.
 */
int cop_staging_data(struct cop_staging *s, struct cop_data *d, const struct cop_data_config *c, struct cop_err *err)
	COP_CHECKED;
int cop_staging_checkpoint(const struct cop_staging *s, const char *path, struct cop_checkpoint *c, bool slots,
			   struct cop_err *err) COP_CHECKED;

/*
 * The work has failed, and may have done so over the dataset's copy, from which images are read to the end. Whoever
 * stages it next reads and hashes that copy before it is believed.
 */
void cop_staging_doubt(const struct cop_staging *s);

/* The pieces. */

/* `text` with $NAME and ${NAME} replaced, $$ being $; the caller frees. COP_EINPUT: not set or empty, or no name. */
int cop_staging_expand(const char *text, char **out, struct cop_err *err) COP_CHECKED;

/* Makes STAGE/coppice-UID and checks that it is ours alone; the caller frees. COP_EINPUT, COP_EFAILED. */
int cop_staging_folder(const char *stage, char **out, struct cop_err *err) COP_CHECKED;

/*
 * The path of a whole copy of `path`, which the caller frees; *found: it was there already. COP_EFAILED: no room, no
 * lock in time, the original changes or cannot be read, or the copy reads otherwise than it was written. COP_ESTOPPED.
 */
int cop_staging_copy(const struct cop_staging *s, const char *path, char **copy, bool *found, struct cop_err *err)
	COP_CHECKED;

/* Has the copy of `path`, where there is one, looked at more closely the next time. */
void cop_staging_mistrust(const struct cop_staging *s, const char *path);

#endif
