/* Staging: one copy for many processes, and everything that can go wrong with it. */
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/staging.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MIB = 1 << 20 };

/* What the disk does, from the test's side; `at` counts blocks of 1 MiB that are read from now on. */
static struct {
	int at;
	int kill_at, append_at, flip_at, stop_at; /* 0: never */
	int forever;                              /* append at every pass, not once */
	int slow_ms;                              /* of each block */
	int no_statvfs;
	int fail_write_with;
	const char *appended;
	char *unlink_before_lock; /* removed when somebody is about to lock it, once */
} disk;
static volatile sig_atomic_t stop;

ssize_t __real_read(int fd, void *p, size_t n);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_statvfs(const char *path, struct statvfs *v);
ssize_t __wrap_read(int fd, void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_statvfs(const char *path, struct statvfs *v);
int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);

static void append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	assert_true(fd >= 0 && __real_write(fd, "x", 1) == 1);
	close(fd);
}

ssize_t __wrap_read(int fd, void *p, size_t n)
{
	if (n != MIB)
		return __real_read(fd, p, n);
	disk.at++;
	if (disk.slow_ms)
		nanosleep(&(struct timespec){.tv_nsec = disk.slow_ms * 1000000L}, NULL);
	if (disk.at == disk.kill_at)
		raise(SIGKILL);
	if (disk.at == disk.stop_at)
		stop = 1;
	if (disk.append_at && (disk.at == disk.append_at || disk.forever))
		append(disk.appended);
	return __real_read(fd, p, n);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	if (n != MIB)
		return __real_write(fd, p, n);
	if (disk.fail_write_with) {
		errno = disk.fail_write_with;
		return -1;
	}
	if (disk.at != disk.flip_at)
		return __real_write(fd, p, n);
	char *other = cop_xmalloc(n);
	memcpy(other, p, n);
	other[n / 2] ^= 1;
	ssize_t put = __real_write(fd, other, n);
	free(other);
	return put;
}

int __wrap_statvfs(const char *path, struct statvfs *v)
{
	return disk.no_statvfs ? -1 : __real_statvfs(path, v);
}

int __wrap_flock(int fd, int how)
{
	if (disk.unlink_before_lock) {
		unlink(disk.unlink_before_lock);
		disk.unlink_before_lock = NULL;
	}
	return __real_flock(fd, how);
}

static char folder[] = "/tmp/coppice-test-staging.XXXXXX";
static char *stage, *source;
static struct cop_staging staging;

/* The last line of the log. */
static char said[1200];
static void line(enum cop_log_level level, const char *text, void *user)
{
	(void)level;
	(void)user;
	snprintf(said, sizeof(said), "%s", text);
}
static const struct cop_log_sink sink = {.line = line};

/* `path` becomes `n` bytes that depend on the seed. */
static void fill(const char *path, size_t n, uint64_t seed)
{
	char *data = cop_xmalloc(n + 1);
	for (size_t i = 0; i < n; i++) {
		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		data[i] = (char)(seed >> 56);
	}
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	assert_true(fd >= 0);
	for (size_t done = 0; done < n;) {
		ssize_t put = __real_write(fd, data + done, n - done);
		assert_true(put > 0);
		done += (size_t)put;
	}
	close(fd);
	free(data);
}

static bool same_bytes(const char *a, const char *b)
{
	char *p, *q;
	size_t n, m;
	assert_int_equal(cop_read_file(a, &p, &n, NULL), 0);
	assert_int_equal(cop_read_file(b, &q, &m, NULL), 0);
	bool same = n == m && memcmp(p, q, n) == 0;
	free(p);
	free(q);
	return same;
}

/* How many names in the stage's folder end so; NULL: all but locks. */
static int count(const char *tail)
{
	int n = 0;
	DIR *d = opendir(staging.folder);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		size_t len = strlen(e->d_name), m = tail ? strlen(tail) : 5;
		bool ends = len >= m && strcmp(e->d_name + len - m, tail ? tail : ".lock") == 0;
		n += tail ? ends : !ends && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	}
	closedir(d);
	return n;
}

static char *copy_ok(const char *path, bool expect_found)
{
	struct cop_err err = {0};
	char *copy = NULL;
	bool found = !expect_found;
	int rc = cop_staging_copy(&staging, path, &copy, &found, &err);
	if (rc)
		print_message("%s\n", err.msg);
	assert_int_equal(rc, 0);
	assert_int_equal(found, expect_found);
	assert_true(same_bytes(path, copy));
	return copy;
}

static void expect_copied(void)
{
	free(copy_ok(source, false));
}

static void expect_found(void)
{
	free(copy_ok(source, true));
}

static void expect_failure(int code, const char *says)
{
	struct cop_err err = {0};
	char *copy = NULL;
	bool found;
	assert_int_equal(cop_staging_copy(&staging, source, &copy, &found, &err), code);
	if (!strstr(err.msg, says))
		print_message("not '%s' but '%s'\n", says, err.msg);
	assert_non_null(strstr(err.msg, says));
	assert_null(copy);
	assert_int_equal(count(".tmp"), 0);
}

static int begin(void **state)
{
	(void)state;
	char *command = cop_xasprintf("rm -rf '%s/stage' '%s/source.h5'", folder, folder);
	int rc = system(command);
	free(command);
	memset(&disk, 0, sizeof(disk));
	stop = 0;
	said[0] = '\0';
	cop_log_set_sink(&sink);
	fill(source, 3 * MIB + 12345, 1);
	cop_staging_open(&staging, stage, &stop);
	return rc || !staging.folder;
}

static int end(void **state)
{
	(void)state;
	cop_staging_release(&staging);
	cop_log_set_sink(NULL);
	return 0;
}

static void test_one_copy_is_found_again(void **state)
{
	(void)state;
	struct stat st;
	char *copy = copy_ok(source, false);
	assert_true(stat(staging.folder, &st) == 0 && (st.st_mode & 07777) == 0700);
	assert_non_null(strstr(said, "staged '"));
	assert_int_equal(count(NULL), 2); /* the copy and its note */
	disk.at = 0;
	char *again = copy_ok(source, true);
	assert_string_equal(copy, again);
	assert_int_equal(disk.at, 0); /* without reading either */
	free(copy);
	free(again);
}

static void test_empty_file(void **state)
{
	(void)state;
	fill(source, 0, 1);
	expect_copied();
	expect_found();
}

/* Changes the copy's size, or the bytes and their mtime. */
static void test_damaged_copy_is_made_anew(void **state)
{
	(void)state;
	char *copy = copy_ok(source, false);
	assert_int_equal(truncate(copy, 1000), 0);
	expect_copied();
	expect_found();
	fill(copy, 3 * MIB + 12345, 2);
	expect_copied();
	unlink(copy);
	expect_copied();
	expect_found();
	assert_int_equal(unlink(copy) || symlink(source, copy), 0);
	expect_copied();
	assert_int_equal(count(NULL), 2);
	free(copy);
}

/* The path of the one note. */
static char *note_path(void)
{
	DIR *d = opendir(staging.folder);
	char *path = NULL;
	for (struct dirent *e; (e = readdir(d));)
		if (strstr(e->d_name, ".json"))
			path = cop_xasprintf("%s/%s", staging.folder, e->d_name);
	closedir(d);
	assert_non_null(path);
	return path;
}

static void test_damaged_note(void **state)
{
	(void)state;
	expect_copied();
	char *note = note_path();
	assert_int_equal(truncate(note, 20), 0);
	expect_copied();
	expect_found();
	unlink(note);
	expect_copied();
	expect_found();
	free(note);
}

static void set_in_note(const char *key, const char *value)
{
	char *path = note_path();
	cJSON *note;
	assert_int_equal(cop_json_read(path, &note, NULL), 0);
	cJSON_ReplaceItemInObject(note, key, cJSON_CreateString(value));
	assert_int_equal(cop_json_write(path, note, NULL), 0);
	cJSON_Delete(note);
	free(path);
}

/* A copy from before the node was started is read, once; one with other bytes of the same size and mtime is found. */
static void test_another_boot(void **state)
{
	(void)state;
	struct stat st;
	char *copy = copy_ok(source, false);
	set_in_note("boot", "another");
	disk.at = 0;
	free(copy_ok(source, true));
	assert_true(disk.at > 3);
	disk.at = 0;
	expect_found();
	assert_int_equal(disk.at, 0);

	assert_int_equal(stat(copy, &st), 0);
	fill(copy, (size_t)st.st_size, 3);
	const struct timespec times[] = {st.st_atim, st.st_mtim};
	assert_int_equal(utimensat(AT_FDCWD, copy, times, 0), 0);
	set_in_note("boot", "another");
	expect_copied();
	expect_found();
	free(copy);
}

/* A note may name no file elsewhere, nor that of another original. */
static void test_note_of_something_else(void **state)
{
	(void)state;
	expect_copied();
	set_in_note("copy", "../../source.h5");
	expect_copied();
	set_in_note("source", "/elsewhere");
	expect_copied();
	expect_found();
}

static void test_changed_source(void **state)
{
	(void)state;
	char *was = copy_ok(source, false);
	fill(source, 2 * MIB, 5);
	char *now = copy_ok(source, false);
	assert_string_not_equal(was, now);
	assert_false(cop_exists(was));
	assert_int_equal(count(NULL), 2);
	expect_found();
	free(was);
	free(now);
}

static void test_copies_of_what_is_gone_go(void **state)
{
	(void)state;
	char *other = cop_xasprintf("%s/other.h5", folder);
	fill(other, 5000, 1);
	free(copy_ok(other, false));
	expect_copied();
	assert_int_equal(count(NULL), 4);
	unlink(other);
	fill(source, 6000, 1);
	expect_copied();
	assert_int_equal(count(NULL), 2);
	assert_int_equal(count(".lock"), 1);
	free(other);
}

static void test_source_that_changes_while_it_is_copied(void **state)
{
	(void)state;
	disk.appended = source;
	disk.append_at = 3;
	expect_copied();
	disk.forever = 1;
	fill(source, 2 * MIB, 1);
	expect_failure(COP_EFAILED, "changed while it was copied, 3 times");
	assert_int_equal(count(NULL), 0);
}

static void test_disk_that_lies(void **state)
{
	(void)state;
	disk.flip_at = 2;
	expect_failure(COP_EFAILED, "reads otherwise than it was written");
	assert_int_equal(count(NULL), 0);
	expect_copied();
}

static void test_disk_that_fails(void **state)
{
	(void)state;
	disk.fail_write_with = EIO;
	expect_failure(COP_EFAILED, "cannot write: Input/output error");
	assert_int_equal(count(NULL), 0);
	disk.fail_write_with = 0;
	expect_copied();
}

static void test_missing_source(void **state)
{
	(void)state;
	unlink(source);
	expect_failure(COP_EFAILED, "No such file");
	assert_int_equal(mkdir(source, 0700), 0);
	expect_failure(COP_EFAILED, "no regular file");
	rmdir(source);
}

static void pass_over(const char *test, const char *why)
{
	printf("ok %s # SKIP %s\n", test, why);
	fflush(stdout);
	skip();
}

/* A disk of 24 MB: too small by what it says, and by what happens. */
static void test_full_disk(void **state)
{
	(void)state;
	char *small = cop_xasprintf("%s/small", folder);
	assert_int_equal(mkdir(small, 0700), 0);
	bool mounted = mount("tmpfs", small, "tmpfs", 0, "size=24m") == 0;
	if (!mounted) {
		rmdir(small);
		free(small);
		pass_over(__func__, "a tmpfs cannot be mounted here");
	}
	cop_staging_release(&staging);
	cop_staging_open(&staging, small, NULL);
	assert_non_null(staging.folder);
	expect_copied();
	fill(source, 40 * MIB, 1);
	expect_failure(COP_EFAILED, "no room in '");
	disk.no_statvfs = 1;
	expect_failure(COP_EFAILED, "cannot write: No space left on device");
	assert_int_equal(count(NULL), 0);
	fill(source, MIB, 1);
	expect_copied();
	cop_staging_release(&staging);
	assert_int_equal(umount(small), 0);
	rmdir(small);
	free(small);
}

/* Children that stage the source at once; each exits with 0: copied, 1: found, 2: failed. */
static void start(pid_t *pid, int n, int kill_at)
{
	for (int i = 0; i < n; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (pid[i])
			continue;
		char *copy = NULL;
		bool found = false;
		disk.at = 0;
		disk.kill_at = kill_at;
		int rc = cop_staging_copy(&staging, source, &copy, &found, NULL);
		_exit(rc || !same_bytes(source, copy) ? 2 : found);
	}
}

static void finish(const pid_t *pid, int n, int *copied, int *found)
{
	*copied = *found = 0;
	for (int i = 0; i < n; i++) {
		int status;
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_true(WIFEXITED(status));
		*copied += WEXITSTATUS(status) == 0;
		*found += WEXITSTATUS(status) == 1;
	}
}

static void test_eight_at_once(void **state)
{
	(void)state;
	pid_t pid[8];
	int copied, found;
	disk.slow_ms = 40;
	start(pid, 8, 0);
	finish(pid, 8, &copied, &found);
	assert_int_equal(copied, 1);
	assert_int_equal(found, 7);
	assert_int_equal(count(NULL), 2);
}

static void test_copier_killed(void **state)
{
	(void)state;
	pid_t first, pid[3];
	int status, copied, found;
	disk.slow_ms = 60;
	start(&first, 1, 4);
	/* once it is at it */
	while (count(".tmp") == 0 && waitpid(first, &status, WNOHANG) == 0)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	start(pid, 3, 0);
	assert_int_equal(waitpid(first, &status, 0), first);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	finish(pid, 3, &copied, &found);
	assert_int_equal(copied, 1);
	assert_int_equal(found, 2);
	assert_int_equal(count(NULL), 2); /* nothing of the killed one's is left */
}

static void test_patience_ends(void **state)
{
	(void)state;
	expect_copied();
	char *note = note_path(), *lock = cop_xasprintf("%.*s.lock", (int)strlen(note) - 5, note);
	unlink(note);
	int fd = open(lock, O_RDWR);
	assert_true(fd >= 0 && flock(fd, LOCK_EX) == 0);
	staging.patience = 0.2;
	expect_failure(COP_EFAILED, "another process holds '");
	assert_non_null(strstr(said, "waiting for another process"));
	staging.patience = 100;
	stop = 1;
	expect_failure(COP_ESTOPPED, "asked to stop while '");
	/* removed by one who cleans up: whoever comes next makes another, and does not wait for this one */
	stop = 0;
	unlink(lock);
	expect_copied();
	close(fd);
	/* or while it is being taken: a lock that nobody else can find keeps nobody out */
	unlink(note);
	disk.unlink_before_lock = lock;
	expect_copied();
	assert_int_equal(count(".lock"), 1);
	free(lock);
	free(note);
}

static void test_stop_while_copying(void **state)
{
	(void)state;
	disk.stop_at = 2;
	expect_failure(COP_ESTOPPED, "asked to stop while '");
	assert_int_equal(count(NULL), 0);
	stop = 0;
	expect_copied();
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	stage = cop_xasprintf("%s/stage", folder);
	source = cop_xasprintf("%s/source.h5", folder);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	char *command = cop_xasprintf("rm -rf '%s'", folder);
	int rc = system(command);
	free(command);
	free(stage);
	free(source);
	return rc;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_copy_is_found_again),
		TEST(test_empty_file),
		TEST(test_damaged_copy_is_made_anew),
		TEST(test_damaged_note),
		TEST(test_another_boot),
		TEST(test_note_of_something_else),
		TEST(test_changed_source),
		TEST(test_copies_of_what_is_gone_go),
		TEST(test_source_that_changes_while_it_is_copied),
		TEST(test_disk_that_lies),
		TEST(test_disk_that_fails),
		TEST(test_missing_source),
		TEST(test_full_disk),
		TEST(test_eight_at_once),
		TEST(test_copier_killed),
		TEST(test_patience_ends),
		TEST(test_stop_while_copying),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
