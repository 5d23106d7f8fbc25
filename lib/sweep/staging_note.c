/* Staging: what is kept of a file, and tidying up; see staging.h. */
#include "sweep/staging_priv.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

void cop_stamp(const struct stat *st, char text[COP_STAMP])
{
	snprintf(text, COP_STAMP, "%" PRId64 " %" PRId64 ".%09ld", (int64_t)st->st_size, (int64_t)st->st_mtim.tv_sec,
		 st->st_mtim.tv_nsec);
}

/* Which start of the machine this is; "" where the system does not tell. */
static void read_boot(char boot[COP_BOOT])
{
	char *text = NULL;
	size_t len = 0;
	boot[0] = '\0';
	if (cop_read_file("/proc/sys/kernel/random/boot_id", &text, &len, NULL))
		return;
	snprintf(boot, COP_BOOT, "%.*s", (int)strcspn(text, "\n"), text);
	free(text);
}

int cop_staged_look(struct cop_staged *e, struct cop_err *err)
{
	struct stat st;
	if (stat(e->source, &st) < 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot read '%s'", e->source);
	if (!S_ISREG(st.st_mode))
		return cop_fail(err, COP_EFAILED, "'%s' is no regular file", e->source);
	e->size = st.st_size;
	cop_stamp(&st, e->source_stamp);
	return 0;
}

void cop_staged_init(struct cop_staged *e, const struct cop_staging *s, const char *path)
{
	*e = (struct cop_staged){.s = s, .source = cop_absolute(path)};
	read_boot(e->boot);
	snprintf(e->key, sizeof(e->key), "%016" PRIx64, cop_hash(COP_HASH_START, e->source, strlen(e->source)));
	e->note = cop_xasprintf("%s/%s.json", s->folder, e->key);
	e->lock = cop_xasprintf("%s/%s.lock", s->folder, e->key);
}

void cop_staged_release(struct cop_staged *e)
{
	free(e->source);
	free(e->note);
	free(e->lock);
}

char *cop_staged_noted(const struct cop_staged *e, const cJSON *note)
{
	struct stat st;
	char now[COP_STAMP];
	const char *name = cop_json_str(note, "copy", "");
	if (strcmp(cop_json_str(note, "source", ""), e->source) != 0 ||
	    strcmp(cop_json_str(note, "source_stamp", ""), e->source_stamp) != 0 || !*name || strchr(name, '/'))
		return NULL;
	char *copy = cop_xasprintf("%s/%s", e->s->folder, name);
	bool same = lstat(copy, &st) == 0 && S_ISREG(st.st_mode);
	if (same) {
		cop_stamp(&st, now);
		same = strcmp(cop_json_str(note, "copy_stamp", ""), now) == 0;
	}
	if (!same) {
		free(copy);
		return NULL;
	}
	return copy;
}

int cop_staged_write_note(const struct cop_staged *e, const char *copy, const char *hash, struct cop_err *err)
{
	struct stat st;
	char now[COP_STAMP];
	if (stat(copy, &st) < 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot read '%s'", copy);
	cop_stamp(&st, now);
	cJSON *note = cJSON_CreateObject();
	cJSON_AddStringToObject(note, "source", e->source);
	cJSON_AddStringToObject(note, "source_stamp", e->source_stamp);
	cJSON_AddStringToObject(note, "copy", cop_name_of(copy));
	cJSON_AddStringToObject(note, "copy_stamp", now);
	cJSON_AddStringToObject(note, "hash", hash);
	cJSON_AddStringToObject(note, "boot", e->boot);
	char *text = cJSON_Print(note), *temporary = cop_temporary_name(e->note);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = fd < 0 || cop_write_all(fd, text, strlen(text)) < 0
			 ? cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", e->note)
			 : 0;
	if (fd >= 0 && close(fd) < 0 && !rc)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", e->note);
	if (rc)
		cop_temporary_remove(temporary);
	else
		rc = cop_rename_unsynced(temporary, e->note, err);
	free(temporary);
	cJSON_free(text);
	cJSON_Delete(note);
	return rc;
}

/* Removes everything of a key but its lock, whose holder calls: old copies, and what a killed copier left. */
static void remove_key(const char *folder, const char *key)
{
	DIR *d = opendir(folder);
	if (!d)
		return;
	size_t n = strlen(key);
	for (struct dirent *f; (f = readdir(d));) {
		const char *name = f->d_name + (f->d_name[0] == '.');
		if (strncmp(name, key, n) == 0 && !cop_str_ends(name, ".lock"))
			unlinkat(dirfd(d), f->d_name, 0);
	}
	closedir(d);
}

/* Removes one copy where its note says that the original is gone, unless somebody is at work on it. */
static void remove_orphan(const char *folder, const char *note_name)
{
	cJSON *note = NULL;
	char key[COP_STAGING_KEY];
	snprintf(key, sizeof(key), "%.16s", note_name);
	char *path = cop_xasprintf("%s/%s", folder, note_name), *lock = cop_xasprintf("%s/%s.lock", folder, key);
	int fd = -1;
	if (cop_json_read(path, &note, NULL) == 0 && access(cop_json_str(note, "source", "/"), F_OK) < 0 &&
	    errno == ENOENT && (fd = open(lock, O_RDWR | O_CLOEXEC | O_NOFOLLOW)) >= 0 &&
	    flock(fd, LOCK_EX | LOCK_NB) == 0) {
		remove_key(folder, key);
		unlink(lock);
	}
	if (fd >= 0)
		close(fd);
	cJSON_Delete(note);
	free(lock);
	free(path);
}

static void remove_orphans(const char *folder)
{
	DIR *d = opendir(folder);
	if (!d)
		return;
	for (struct dirent *f; (f = readdir(d));)
		if (f->d_name[0] != '.' && strlen(f->d_name) == COP_STAGING_KEY - 1 + strlen(".json") &&
		    cop_str_ends(f->d_name, ".json"))
			remove_orphan(folder, f->d_name);
	closedir(d);
}

void cop_staged_tidy(const struct cop_staged *e)
{
	remove_key(e->s->folder, e->key);
	remove_orphans(e->s->folder);
}
