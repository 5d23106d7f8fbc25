/* Gathering: what was gathered before is kept, and comes to the same as reading all; files that are damaged. */
#include "base/file.h"
#include "base/mem.h"
#include "made_run.h"
#include "sanitized.h"
#include "store/results.h"
#include "sweep/catalog.h"
#include "sweep/collect.h"
#include "sweep/fetch.h"
#include "sweep/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* enough of them that they are shared out to processes; some have no file */
enum { CELLS = 200, THERE = 190 };

static struct cop_run run;

/* hundreds of files would take seconds to sync */
int fsync(int fd);
int fsync(int fd)
{
	(void)fd;
	return 0;
}

static int make(void **state)
{
	(void)state;
	if (made_run(&run, CELLS))
		return -1;
	run.experiment.sweep.replicates = 2;
	made_run_dense(&run, 0, 0.9);
	for (int64_t i = 0; i < THERE; i++)
		made_run_cell(&run, i);
	return 0;
}

static int drop(void **state)
{
	(void)state;
	return made_run_remove(&run);
}

static void shade(int64_t index, double v)
{
	made_run_cell_as(&run, index, index, run.hash, v);
}

static void rename_in(const char *from, const char *to)
{
	char *a = cop_run_file(&run, from), *b = cop_run_file(&run, to);
	assert_int_equal(rename(a, b), 0);
	free(a);
	free(b);
}

static void forget(const char *name)
{
	char *path = cop_run_file(&run, name);
	cop_remove(path);
	free(path);
}

/* Collects: so many files read, so many cells kept, so many missing. */
static void collect(size_t read, size_t kept, size_t missing)
{
	struct cop_collected c;
	struct cop_err err = {0};
	if (cop_collect(&run, &c, &err))
		fail_msg("%s", err.msg);
	if (c.read != read || c.kept != kept || c.nmissing != missing)
		fail_msg("%zu read, %zu kept, %zu missing", c.read, c.kept, c.nmissing);
	assert_int_equal(c.ncells, read + kept);
	assert_int_equal(c.ncells + c.nmissing, CELLS);
	cop_collected_release(&c);
}

static void load(struct cop_results *r, const char *name)
{
	struct cop_err err = {0};
	char *path = cop_run_file(&run, name);
	if (cop_results_read(path, r, &err))
		fail_msg("%s", err.msg);
	free(path);
}

static void assert_histories_equal(const struct cop_history *a, const struct cop_history *b)
{
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->row, b->row, a->n * sizeof(*a->row));
}

/* What results.h5 holds is what reading all files anew gives. */
static void assert_as_if_anew(void)
{
	struct cop_results a, b;
	struct cop_collected c;
	struct cop_err err = {0};
	rename_in("results.h5", "kept.h5");
	assert_int_equal(cop_collect(&run, &c, &err), 0);
	assert_int_equal(c.kept, 0);
	cop_collected_release(&c);
	load(&a, "kept.h5");
	load(&b, "results.h5");
	assert_int_equal(a.ncells, b.ncells);
	for (size_t i = 0; i < a.ncells; i++) {
		assert_memory_equal(&a.cell[i].row, &b.cell[i].row, sizeof(a.cell[i].row));
		assert_histories_equal(&a.cell[i].history, &b.cell[i].history);
		assert_int_equal(a.cell[i].nlayers, b.cell[i].nlayers);
		assert_memory_equal(a.cell[i].layer, b.cell[i].layer, a.cell[i].nlayers * sizeof(*a.cell[i].layer));
	}
	assert_int_equal(a.nmissing, b.nmissing);
	assert_memory_equal(a.missing, b.missing, a.nmissing * sizeof(*a.missing));
	assert_int_equal(a.ndense, b.ndense);
	for (size_t i = 0; i < a.ndense; i++)
		assert_histories_equal(&a.dense[i].history, &b.dense[i].history);
	cop_results_release(&a);
	cop_results_release(&b);
}

/* Only files that are new or have changed are read. */
static void test_incremental(void **state)
{
	(void)state;
	struct cop_results r;
	collect(THERE, 0, CELLS - THERE);
	collect(0, THERE, CELLS - THERE);
	collect(0, THERE, CELLS - THERE);
	assert_as_if_anew();
	shade(0, 0.25);
	shade(77, 0.25);
	made_run_cell(&run, 195);
	forget("cells/000100.h5");
	forget("cells/000189.h5");
	made_run_dense(&run, 0, 0.8);
	made_run_dense(&run, 1, 0.7);
	collect(3, THERE - 4, CELLS - THERE + 1);
	load(&r, "results.h5");
	assert_true(r.cell[0].row.test_top1 == 0.25 && r.cell[1].row.test_top1 == 0.5);
	assert_true(r.cell[77].row.test_top1 == 0.25 && r.cell[100].row.index == 101);
	assert_true(r.cell[77].history.row[3][2] == 0.25 && r.cell[78].history.row[3][2] == 0.5);
	assert_true(r.ndense == 2 && r.dense[0].test_top1 == 0.8 && r.dense[1].test_top1 == 0.7);
	cop_results_release(&r);
	assert_as_if_anew();
}

/* Where most have changed all are read; down to the last one, half of them is not most. */
static void test_most_changed(void **state)
{
	(void)state;
	collect(THERE, 0, CELLS - THERE);
	for (int64_t i = 0; i < THERE; i += 2)
		shade(i, 0.125);
	collect(THERE / 2, THERE / 2, CELLS - THERE);
	assert_as_if_anew();
	for (int64_t i = 0; i <= THERE; i += 2)
		shade(i == THERE ? 1 : i, 0.25);
	collect(THERE, 0, CELLS - THERE);
	assert_as_if_anew();
	for (int64_t i = 0; i < THERE; i++)
		shade(i, 0.0625);
	collect(THERE, 0, CELLS - THERE);
	assert_as_if_anew();
}

/* A cell whose place in the grid is another one is not kept for its stamp. */
static void test_moved(void **state)
{
	(void)state;
	collect(THERE, 0, CELLS - THERE);
	struct cop_point p = run.cell[40];
	run.cell[40].quantile = 0.77;
	forget("state/catalog");
	collect(0, THERE - 1, CELLS - THERE + 1);
	assert_as_if_anew();
	run.cell[40] = p;
	collect(1, THERE - 1, CELLS - THERE);
	snprintf(run.hash, sizeof(run.hash), "fedcba9876543210");
	collect(0, 0, CELLS);
	snprintf(run.hash, sizeof(run.hash), "0123456789abcdef");
	collect(THERE, 0, CELLS - THERE);
}

static void flip(const char *name, size_t at)
{
	char *path = cop_run_file(&run, name);
	FILE *f = fopen(path, "r+b");
	assert_non_null(f);
	assert_int_equal(fseek(f, (long)at, SEEK_SET), 0);
	int byte = fgetc(f);
	assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
	fputc(byte ^ 1, f);
	assert_int_equal(fclose(f), 0);
	free(path);
}

static size_t length(const char *name)
{
	struct cop_err err = {0};
	char *path = cop_run_file(&run, name), *text;
	size_t len;
	assert_int_equal(cop_read_file(path, &text, &len, &err), 0);
	free(text);
	free(path);
	return len;
}

/* Results that are not what was written, or of which nothing is remembered, are not gone on with. */
static void test_results_damaged(void **state)
{
	(void)state;
	collect(THERE, 0, CELLS - THERE);
	for (size_t k = 1; k < 8; k += every(3)) {
		flip("results.h5", length("results.h5") / 8 * k);
		collect(THERE, 0, CELLS - THERE);
	}
	flip("state/results", 20);
	collect(THERE, 0, CELLS - THERE);
	forget("state/results");
	collect(THERE, 0, CELLS - THERE);
	char *path = cop_run_file(&run, "results.h5");
	assert_int_equal(truncate(path, 5000), 0);
	free(path);
	collect(THERE, 0, CELLS - THERE);
	collect(0, THERE, CELLS - THERE);
}

static bool listed_valid(int64_t index, const char *reason)
{
	struct cop_catalog c;
	cop_catalog_open(&c, &run);
	bool valid = cop_catalog_valid(&c, index);
	if (!valid && !strstr(cop_catalog_reason(&c, index), reason))
		fail_msg("%s", cop_catalog_reason(&c, index));
	cop_catalog_close(&c);
	return valid;
}

/* Looks valid until it is read: missing from then on, for those who do not read it, too; until it is replaced. */
static void test_cell_damaged(void **state)
{
	(void)state;
	collect(THERE, 0, CELLS - THERE);
	char *path = cop_run_cell(&run, 50), *text, *at;
	struct cop_err err = {0};
	const double epoch = MADE_EPOCHS - 1;
	size_t len;
	assert_int_equal(cop_read_file(path, &text, &len, &err), 0);
	at = memmem(text, len, &epoch, sizeof(epoch));
	assert_non_null(at);
	at[5] ^= 1;
	made_run_text(path, text, len);
	assert_true(listed_valid(50, ""));
	collect(0, THERE - 1, CELLS - THERE + 1);
	assert_false(listed_valid(50, "000050.h5' is damaged"));
	assert_false(cop_cell_done(&run, 50, &err));
	collect(0, THERE - 1, CELLS - THERE + 1);
	made_run_cell(&run, 50);
	assert_true(listed_valid(50, ""));
	assert_true(cop_cell_done(&run, 50, &err));
	collect(1, THERE - 1, CELLS - THERE);
	flip("dense/0/result.h5", 0);
	collect(0, THERE, CELLS - THERE);
	free(text);
	free(path);
}

/* Whatever bit of a file flips: it is read as it was, or not at all. HDF5 crashes over some, and loops over others. */
static void test_any_bit(void **state)
{
	(void)state;
	struct cop_cell c, was;
	struct cop_err err = {0};
	char *path = cop_run_cell(&run, 17), *text;
	size_t len, refused = 0;
	assert_int_equal(cop_fetch_one(&run, 17, &was, &err), 0);
	assert_int_equal(cop_read_file(path, &text, &len, &err), 0);
	for (size_t i = 0; i < len; i += 131 * every(3)) {
		text[i] ^= (char)(1 << i % 8);
		made_run_text(path, text, len);
		text[i] ^= (char)(1 << i % 8);
		err = (struct cop_err){0};
		if (cop_fetch_one(&run, 17, &c, &err)) {
			assert_int_equal(err.code, COP_EINPUT);
			assert_non_null(strstr(err.msg, "000017.h5"));
			refused++;
			continue;
		}
		assert_memory_equal(&c.row, &was.row, sizeof(c.row));
		assert_histories_equal(&c.history, &was.history);
		assert_memory_equal(c.layer, was.layer, sizeof(*c.layer));
		assert_string_equal(c.hash, was.hash);
		cop_cell_release(&c);
	}
	assert_true(refused > 20 / every(3));
	cop_cell_release(&was);
	free(text);
	free(path);
}

/* In order, whichever process reads them, and with damaged ones between. */
static void test_fetch(void **state)
{
	(void)state;
	int64_t index[CELLS];
	struct cop_err err = {0};
	for (int64_t i = 0; i < CELLS; i++)
		index[i] = CELLS - 1 - i;
	for (int64_t i = 3; i < THERE; i += 20) {
		char *name = cop_xasprintf("cells/%06d.h5", (int)i);
		flip(name, 9); /* the version of the superblock */
		free(name);
	}
	struct cop_fetch *f = cop_fetch_begin(&run, index, CELLS);
	for (int64_t i = CELLS - 1; i >= 0; i--) {
		struct cop_cell c;
		int rc = cop_fetch_next(f, &c, &err);
		assert_int_equal(rc, i < THERE && i % 20 != 3 ? 0 : COP_EINPUT);
		if (rc)
			continue;
		assert_int_equal(c.row.index, i);
		assert_int_equal(c.history.n, MADE_EPOCHS);
		cop_cell_release(&c);
	}
	cop_fetch_end(f);
	/* given up half way */
	f = cop_fetch_begin(&run, index, CELLS);
	for (int i = 0; i < 20; i++) {
		struct cop_cell c;
		if (cop_fetch_next(f, &c, &err) == 0)
			cop_cell_release(&c);
	}
	cop_fetch_end(f);
}

/* What fails leaves the results as they were. */
static void test_unwritable(void **state)
{
	(void)state;
	struct cop_collected c;
	struct cop_err err = {0};
	char *results = cop_run_file(&run, "results.h5");
	assert_int_equal(cop_mkdirs(results, &err), 0);
	assert_int_equal(cop_collect(&run, &c, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "results.h5"));
	assert_true(!c.row && !c.ncells && !c.missing);
	assert_int_equal(rmdir(results), 0);
	free(results);
	collect(THERE, 0, CELLS - THERE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_incremental, make, drop),
		cmocka_unit_test_setup_teardown(test_most_changed, make, drop),
		cmocka_unit_test_setup_teardown(test_moved, make, drop),
		cmocka_unit_test_setup_teardown(test_results_damaged, make, drop),
		cmocka_unit_test_setup_teardown(test_cell_damaged, make, drop),
		cmocka_unit_test_setup_teardown(test_any_bit, make, drop),
		cmocka_unit_test_setup_teardown(test_fetch, make, drop),
		cmocka_unit_test_setup_teardown(test_unwritable, make, drop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
