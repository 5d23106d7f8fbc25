/* Which cells have a valid result, what is remembered of that, and what a memory that is wrong does. */
#include "base/file.h"
#include "base/mem.h"
#include "made_run.h"
#include "sanitized.h"
#include "sweep/catalog.h"

#include <fcntl.h>
#include <hdf5.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* enough of them that they are shared out to processes; some have no file */
enum { CELLS = 300, THERE = 290 };

static struct cop_run run;

/* hundreds of files would take seconds to sync */
int fsync(int fd);
int fsync(int fd)
{
	(void)fd;
	return 0;
}

static int make_run(void **state)
{
	(void)state;
	if (made_run(&run, CELLS))
		return -1;
	for (int64_t i = 0; i < THERE; i++)
		made_run_cell(&run, i);
	return 0;
}

static int remove_run(void **state)
{
	(void)state;
	return made_run_remove(&run);
}

static int forget(void **state)
{
	(void)state;
	char *path = cop_run_file(&run, "state/catalog");
	cop_remove(path);
	free(path);
	return 0;
}

/* Opens the catalog and closes it again: which cells are valid, all others having `reason`; returns how many it opened.
 */
static size_t look(bool valid[CELLS])
{
	struct cop_catalog c;
	cop_catalog_open(&c, &run);
	for (int64_t i = 0; i < CELLS; i++) {
		valid[i] = cop_catalog_valid(&c, i);
		assert_true(valid[i] || !cop_catalog_there(&c, i) || cop_catalog_reason(&c, i)[0]);
		assert_true(!valid[i] || (cop_catalog_there(&c, i) && !cop_catalog_reason(&c, i)[0]));
	}
	size_t opened = c.opened;
	cop_catalog_close(&c);
	return opened;
}

/* The same, where all that is there is valid but for cell `but` (-1: none). */
static size_t look_all(int64_t but)
{
	bool valid[CELLS];
	size_t opened = look(valid);
	for (int64_t i = 0; i < CELLS; i++)
		assert_int_equal(valid[i], i < THERE && i != but);
	return opened;
}

static void test_remembered(void **state)
{
	(void)state;
	assert_int_equal(look_all(-1), THERE);
	assert_int_equal(look_all(-1), 0);
	assert_int_equal(look_all(-1), 0);
	forget(NULL);
	assert_int_equal(look_all(-1), THERE);
}

/* New, replaced, touched and removed files: only they are opened. */
static void test_changes(void **state)
{
	(void)state;
	bool valid[CELLS];
	look_all(-1);
	made_run_cell(&run, 295);
	assert_int_equal(look(valid), 1);
	assert_true(valid[295] && valid[5] && !valid[294]);
	made_run_cell(&run, 5);
	assert_int_equal(look(valid), 1);
	assert_true(valid[5]);
	char *path = cop_run_cell(&run, 8);
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	/* another file of the same size and time, and the same file at another time */
	made_run_cell(&run, 8);
	assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
	assert_int_equal(look(valid), 1);
	st.st_mtim.tv_nsec ^= 1;
	assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){st.st_atim, st.st_mtim}, 0), 0);
	free(path);
	assert_int_equal(look(valid), 1);
	assert_int_equal(look(valid), 0);
	path = cop_run_cell(&run, 295);
	cop_remove(path);
	free(path);
	assert_int_equal(look_all(-1), 0);
	assert_int_equal(look_all(-1), 0);
}

/* A file of any length but its own is not valid, whether it was before or not. */
static void test_truncated(void **state)
{
	(void)state;
	char *path = cop_run_cell(&run, 17), *text = NULL;
	size_t len = 0;
	struct cop_err err = {0};
	assert_int_equal(cop_read_file(path, &text, &len, &err), 0);
	assert_true(len > 10000);
	for (size_t n = 0; n < len; n += n + 1 < 20 || n + 40 > len ? 1 : 331 * every(2)) {
		made_run_text(path, text, n);
		struct cop_catalog c;
		cop_catalog_open(&c, &run);
		if (cop_catalog_valid(&c, 17) || !strstr(cop_catalog_reason(&c, 17), path))
			fail_msg("%zu of %zu bytes: '%s'", n, len, cop_catalog_reason(&c, 17));
		cop_catalog_close(&c);
	}
	assert_int_equal(look_all(17), 1);
	made_run_text(path, text, len);
	assert_int_equal(look_all(-1), 1);
	free(text);
	free(path);
}

/* Whatever bit of a file flips, looking at it is survived, crashes of HDF5 among it; others' verdicts are right. */
static void test_flipped(void **state)
{
	(void)state;
	char *path = cop_run_cell(&run, 17), *text = NULL;
	size_t len = 0;
	struct cop_err err = {0};
	look_all(-1);
	assert_int_equal(cop_read_file(path, &text, &len, &err), 0);
	for (size_t i = 0; i < len; i += 71 * every(3)) {
		bool valid[CELLS];
		text[i] ^= (char)(1 << i % 8);
		made_run_text(path, text, len);
		text[i] ^= (char)(1 << i % 8);
		assert_int_equal(look(valid), 1);
		assert_true(valid[16] && valid[18]);
	}
	made_run_text(path, text, len);
	assert_int_equal(look_all(-1), 1);
	free(text);
	free(path);
}

static void refused(int64_t index, const char *why)
{
	struct cop_catalog c;
	cop_catalog_open(&c, &run);
	char *path = cop_run_cell(&run, index);
	if (cop_catalog_valid(&c, index) || !strstr(cop_catalog_reason(&c, index), why) ||
	    !strstr(cop_catalog_reason(&c, index), path))
		fail_msg("no '%s': '%s'", why, cop_catalog_reason(&c, index));
	free(path);
	cop_catalog_close(&c);
	/* why a file is not valid may pass: it is looked at again each time */
	assert_int_equal(look_all(index), 1);
}

static void test_foreign(void **state)
{
	(void)state;
	char *path = cop_run_cell(&run, 33);
	look_all(-1);
	made_run_cell_as(&run, 33, 33, "fedcba9876543210", 0.5);
	refused(33, "belongs to another experiment or cell");
	made_run_cell_as(&run, 33, 34, run.hash, 0.5);
	refused(33, "belongs to another experiment or cell");
	made_run_cell_as(&run, 33, 133, run.hash, 0.5);
	refused(33, "belongs to another experiment or cell");
	made_run_text(path, "not at all", 10);
	refused(33, "cannot read as HDF5");
	cop_remove(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(33, "is no regular file");
	cop_remove(path);
	made_run_cell(&run, 33);
	hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
	assert_true(H5Adelete(f, "complete") >= 0);
	H5Fclose(f);
	refused(33, "not complete");
	made_run_cell(&run, 33);
	assert_int_equal(look_all(-1), 1);
	free(path);
}

/* Names that are nobody's: temporary files, other ways to write a number, numbers beyond the grid. */
static void test_names(void **state)
{
	(void)state;
	static const char *const names[] = {".000295.h5.host.1.0.tmp", "295.h5",    "0000295.h5",
					    "000295.h5.bak",           "-00001.h5", "000300.h5",
					    "99999999999999999999.h5", "x"};
	size_t n = sizeof(names) / sizeof(names[0]);
	look_all(-1);
	for (size_t i = 0; i < n; i++) {
		char *path = cop_xasprintf("%s/cells/%s", run.path, names[i]);
		made_run_text(path, "", 0);
		free(path);
	}
	assert_int_equal(look_all(-1), 0);
	for (size_t i = 0; i < n; i++) {
		char *path = cop_xasprintf("%s/cells/%s", run.path, names[i]);
		cop_remove(path);
		free(path);
	}
}

/* A byte changed, a piece missing, another run's, another grid's: all is validated again, and the verdicts are right.
 */
static void test_damaged_memory(void **state)
{
	(void)state;
	char *path = cop_run_file(&run, "state/catalog"), *text = NULL;
	struct cop_err err = {0};
	size_t len = 0;
	look_all(-1);
	assert_int_equal(cop_read_file(path, &text, &len, &err), 0);
	assert_true(len > 290 * 20);
	for (size_t i = 0; i < len; i += i < 40 ? 7 : i + 25 > len ? every(5) : i + 1000 > len ? len - i - 24 : 997) {
		text[i] ^= 1;
		made_run_text(path, text, len);
		text[i] ^= 1;
		assert_int_equal(look_all(-1), THERE);
	}
	for (size_t n = 0; n < len; n += 1999) {
		made_run_text(path, text, n);
		assert_int_equal(look_all(-1), THERE);
	}
	made_run_text(path, text, len);
	assert_int_equal(look_all(-1), 0);
	bool valid[CELLS];
	run.hash[0] = 'f';
	assert_int_equal(look(valid), THERE);
	assert_false(valid[0]);
	run.hash[0] = '0';
	run.cell[2].quantile = 0.77;
	made_run_text(path, text, len);
	assert_int_equal(look_all(2), THERE);
	run.cell[2].quantile = 0.005;
	assert_int_equal(look_all(-1), THERE);
	free(text);
	free(path);
}

static void test_unwritable(void **state)
{
	(void)state;
	char *files = cop_run_file(&run, "state"), *path = cop_run_file(&run, "state/catalog");
	bool root = geteuid() == 0;
	assert_int_equal(chmod(run.path, 0755), 0);
	assert_int_equal(chmod(files, 0555), 0);
	assert_true(!root || seteuid(65534) == 0);
	assert_int_equal(look_all(-1), THERE);
	assert_int_equal(look_all(-1), THERE);
	assert_true(!root || seteuid(0) == 0);
	assert_false(cop_exists(path));
	assert_int_equal(chmod(files, 0755), 0);
	free(files);
	free(path);
	look_all(-1);
	/* what is there can be used by one who may not write it */
	assert_true(!root || seteuid(65534) == 0);
	assert_int_equal(look_all(-1), 0);
	assert_true(!root || seteuid(0) == 0);
}

static void reject(int64_t index, const char *reason)
{
	struct cop_catalog c;
	cop_catalog_open(&c, &run);
	cop_catalog_reject(&c, index, reason);
	cop_catalog_close(&c);
}

/* A file that could not be read stays so for all who open the catalog, until it changes or is read after all. */
static void test_rejected(void **state)
{
	(void)state;
	struct cop_catalog c;
	look_all(-1);
	reject(3, "two lines\nof reason");
	assert_int_equal(look_all(3), 0);
	cop_catalog_open(&c, &run);
	assert_int_equal(c.cell[3].verdict, COP_VERDICT_REJECTED);
	assert_string_equal(cop_catalog_reason(&c, 3), "two lines of reason");
	cop_catalog_accept(&c, 3);
	cop_catalog_close(&c);
	assert_int_equal(look_all(-1), 0);
	reject(3, "again");
	made_run_cell(&run, 3);
	assert_int_equal(look_all(-1), 1);
	/* a catalog that was opened before a rejection and closed after it does not undo that */
	made_run_cell(&run, 4);
	cop_catalog_open(&c, &run);
	assert_true(c.changed);
	reject(9, "meanwhile");
	cop_catalog_close(&c);
	assert_int_equal(look_all(9), 0);
	cop_catalog_open(&c, &run);
	cop_catalog_accept(&c, 9);
	cop_catalog_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_remembered, forget),     cmocka_unit_test_setup(test_changes, forget),
		cmocka_unit_test_setup(test_truncated, forget),      cmocka_unit_test_setup(test_foreign, forget),
		cmocka_unit_test_setup(test_names, forget),          cmocka_unit_test_setup(test_flipped, forget),
		cmocka_unit_test_setup(test_damaged_memory, forget), cmocka_unit_test_setup(test_unwritable, forget),
		cmocka_unit_test_setup(test_rejected, forget),
	};
	return cmocka_run_group_tests(tests, make_run, remove_run);
}
