/*
 * Files. A file that exists under its final name is complete: it is written under a temporary name in the same folder,
 * synced, and renamed.
 */
#ifndef COP_BASE_FILE_H
#define COP_BASE_FILE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

bool cop_exists(const char *path);
bool cop_is_folder(const char *path);

/* When a file or folder last changed, in seconds since 1970; 0 where there is none. */
double cop_changed(const char *path);

/* Makes a folder and those above it; one that is there is no error. */
int cop_mkdirs(const char *path, struct cop_err *err) COP_CHECKED;

/* Removes a file; one that is not there is no matter. */
void cop_remove(const char *path);

/* Removes a folder that holds nothing; any other stays. */
void cop_remove_if_empty(const char *path);

/* COP_EINPUT where `path` is something else than a file, such as a pipe, whose opening would wait for its other end.
   One that is not there is no matter. */
int cop_check_regular(const char *path, struct cop_err *err) COP_CHECKED;

/*
 * The code of a failure to open or read a file, by its errno: COP_EINPUT where the name or the file itself is wrong,
 * else COP_EFAILED, for it may go well the next time.
 */
int cop_code_of_reading(int error);

/* The whole file with a terminating zero; the caller frees *data. COP_EINPUT where there is none that
 * may be read, COP_EFAILED where reading it failed. */
int cop_read_file(const char *path, char **data, size_t *len, struct cop_err *err) COP_CHECKED;

/* All of `len` bytes, however many calls it takes. -1 and errno where that fails. */
int cop_write_all(int fd, const void *data, size_t len) COP_CHECKED;

/* Writes and renames; after a failure neither a temporary nor a changed final file is left. */
int cop_write_file(const char *path, const void *data, size_t len, struct cop_err *err) COP_CHECKED;

/*
 * The temporary name for `path`: same folder, unique to host, process and call, starts with a dot. The caller frees.
 * It is remembered until it is renamed or removed, so that a program that is told to end can clean up.
 */
char *cop_temporary_name(const char *path);

/* Removes a temporary file, whether it is there or not. Leaves errno alone. */
void cop_temporary_remove(const char *temporary);

/* Removes what killed processes of this host left half-written in `folder`. Those of living ones, and of other hosts,
 * stay. */
void cop_temporaries_sweep(const char *folder);

/* Removes those of this process that are remembered. Async-signal-safe: for handlers of signals that end a program. */
void cop_temporaries_remove(void);

/* Syncs `temporary`, renames it to `path`, syncs the folder. On failure `temporary` is removed. */
int cop_rename_into_place(const char *temporary, const char *path, struct cop_err *err) COP_CHECKED;

/* The same without syncing, for what a crash of the machine may take. */
int cop_rename_unsynced(const char *temporary, const char *path, struct cop_err *err) COP_CHECKED;

/* The real path of the running executable's folder; the caller frees. */
char *cop_program_folder(void);
char *cop_program_path(void);

/* The absolute form of `path`, which need not exist; the caller frees. */
char *cop_absolute(const char *path);

/* `path` without its last component ("." where there is none), and the last component. */
char *cop_folder_of(const char *path);
const char *cop_name_of(const char *path);

#endif
