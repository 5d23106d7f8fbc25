/* Staging: one file into the folder, by one process at a time; see staging.h. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/xxhash.h"
#include "sweep/staging_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1 << 20, TRIES = 3, HASH_TEXT = 17 };
#define WAIT_NS 100000000L
#define MARGIN (16.0 * (1 << 20)) /* bytes that stay free beside the copy, and a twentieth of it */

static bool stopped(const struct cop_staging *s)
{
	return s->stop && *s->stop;
}

static int fail_stopped(const struct cop_staged *e, struct cop_err *err)
{
	return cop_fail(err, COP_ESTOPPED, "asked to stop while '%s' was staged", e->source);
}

/*
 * Reads all of `from` into the hash and, where `to` is a file, into it. *bytes: how many there were; one that grows is
 * left once it is too long. What is being read or written is named by the caller.
 */
static int pass(const struct cop_staged *e, int from, int to, uint64_t *hash, off_t *bytes, struct cop_err *err)
{
	struct cop_xxh h;
	char *block = cop_xmalloc(BLOCK);
	int rc = 0;
	ssize_t got = 1;
	cop_xxh_begin(&h);
	*bytes = 0;
	while (got && *bytes <= e->size) {
		got = read(from, block, BLOCK);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			rc = cop_fail_errno(err, COP_EFAILED, "cannot read");
		else if (stopped(e->s))
			rc = fail_stopped(e, err);
		else if (got && to >= 0 && cop_write_all(to, block, (size_t)got) < 0)
			rc = cop_fail_errno(err, COP_EFAILED, "cannot write");
		if (rc)
			break;
		cop_xxh_add(&h, block, (size_t)got);
		*bytes += got;
		if (to >= 0)
			cop_progress("staging", (double)*bytes, (double)e->size, "%s", cop_name_of(e->source));
	}
	free(block);
	*hash = cop_xxh_end(&h);
	return rc;
}

/* Reads the copy as every reader will. */
static int hash_file(const struct cop_staged *e, const char *path, uint64_t *hash, struct cop_err *err)
{
	off_t bytes;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot read '%s'", path);
	int rc = pass(e, fd, -1, hash, &bytes, err);
	close(fd);
	return rc && rc != COP_ESTOPPED ? cop_context(err, "reading '%s' back", path) : rc;
}

static int check_room(const struct cop_staged *e, struct cop_err *err)
{
	struct statvfs v;
	/* some file systems do not tell */
	if (statvfs(e->s->folder, &v) < 0 || v.f_blocks == 0)
		return 0;
	double room = (double)v.f_bavail * (double)v.f_frsize, need = (double)e->size * 1.05 + MARGIN;
	if (room >= need)
		return 0;
	return cop_fail(err, COP_EFAILED, "no room in '%s': %.0f MB are free, %.0f MB are wanted for it", e->s->folder,
			room / 1e6, need / 1e6);
}

/* Whether the original still is what it was when the copy was begun. */
static bool unchanged(const struct cop_staged *e, int from, off_t bytes)
{
	struct stat st;
	char now[COP_STAMP];
	if (fstat(from, &st) < 0)
		return false;
	cop_stamp(&st, now);
	return strcmp(now, e->source_stamp) == 0 && bytes == e->size;
}

/* Copies to a temporary name and reads that back. *changed: the original changed meanwhile, and the copy is no use. */
static int copy_bytes(struct cop_staged *e, int from, const char *temporary, uint64_t *hash, bool *changed,
		      struct cop_err *err)
{
	struct stat st;
	off_t bytes;
	uint64_t again;
	if (fstat(from, &st) < 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot read '%s'", e->source);
	e->size = st.st_size;
	cop_stamp(&st, e->source_stamp);
	int rc = check_room(e, err);
	if (rc)
		return rc;
	int to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
	if (to < 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot create '%s'", temporary);
	rc = pass(e, from, to, hash, &bytes, err);
	if (rc && rc != COP_ESTOPPED)
		rc = cop_context(err, "copying '%s' to '%s'", e->source, temporary);
	if (close(to) < 0 && !rc)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", temporary);
	*changed = !rc && !unchanged(e, from, bytes);
	if (!rc && !*changed)
		rc = hash_file(e, temporary, &again, err);
	if (!rc && !*changed && again != *hash)
		rc = cop_fail(err, COP_EFAILED, "'%s' reads otherwise than it was written: is the node's disk failing?",
			      temporary);
	return rc;
}

/* A copy under its final name, and its note. */
static int copy_file(struct cop_staged *e, char **copy, struct cop_err *err)
{
	uint64_t hash = 0;
	char text[HASH_TEXT];
	bool changed = false;
	char *base = cop_xasprintf("%s/%s", e->s->folder, e->key), *temporary = cop_temporary_name(base);
	free(base);
	int from = open(e->source, O_RDONLY | O_CLOEXEC);
	int rc = from < 0 ? cop_fail_errno(err, COP_EFAILED, "cannot read '%s'", e->source) : 0;
	if (!rc)
		rc = copy_bytes(e, from, temporary, &hash, &changed, err);
	if (from >= 0)
		close(from);
	if (!rc && !changed) {
		snprintf(text, sizeof(text), "%016" PRIx64, hash);
		*copy = cop_xasprintf("%s/%s-%s.h5", e->s->folder, e->key, text);
		rc = cop_rename_unsynced(temporary, *copy, err);
		if (!rc)
			rc = cop_staged_write_note(e, *copy, text, err);
		if (rc) {
			cop_remove(*copy);
			free(*copy);
			*copy = NULL;
		}
	}
	cop_temporary_remove(temporary); /* there only where something failed */
	free(temporary);
	return rc;
}

/* Whether a copy from before the node was started still has its hash; then it is as good as one from today. */
static bool survived(const struct cop_staged *e, const cJSON *note, const char *copy)
{
	uint64_t hash;
	char text[HASH_TEXT];
	struct cop_err err = {0};
	if (hash_file(e, copy, &hash, &err))
		return false;
	snprintf(text, sizeof(text), "%016" PRIx64, hash);
	return strcmp(cop_json_str(note, "hash", ""), text) == 0 && cop_staged_write_note(e, copy, text, &err) == 0;
}

/* The copy that is there, if it is as good as new. `locked`: this process holds the lock and may look closer. */
static char *find(const struct cop_staged *e, bool locked)
{
	cJSON *note = NULL;
	if (!cop_exists(e->note) || cop_json_read(e->note, &note, NULL))
		return NULL;
	char *copy = cop_staged_noted(e, note);
	if (copy && strcmp(cop_json_str(note, "boot", "?"), e->boot) != 0 && !(locked && survived(e, note, copy))) {
		free(copy);
		copy = NULL;
	}
	cJSON_Delete(note);
	return copy;
}

void cop_staging_mistrust(const struct cop_staging *s, const char *path)
{
	struct cop_staged e;
	cJSON *note = NULL;
	cop_staged_init(&e, s, path);
	/* as if it were from before the node was started */
	snprintf(e.boot, sizeof(e.boot), "mistrusted");
	if (cop_staged_look(&e, NULL) == 0 && cop_json_read(e.note, &note, NULL) == 0) {
		char *copy = cop_staged_noted(&e, note);
		if (copy && cop_staged_write_note(&e, copy, cop_json_str(note, "hash", ""), NULL))
			cop_remove(copy);
		free(copy);
	}
	cJSON_Delete(note);
	cop_staged_release(&e);
}

static int copy_locked(struct cop_staged *e, char **copy, struct cop_err *err)
{
	int rc = 0;
	double begun = cop_now();
	cop_staged_tidy(e);
	for (int i = 0; i < TRIES && !rc && !*copy; i++)
		rc = copy_file(e, copy, err);
	if (!rc && !*copy)
		rc = cop_fail(err, COP_EFAILED, "'%s' changed while it was copied, %d times", e->source, TRIES);
	if (!rc)
		cop_info("staged '%s' in '%s' (%.1f MB in %.1f s)", e->source, e->s->folder, (double)e->size / 1e6,
			 cop_now() - begun);
	return rc;
}

/* Whether the file that was locked is the one that others will find: it may have been removed in between. */
static bool lock_stands(const char *path, int fd)
{
	struct stat held, there;
	return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
	       held.st_dev == there.st_dev;
}

/* Tries once: *fd is the lock, or -1 where somebody else holds it. */
static int try_lock(const struct cop_staged *e, int *fd, struct cop_err *err)
{
	*fd = open(e->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot open '%s'", e->lock);
	int rc = 0;
	bool held = flock(*fd, LOCK_EX | LOCK_NB) == 0;
	if (!held && errno != EWOULDBLOCK && errno != EINTR)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot lock '%s'", e->lock);
	if (!held || !lock_stands(e->lock, *fd)) {
		close(*fd);
		*fd = -1;
	}
	return rc;
}

static int wait_for_lock(const struct cop_staged *e, int *fd, struct cop_err *err)
{
	const struct timespec nap = {.tv_nsec = WAIT_NS};
	double begun = cop_now(), limit = e->s->patience + (double)e->size / 1e7;
	int rc = try_lock(e, fd, err);
	if (!rc && *fd < 0)
		cop_info("waiting for another process that stages '%s' in '%s'", e->source, e->s->folder);
	while (!rc && *fd < 0) {
		if (stopped(e->s))
			return fail_stopped(e, err);
		if (cop_now() - begun > limit)
			return cop_fail(err, COP_EFAILED, "another process holds '%s' for more than %.0f s", e->lock,
					limit);
		nanosleep(&nap, NULL);
		rc = try_lock(e, fd, err);
	}
	return rc;
}

int cop_staging_copy(const struct cop_staging *s, const char *path, char **copy, bool *found, struct cop_err *err)
{
	struct cop_staged e;
	int lock = -1;
	*copy = NULL;
	cop_staged_init(&e, s, path);
	int rc = cop_staged_look(&e, err);
	if (!rc)
		*copy = find(&e, false);
	*found = *copy != NULL;
	if (!rc && !*copy) {
		rc = wait_for_lock(&e, &lock, err);
		if (!rc)
			rc = cop_staged_look(&e, err);
		if (!rc)
			*copy = find(&e, true);
		*found = *copy != NULL;
		if (!rc && !*copy)
			rc = copy_locked(&e, copy, err);
	}
	if (lock >= 0)
		close(lock);
	cop_staged_release(&e);
	return rc;
}
