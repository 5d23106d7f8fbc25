/* Files; see file.h. */
#include "base/file.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool cop_exists(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

bool cop_is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

double cop_changed(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 ? (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec : 0;
}

int cop_mkdirs(const char *path, struct cop_err *err)
{
	char *part = cop_xstrdup(path);
	int rc = 0;
	for (char *p = part + 1; rc == 0; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char kept = *p;
		*p = '\0';
		int why = mkdir(part, 0777) < 0 ? errno : 0;
		if (why && !cop_is_folder(part)) {
			errno = why;
			rc = cop_fail_errno(err, why == ENOSPC ? COP_EFAILED : COP_EINPUT, "cannot make folder '%s'",
					    part);
		}
		*p = kept;
		if (!kept)
			break;
	}
	free(part);
	return rc;
}

void cop_remove(const char *path)
{
	unlink(path);
}

void cop_remove_if_empty(const char *path)
{
	rmdir(path);
}

int cop_check_regular(const char *path, struct cop_err *err)
{
	struct stat st;
	if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is no regular file", path);
	return 0;
}

int cop_code_of_reading(int error)
{
	static const int wrong[] = {ENOENT, ENOTDIR, EISDIR, EACCES, EPERM, ELOOP, ENAMETOOLONG};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (error == wrong[i])
			return COP_EINPUT;
	return COP_EFAILED;
}

static int read_all(int fd, const char *path, char **data, size_t *len, struct cop_err *err)
{
	size_t n = 0, cap = 0;
	char *buf = NULL;
	for (;;) {
		buf = cop_grow(buf, &cap, n + 65537, 1);
		ssize_t got = read(fd, buf + n, cap - n - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int error = errno;
			free(buf);
			errno = error;
			return cop_fail_errno(err, cop_code_of_reading(error), "cannot read '%s'", path);
		}
		if (got == 0)
			break;
		n += (size_t)got;
	}
	buf[n] = '\0';
	*data = buf;
	*len = n;
	return 0;
}

int cop_read_file(const char *path, char **data, size_t *len, struct cop_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cop_fail_errno(err, cop_code_of_reading(errno), "cannot open '%s'", path);
	int rc = read_all(fd, path, data, len, err);
	close(fd);
	return rc;
}

int cop_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	while (len) {
		ssize_t put = write(fd, p, len);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -1;
		p += put;
		len -= (size_t)put;
	}
	return 0;
}

/*
 * The temporary files of this process. Fixed memory, never freed, for a signal handler may read it at any moment; a
 * name that finds no place, or is too long for one, is not remembered.
 */
enum { TEMPORARIES = 32, TEMPORARY_NAME = 1024 };
enum place { PLACE_FREE, PLACE_TAKEN, PLACE_SET };
static struct {
	atomic_int place;
	pid_t owner; /* a forked child must leave its parent's files alone */
	char name[TEMPORARY_NAME];
} temporaries[TEMPORARIES];

static void remember(const char *name)
{
	size_t n = strlen(name) + 1;
	for (int i = 0; n <= TEMPORARY_NAME && i < TEMPORARIES; i++) {
		int expected = PLACE_FREE;
		if (!atomic_compare_exchange_strong(&temporaries[i].place, &expected, PLACE_TAKEN))
			continue;
		memcpy(temporaries[i].name, name, n);
		temporaries[i].owner = getpid();
		atomic_store(&temporaries[i].place, PLACE_SET);
		return;
	}
}

static void forget(const char *name)
{
	for (int i = 0; i < TEMPORARIES; i++)
		if (atomic_load(&temporaries[i].place) == PLACE_SET && strcmp(temporaries[i].name, name) == 0)
			atomic_store(&temporaries[i].place, PLACE_FREE);
}

void cop_temporary_remove(const char *temporary)
{
	int kept = errno;
	unlink(temporary);
	forget(temporary);
	errno = kept;
}

void cop_temporaries_remove(void)
{
	int kept = errno;
	for (int i = 0; i < TEMPORARIES; i++)
		if (atomic_load(&temporaries[i].place) == PLACE_SET && temporaries[i].owner == getpid())
			unlink(temporaries[i].name);
	errno = kept;
}

int cop_write_file(const char *path, const void *data, size_t len, struct cop_err *err)
{
	char *tmp = cop_temporary_name(path);
	int rc = 0;
	int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0) {
		rc = cop_fail_errno(err, COP_EFAILED, "cannot create '%s'", path);
		forget(tmp);
		goto out;
	}
	if (cop_write_all(fd, data, len) < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", path);
	if (close(fd) < 0 && !rc)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", path);
	if (rc)
		cop_temporary_remove(tmp);
	else
		rc = cop_rename_into_place(tmp, path, err);
out:
	free(tmp);
	return rc;
}

/* The pid in ".NAME.HOST.PID.CALL.tmp" of this host, or 0. */
static long owner_of(const char *name, const char *host)
{
	char tail[128];
	size_t n = strlen(name);
	if (name[0] != '.' || n < 5 || strcmp(name + n - 4, ".tmp") != 0)
		return 0;
	const char *call = name + n - 5;
	while (call > name && *call != '.')
		call--;
	const char *pid = call - 1;
	while (pid > name && *pid != '.')
		pid--;
	snprintf(tail, sizeof(tail), ".%s.", host);
	size_t m = strlen(tail);
	if (pid <= name || (size_t)(pid + 1 - name) < m || strncmp(pid + 1 - m, tail, m) != 0)
		return 0;
	return strtol(pid + 1, NULL, 10);
}

void cop_temporaries_sweep(const char *folder)
{
	char host[64] = "host";
	gethostname(host, sizeof(host) - 1);
	DIR *d = opendir(folder);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		long pid = owner_of(e->d_name, host);
		if (pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}

char *cop_temporary_name(const char *path)
{
	static atomic_uint calls;
	char host[64] = "host";
	gethostname(host, sizeof(host) - 1);
	char *folder = cop_folder_of(path);
	char *name = cop_xasprintf("%s/.%s.%s.%ld.%u.tmp", folder, cop_name_of(path), host, (long)getpid(),
				   atomic_fetch_add(&calls, 1));
	free(folder);
	remember(name);
	return name;
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fsync(fd);
	/* some shared file systems cannot sync a folder: the rename has happened all the same */
	if (rc < 0 && (flags & O_DIRECTORY))
		rc = 0;
	int kept = errno;
	close(fd);
	errno = kept;
	return rc;
}

static int not_renamed(const char *temporary, const char *path, struct cop_err *err)
{
	int rc = cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", path);
	cop_temporary_remove(temporary);
	return rc;
}

int cop_rename_unsynced(const char *temporary, const char *path, struct cop_err *err)
{
	if (rename(temporary, path) < 0)
		return not_renamed(temporary, path, err);
	forget(temporary);
	return 0;
}

int cop_rename_into_place(const char *temporary, const char *path, struct cop_err *err)
{
	if (sync_path(temporary, O_RDONLY) < 0)
		return not_renamed(temporary, path, err);
	int rc = cop_rename_unsynced(temporary, path, err);
	if (rc)
		return rc;
	char *folder = cop_folder_of(path);
	rc = sync_path(folder, O_RDONLY | O_DIRECTORY);
	if (rc < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot sync folder '%s'", folder);
	free(folder);
	return rc;
}

char *cop_program_path(void)
{
	char buf[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", buf, sizeof(buf) - 1);
	if (n <= 0)
		return cop_xstrdup("coppice");
	buf[n] = '\0';
	return cop_xstrdup(buf);
}

char *cop_program_folder(void)
{
	char *path = cop_program_path();
	char *folder = cop_folder_of(path);
	free(path);
	return folder;
}

char *cop_absolute(const char *path)
{
	char *real = realpath(path, NULL);
	if (real)
		return real;
	char here[PATH_MAX];
	if (path[0] == '/' || !getcwd(here, sizeof(here)))
		return cop_xstrdup(path);
	return cop_xasprintf("%s/%s", here, path);
}

char *cop_folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (!slash)
		return cop_xstrdup(".");
	if (slash == path)
		return cop_xstrdup("/");
	return cop_xasprintf("%.*s", (int)(slash - path), path);
}

const char *cop_name_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}
