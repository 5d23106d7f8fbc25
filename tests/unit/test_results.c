/* Results that are gone on with, and cells' files that are damaged wherever it may be. */
#include "base/file.h"
#include "base/mem.h"
#include "base/xxhash.h"
#include "store/results.h"
#include "synthetic.h"

#include <dirent.h>
#include <hdf5.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char hash[] = "0123456789abcdef";
static char folder[] = "/tmp/coppice-results-XXXXXX";

static int enter_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
	(void)state;
	char *command = cop_xasprintf("rm -rf '%s'", folder);
	int rc = chdir("/") || system(command);
	free(command);
	return rc;
}

static int entries(void)
{
	int n = 0;
	DIR *d = opendir(".");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void make(struct cop_results *r)
{
	synthetic_results(r, &(struct synthetic){.quantiles = 8, .resets = 6, .replicates = 9, .name = "made"});
}

static struct cop_stamp stamp_of(size_t i)
{
	return (struct cop_stamp){15000 + (int64_t)i, INT64_C(1795272354420679220) + (int64_t)i, 1000 - (int64_t)i};
}

static struct cop_results_writer *begin(const char *path)
{
	struct cop_results_writer *w;
	struct cop_err err = {0};
	if (cop_results_begin(&w, path, "again", "{1}", hash, &err))
		fail_msg("%s", err.msg);
	return w;
}

static void add(struct cop_results_writer *w, const struct cop_cell *c, size_t i)
{
	struct cop_err err = {0};
	struct cop_stamp stamp = stamp_of(i);
	if (cop_results_add(w, c, &stamp, &err))
		fail_msg("%s", err.msg);
}

static struct cop_results_writer *resume(uint64_t sum)
{
	struct cop_results_writer *w;
	struct cop_err err = {0};
	if (cop_results_resume(&w, "r.h5", "again", "{1}", hash, sum, &err))
		fail_msg("%s", err.msg);
	return w;
}

/* Ends it and returns the file's sum. */
static uint64_t end(struct cop_results_writer *w, const char *path)
{
	const int64_t missing[] = {4, 7};
	struct cop_err err = {0};
	uint64_t sum;
	if (cop_results_end(w, missing, 2, &err) || cop_xxh_file(path, NULL, &sum, &err))
		fail_msg("%s", err.msg);
	return sum;
}

static void assert_histories_equal(const struct cop_history *a, const struct cop_history *b)
{
	assert_int_equal(a->n, b->n);
	assert_memory_equal(a->row, b->row, a->n * sizeof(*a->row));
}

static void assert_results_equal(const char *path, const char *other)
{
	struct cop_results a, b;
	struct cop_err err = {0};
	assert_int_equal(cop_results_read(path, &a, &err), 0);
	assert_int_equal(cop_results_read(other, &b, &err), 0);
	assert_string_equal(a.experiment, b.experiment);
	assert_int_equal(a.ncells, b.ncells);
	for (size_t i = 0; i < a.ncells; i++) {
		const struct cop_cell *p = &a.cell[i], *q = &b.cell[i];
		assert_memory_equal(&p->row, &q->row, sizeof(p->row));
		assert_histories_equal(&p->history, &q->history);
		assert_int_equal(p->nlayers, q->nlayers);
		assert_memory_equal(p->layer, q->layer, p->nlayers * sizeof(*p->layer));
	}
	assert_int_equal(a.nmissing, b.nmissing);
	assert_memory_equal(a.missing, b.missing, a.nmissing * sizeof(*a.missing));
	assert_int_equal(a.ndense, b.ndense);
	for (size_t i = 0; i < a.ndense; i++)
		assert_histories_equal(&a.dense[i].history, &b.dense[i].history);
	cop_results_release(&a);
	cop_results_release(&b);
}

static int64_t links(const char *group)
{
	hid_t f = H5Fopen("r.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
	H5G_info_t info;
	assert_true(H5Gget_info_by_name(f, group, &info, H5P_DEFAULT) >= 0);
	H5Fclose(f);
	return (int64_t)info.nlinks;
}

static int64_t size_of(const char *path)
{
	struct stat st;
	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void add_dense(struct cop_results_writer *w, const struct cop_results *r, size_t i)
{
	struct cop_err err = {0};
	assert_int_equal(cop_results_add_dense(w, &r->dense[i], &err), 0);
}

/* Some cells kept, one changed, one new, the others gone: the same as written from nothing. */
static void test_resumed(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_err err = {0};
	make(&r);
	struct cop_results_writer *w = begin("r.h5");
	for (size_t i = 0; i < r.ncells; i++)
		if (i != 5)
			add(w, &r.cell[i], i);
	add_dense(w, &r, 0);
	add_dense(w, &r, 2);
	w = resume(end(w, "r.h5"));
	assert_int_equal(cop_results_count(w), r.ncells - 1);
	r.cell[8].row.test_top1 /= 2;
	r.cell[8].history.n--;
	r.dense[1].history.n--;
	struct cop_results_writer *fresh = begin("fresh.h5");
	for (size_t i = 0; i < r.ncells; i++) {
		size_t k = i - (i > 5);
		struct cop_stamp stamp = stamp_of(i);
		if (i != 5) {
			assert_int_equal(cop_results_row(w, k)->index, i);
			assert_memory_equal(cop_results_stamp(w, k), &stamp, sizeof(stamp));
		}
		if (i == 0 || i % 7 == 3 || i == r.ncells - 1)
			continue;
		if (i == 5 || i == 8)
			add(w, &r.cell[i], i);
		else
			assert_int_equal(cop_results_keep(w, k, &err), 0);
		add(fresh, &r.cell[i], i);
	}
	add_dense(w, &r, 1);
	add_dense(fresh, &r, 1);
	uint64_t sum = end(w, "r.h5");
	end(fresh, "fresh.h5");
	assert_results_equal("r.h5", "fresh.h5");
	assert_true(links("dense") == 1 && links("history") == links("layers"));
	w = resume(sum);
	assert_int_equal(cop_results_count(w), links("history"));
	for (size_t k = 0; k < cop_results_count(w); k++) {
		struct cop_stamp stamp = stamp_of((size_t)cop_results_row(w, k)->index);
		assert_memory_equal(cop_results_stamp(w, k), &stamp, sizeof(stamp));
	}
	cop_results_abandon(w);
	cop_results_release(&r);
}

/* Going on again and again leaves no holes. */
static void test_size(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_err err = {0};
	make(&r);
	struct cop_results_writer *w = begin("r.h5");
	for (size_t i = 0; i < r.ncells; i++)
		add(w, &r.cell[i], i);
	uint64_t sum = end(w, "r.h5");
	int64_t before = size_of("r.h5");
	for (int turn = 0; turn < 20; turn++) {
		w = resume(sum);
		for (size_t k = 0; k < r.ncells; k++)
			assert_int_equal(cop_results_keep(w, k, &err), 0);
		sum = end(w, "r.h5");
	}
	if (size_of("r.h5") > before + before / 20)
		fail_msg("%lld bytes, %lld before", (long long)size_of("r.h5"), (long long)before);
	cop_results_release(&r);
}

static void refused(uint64_t sum, const char *of, const char *why)
{
	struct cop_results_writer *w;
	struct cop_err err = {0};
	int before = entries();
	assert_int_equal(cop_results_resume(&w, "r.h5", "", "", of, sum, &err), COP_EINPUT);
	if (!strstr(err.msg, why))
		fail_msg("%s", err.msg);
	assert_int_equal(entries(), before);
}

/* Takes a link out of r.h5 or, with n >= 0, leaves n rows of that table; the sum of what there is then. */
static uint64_t damage(const char *link, hssize_t n)
{
	hid_t f = H5Fopen("r.h5", H5F_ACC_RDWR, H5P_DEFAULT);
	struct cop_err err = {0};
	uint64_t sum;
	if (n < 0) {
		assert_true(H5Ldelete(f, link, H5P_DEFAULT) >= 0);
	} else {
		hid_t d = H5Dopen2(f, link, H5P_DEFAULT);
		hsize_t rows = (hsize_t)n;
		assert_true(d >= 0 && H5Dset_extent(d, &rows) >= 0);
		H5Dclose(d);
	}
	H5Fclose(f);
	assert_int_equal(cop_xxh_file("r.h5", NULL, &sum, &err), 0);
	return sum;
}

/* What cannot be gone on with is left as it is. */
static void test_not_resumed(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_err err = {0};
	uint64_t sum;
	make(&r);
	cop_remove("r.h5");
	refused(0, hash, "cannot open 'r.h5'");
	struct cop_results_writer *w = begin("r.h5");
	for (size_t i = 0; i < r.ncells; i++)
		add(w, &r.cell[i], i);
	sum = end(w, "r.h5");
	refused(sum + 1, hash, "'r.h5' is not what was written");
	refused(sum, "fedcba9876543210", "'r.h5' is of another experiment");
	refused(damage("sources", 5), hash, "'cells' and 'sources' in 'r.h5' are not of the same cells");
	refused(damage("cells", 4), hash, "'cells' and 'sources' in 'r.h5' are not of the same cells");
	refused(damage("sources", -1), hash, "'r.h5' was written by another version");
	assert_int_equal(cop_write_file("r.h5", "none", 4, &err), 0);
	assert_int_equal(cop_xxh_file("r.h5", NULL, &sum, &err), 0);
	refused(sum, hash, "'r.h5'");
	cop_results_release(&r);
}

static void test_abandoned(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_err err = {0};
	make(&r);
	int before = entries();
	struct cop_results_writer *w = begin("new.h5");
	for (size_t i = 0; i < r.ncells; i++)
		add(w, &r.cell[i], i);
	cop_results_abandon(w);
	cop_results_abandon(NULL);
	assert_int_equal(cop_results_begin(&w, "none/new.h5", "", "", "", &err), COP_EFAILED);
	assert_int_equal(entries(), before);
	cop_results_release(&r);
}

/* Flips each bit of the `n` bytes that a file holds somewhere: reading it fails each time. */
static void flip_all(char *data, size_t len, const void *bytes, size_t n)
{
	struct cop_err err = {0};
	char *at = memmem(data, len, bytes, n);
	assert_non_null(at);
	for (size_t bit = 0; bit < 8 * n; bit += 3) {
		struct cop_cell c;
		at[bit / 8] ^= (char)(1 << bit % 8);
		assert_int_equal(cop_write_file("x.h5", data, len, &err), 0);
		at[bit / 8] ^= (char)(1 << bit % 8);
		if (cop_cell_read("x.h5", &c, &err) != COP_EINPUT)
			fail_msg("bit %zu of %zu bytes at %td", bit, n, at - data);
		assert_non_null(strstr(err.msg, "'x.h5'"));
	}
}

/* Whatever is read of a cell's file: a flipped bit in it is an error, though most of it is too small for HDF5's
 * checksum. */
static void test_flipped_values(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_err err = {0};
	char *data;
	size_t len;
	make(&r);
	struct cop_cell *c = &r.cell[7];
	c->row.gpu_memory = 987654321;
	c->layer[1].sparse = 0x123456789;
	assert_int_equal(cop_cell_write("cell.h5", c, "{}", NULL, NULL, NULL, NULL, NULL, &err), 0);
	assert_int_equal(cop_read_file("cell.h5", &data, &len, &err), 0);
	flip_all(data, len, &c->row.index, sizeof(c->row.index));
	flip_all(data, len, &c->row.test_top1, sizeof(c->row.test_top1));
	flip_all(data, len, &c->row.joules, sizeof(c->row.joules));
	flip_all(data, len, &c->row.gpu_memory, sizeof(c->row.gpu_memory));
	flip_all(data, len, &c->layer[1].nnz, sizeof(c->layer[1].nnz));
	flip_all(data, len, &c->layer[1].sparse, sizeof(c->layer[1].sparse));
	flip_all(data, len, c->row.host, strlen(c->row.host));
	flip_all(data, len, c->row.engine, strlen(c->row.engine));
	flip_all(data, len, c->layer[2].name, strlen(c->layer[2].name));
	for (size_t k = 0; k < COP_HISTORY_COLUMNS; k++)
		if (!isnan(c->history.row[3][k]) && k != COP_HISTORY_LR)
			flip_all(data, len, &c->history.row[3][k], sizeof(double));
	free(data);
	cop_results_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resumed),        cmocka_unit_test(test_size),
		cmocka_unit_test(test_not_resumed),    cmocka_unit_test(test_abandoned),
		cmocka_unit_test(test_flipped_values),
	};
	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
