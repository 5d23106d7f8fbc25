/* Checkpoints, cells, masks and results: what is written is read again, and what is damaged is refused by name. */
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/xxhash.h"
#include "store/checkpoint.h"
#include "store/mask.h"
#include "store/results.h"
#include "store/row_fields.h"
#include "synthetic.h"

#include <dirent.h>
#include <hdf5.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int enter_folder(void **state)
{
	char *folder = cop_xstrdup("store.XXXXXX");
	*state = folder;
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
	DIR *d = opendir(".");
	for (struct dirent *e; (e = readdir(d));)
		if (e->d_name[0] != '.')
			unlink(e->d_name);
	closedir(d);
	int rc = chdir("..") || rmdir(*state);
	free(*state);
	return rc;
}

static int entries(void)
{
	int n = 0;
	DIR *d = opendir(".");
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

/* A network's layout in an order that is not the alphabet's, and arenas with numbers that are easily lost. */
struct state {
	struct cop_layout params, buffers;
	float *param, *buffer, *slot[2];
	uint8_t *mask;
};

static float *arena(const struct cop_layout *l, uint32_t seed)
{
	static const uint32_t odd[] = {0x80000000u, 0x00000001u, 0x7f800000u, 0xff7fffffu, 0x7fc00123u, 0x3f800001u};
	float *p = NULL;
	struct cop_err err = {0};
	struct cop_stream s;
	cop_stream_init(&s, seed, COP_PURPOSE_TEST, 0, 0);
	if (cop_alloc(&p, l->total, sizeof(*p), "a test", &err))
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < l->n; i++)
		for (size_t k = 0; k < l->tensor[i].count; k++)
			p[l->tensor[i].offset + k] = (float)cop_stream_normal(&s);
	memcpy(p, odd, sizeof(odd));
	return p;
}

static void make_state(struct state *s)
{
	*s = (struct state){0};
	cop_layout_add(&s->params, "z1/weight", 2, (int64_t[]){50, 61}, true);
	cop_layout_add(&s->params, "z1/bias", 1, (int64_t[]){50}, false);
	cop_layout_add(&s->params, "a2/weight", 4, (int64_t[]){3, 5, 2, 2}, true);
	cop_layout_add(&s->params, "a2/bias", 1, (int64_t[]){3}, false);
	cop_layout_add(&s->buffers, "bn/running_mean", 1, (int64_t[]){7}, false);
	s->param = arena(&s->params, 1);
	s->buffer = arena(&s->buffers, 2);
	s->slot[0] = arena(&s->params, 3);
	s->slot[1] = arena(&s->params, 4);
	s->mask = cop_xmalloc(s->params.total);
	for (size_t i = 0; i < s->params.total; i++)
		s->mask[i] = i % 3 != 0;
	for (size_t i = 0; i < s->params.n; i++) {
		const struct cop_tensor *t = &s->params.tensor[i];
		size_t end = i + 1 < s->params.n ? t[1].offset : s->params.total;
		memset(s->mask + t->offset + (t->prunable ? t->count : 0), 1,
		       end - t->offset - (t->prunable ? t->count : 0));
	}
}

static void free_state(struct state *s)
{
	cop_layout_release(&s->params);
	cop_layout_release(&s->buffers);
	free(s->param);
	free(s->buffer);
	free(s->slot[0]);
	free(s->slot[1]);
	free(s->mask);
}

static void write_checkpoint(struct state *s, const char *path)
{
	struct cop_err err = {0};
	struct cop_checkpoint c = {.params = s->params,
				   .buffers = s->buffers,
				   .param = s->param,
				   .buffer = s->buffer,
				   .slot_name = {"adam_m", "adam_v"},
				   .slot = {s->slot[0], s->slot[1]},
				   .nslots = 2,
				   .step = 12345678901,
				   .epoch = 0.1,
				   .experiment = (char *)(uintptr_t) "{\"name\": \"caf\u00e9\"}",
				   .hash = (char *)(uintptr_t) "0123456789abcdef"};
	if (cop_checkpoint_write(path, &c, &err))
		fail_msg("%s", err.msg);
}

static void test_checkpoint(void **state)
{
	(void)state;
	struct state s;
	struct cop_checkpoint c;
	struct cop_err err = {0};
	make_state(&s);
	write_checkpoint(&s, "c.h5");
	assert_int_equal(cop_checkpoint_read("c.h5", &c, true, &err), 0);
	size_t bytes = s.params.total * sizeof(float);
	assert_true(cop_layout_same(&c.params, &s.params) && cop_layout_same(&c.buffers, &s.buffers));
	for (size_t i = 0; i < s.params.n; i++)
		assert_int_equal(c.params.tensor[i].prunable, s.params.tensor[i].prunable);
	assert_memory_equal(c.param, s.param, bytes);
	assert_memory_equal(c.buffer, s.buffer, s.buffers.total * sizeof(float));
	assert_int_equal(c.nslots, 2);
	for (size_t k = 0; k < 2; k++) {
		size_t at = strcmp(c.slot_name[k], "adam_v") == 0;
		assert_memory_equal(c.slot[k], s.slot[at], bytes);
	}
	assert_string_not_equal(c.slot_name[0], c.slot_name[1]);
	assert_int_equal(c.step, 12345678901);
	assert_true(c.epoch == 0.1);
	assert_string_equal(c.experiment, "{\"name\": \"caf\u00e9\"}");
	assert_string_equal(c.hash, "0123456789abcdef");
	cop_checkpoint_release(&c);
	assert_int_equal(cop_checkpoint_read("c.h5", &c, false, &err), 0);
	assert_int_equal(c.nslots, 0);
	cop_checkpoint_release(&c);
	free_state(&s);
}

static struct cop_row some_row(void)
{
	return (struct cop_row){.index = 42,
				.replicate = 3,
				.round = 2,
				.same_as = -1,
				.quantile = 0.1,
				.threshold = 1e-300,
				.reset = "500it",
				.reset_step = 500,
				.total = 3110,
				.nnz = 2073,
				.test_top1 = 0.98,
				.test_top5 = 1,
				.test_loss = INFINITY,
				.val_top1 = NAN,
				.early_stop_step = 4100,
				.early_stop_val_top1 = 0.97,
				.early_stop_test_top1 = 0.975,
				.seconds = 1.5,
				.images_per_second = 1e5,
				.data_wait = 0.0625,
				.began = 1795000000.25,
				.ended = 1795000009.5,
				.joules = 1234.5,
				.cores = 12,
				.gpus = 0.25,
				.gpu_utilisation = 0.875,
				.gpu_memory = 123456789,
				.restarts = 2,
				.host = "node01",
				.device = "a \u201cCPU\u201d, 2 threads",
				.engine = "sparse 1 of 2 layers",
				.job = "12_3"};
}

static void fill_cell(struct cop_cell *c)
{
	*c = (struct cop_cell){.row = some_row(), .nlayers = 2, .hash = cop_xstrdup("fedcba9876543210")};
	for (int e = 0; e < 700; e++) { /* more than fits a plain dataset */
		double row[COP_HISTORY_COLUMNS];
		for (int k = 0; k < COP_HISTORY_COLUMNS; k++)
			row[k] = e == 0 && k > 2 ? NAN : e + 0.1 * k;
		cop_history_add(&c->history, row);
	}
	c->layer = cop_xcalloc(2, sizeof(*c->layer));
	c->layer[0] = (struct cop_layer_count){.name = "z1/weight", .total = 3050, .nnz = 2033, .sparse = 0};
	c->layer[1] = (struct cop_layer_count){.name = "a2/weight", .total = 60, .nnz = 40, .sparse = 1};
}

static void write_cell(struct state *s, const char *path, bool weights)
{
	struct cop_cell c;
	struct cop_err err = {0};
	fill_cell(&c);
	if (cop_cell_write(path, &c, "{}", &s->params, weights ? s->param : NULL, weights ? s->mask : NULL, &s->buffers,
			   s->buffer, &err))
		fail_msg("%s", err.msg);
	cop_cell_release(&c);
}

static void assert_rows_equal(const struct cop_row *a, const struct cop_row *b)
{
	const double x[] = {a->quantile,
			    a->threshold,
			    a->test_top1,
			    a->test_top5,
			    a->test_loss,
			    a->val_top1,
			    a->seconds,
			    a->images_per_second,
			    a->data_wait,
			    a->began,
			    a->ended,
			    a->joules,
			    a->gpus,
			    a->gpu_utilisation,
			    a->gpu_memory,
			    a->early_stop_step,
			    a->early_stop_val_top1,
			    a->early_stop_test_top1},
		     y[] = {b->quantile,
			    b->threshold,
			    b->test_top1,
			    b->test_top5,
			    b->test_loss,
			    b->val_top1,
			    b->seconds,
			    b->images_per_second,
			    b->data_wait,
			    b->began,
			    b->ended,
			    b->joules,
			    b->gpus,
			    b->gpu_utilisation,
			    b->gpu_memory,
			    b->early_stop_step,
			    b->early_stop_val_top1,
			    b->early_stop_test_top1};
	assert_memory_equal(x, y, sizeof(x));
	assert_true(a->index == b->index && a->replicate == b->replicate && a->reset_step == b->reset_step &&
		    a->total == b->total && a->nnz == b->nnz && a->restarts == b->restarts && a->round == b->round &&
		    a->same_as == b->same_as && a->cores == b->cores);
	assert_string_equal(a->reset, b->reset);
	assert_string_equal(a->host, b->host);
	assert_string_equal(a->device, b->device);
	assert_string_equal(a->engine, b->engine);
	assert_string_equal(a->job, b->job);
}

static void assert_cells_equal(const struct cop_cell *a, const struct cop_cell *b)
{
	assert_rows_equal(&a->row, &b->row);
	assert_int_equal(a->history.n, b->history.n);
	assert_memory_equal(a->history.row, b->history.row, a->history.n * sizeof(*a->history.row));
	assert_int_equal(a->nlayers, b->nlayers);
	for (size_t i = 0; i < a->nlayers; i++) {
		assert_string_equal(a->layer[i].name, b->layer[i].name);
		assert_true(a->layer[i].total == b->layer[i].total && a->layer[i].nnz == b->layer[i].nnz);
		assert_int_equal(a->layer[i].sparse, b->layer[i].sparse);
	}
}

static void test_cell(void **state)
{
	(void)state;
	struct state s;
	struct cop_cell c, wanted;
	struct cop_err err = {0};
	make_state(&s);
	fill_cell(&wanted);
	for (int weights = 0; weights < 2; weights++) {
		write_cell(&s, "cell.h5", weights);
		assert_int_equal(cop_cell_read("cell.h5", &c, &err), 0);
		assert_cells_equal(&c, &wanted);
		assert_string_equal(c.hash, wanted.hash);
		cop_cell_release(&c);
	}
	struct cop_h5 *f;
	float *param = arena(&s.params, 9);
	uint8_t *mask = cop_xcalloc(s.params.total, 1);
	memset(param, 0, s.params.total * sizeof(float));
	assert_int_equal(cop_h5_open(&f, "cell.h5", COP_CELL_FORMAT, &err), 0);
	assert_int_equal(cop_load_known(f, "params", &s.params, param, &err), 0);
	assert_int_equal(cop_load_masks(f, &s.params, mask, &err), 0);
	assert_memory_equal(param, s.param, s.params.total * sizeof(float));
	assert_memory_equal(mask, s.mask, s.params.total);
	cop_h5_close(f);
	free(param);
	free(mask);
	cop_cell_release(&wanted);
	free_state(&s);
}

/* The last column is there where it tells something, and no digest but its own knows of it. */
static void test_history_columns(void **state)
{
	(void)state;
	struct cop_history h = {0}, got = {0};
	struct cop_err err = {0};
	double row[COP_HISTORY_COLUMNS] = {1, 2, 3, 4, 5, 6, 7, 8, 9, NAN};
	cop_history_add(&h, row);
	cop_history_add(&h, row);
	assert_int_equal(cop_history_told(&h), 9);
	assert_int_equal(cop_history_hash(7, &h), cop_hash(cop_hash(7, row, 72), row, 72));
	for (int k = 0; k < 2; k++) {
		struct cop_h5 *f;
		assert_int_equal(cop_h5_create(&f, "history.h5", COP_CELL_FORMAT, &err), 0);
		assert_int_equal(cop_history_store(f, "history", &h, &err), 0);
		assert_int_equal(cop_h5_commit(f, &err), 0);
		assert_int_equal(cop_h5_open(&f, "history.h5", COP_CELL_FORMAT, &err), 0);
		assert_int_equal(cop_h5_has(f, "history/test_top1"), k);
		assert_int_equal(cop_history_load(f, "history", &got, &err), 0);
		cop_h5_close(f);
		for (size_t i = 0; i < 2; i++) {
			double v = got.row[i][COP_HISTORY_TEST_TOP1];
			assert_memory_equal(got.row[i], row, 72);
			assert_true(k == 1 && i == 1 ? v == 0.5 : isnan(v));
		}
		cop_history_release(&got);
		uint64_t before = cop_history_hash(7, &h);
		h.row[1][COP_HISTORY_TEST_TOP1] = 0.5;
		assert_int_equal(cop_history_hash(7, &h) == before, k == 1);
		assert_int_equal(cop_history_told(&h), 10);
	}
	cop_history_release(&h);
}

/* The first row of the least loss, passing over what is no number. */
static void test_early_stop(void **state)
{
	(void)state;
	const double loss[] = {NAN, 2.5, 0.5, 0.25, INFINITY, 0.25, 0.375, -INFINITY};
	struct cop_history h = {0};
	struct cop_early_stop stop = cop_history_early_stop(&h);
	assert_true(isnan(stop.step) && isnan(stop.val_loss) && isnan(stop.val_top1) && isnan(stop.test_top1));
	for (int i = 0; i < 8; i++) {
		double row[COP_HISTORY_COLUMNS] = {[COP_HISTORY_STEP] = 100 * i,
						   [COP_HISTORY_VAL_LOSS] = loss[i],
						   [COP_HISTORY_VAL_TOP1] = 0.1 * i,
						   [COP_HISTORY_TEST_TOP1] = i == 3 ? 0.75 : NAN};
		cop_history_add(&h, row);
		stop = cop_history_early_stop(&h);
		if (i == 0)
			assert_true(isnan(stop.step) && isnan(stop.val_top1));
		if (i == 2)
			assert_true(stop.step == 200 && stop.val_loss == 0.5 && isnan(stop.test_top1));
	}
	assert_true(stop.step == 300 && stop.val_loss == 0.25 && stop.val_top1 == 0.1 * 3 && stop.test_top1 == 0.75);
	cop_history_release(&h);
}

static bool is_later(const char *name)
{
	return strncmp(name, "gpu_", 4) == 0 || strncmp(name, "early_stop_", 11) == 0 || strcmp(name, "engine") == 0;
}

/* The digest of a cell of before there were utilisation, memory and engine, as docs/files.md has it. */
static uint64_t old_digest(const struct cop_cell *c)
{
	uint64_t h = cop_hash(COP_HASH_START, c->hash, strlen(c->hash));
	for (size_t i = 0; i < cop_row_nfields; i++) {
		const struct cop_row_field *d = &cop_row_fields[i];
		const char *v = (const char *)&c->row + d->offset;
		if (!is_later(d->name))
			h = cop_hash(h, v, d->kind == COP_FIELD_TEXT ? strlen(v) : 8);
	}
	for (size_t i = 0; i < c->history.n; i++)
		h = cop_hash(h, c->history.row[i], 9 * sizeof(double));
	for (size_t i = 0; i < c->nlayers; i++) {
		h = cop_hash(h, c->layer[i].name, strlen(c->layer[i].name));
		h = cop_hash(h, &c->layer[i].total, 8);
		h = cop_hash(h, &c->layer[i].nnz, 8);
	}
	return h;
}

static void drop_later(hid_t object)
{
	assert_true(H5Adelete(object, "gpu_utilisation") >= 0 && H5Adelete(object, "gpu_memory") >= 0);
	assert_true(H5Adelete(object, "early_stop_step") >= 0 && H5Adelete(object, "early_stop_val_top1") >= 0 &&
		    H5Adelete(object, "early_stop_test_top1") >= 0);
}

/* What older versions knew nothing of is NaN; it becomes so in `b`, too, and all NaN have the same bits. */
static void assert_no_later(struct cop_cell *a, struct cop_cell *b)
{
	struct cop_row *x = &a->row, *y = &b->row;
	assert_true(isnan(x->gpu_utilisation) && isnan(x->gpu_memory) && isnan(x->early_stop_step) &&
		    isnan(x->early_stop_val_top1) && isnan(x->early_stop_test_top1));
	for (int k = 0; k < 2; k++, x = y) {
		x->gpu_utilisation = x->gpu_memory = NAN;
		x->early_stop_step = x->early_stop_val_top1 = x->early_stop_test_top1 = NAN;
	}
	assert_string_equal(a->row.engine, "");
	memset(b->row.engine, 0, COP_TEXT);
}

/* A file that an older version wrote is read, and what it has not is NaN; one that only lost its fields is damaged. */
static void test_old_cell(void **state)
{
	(void)state;
	struct state s;
	struct cop_cell c, wanted;
	struct cop_err err = {0};
	char digest[17];
	make_state(&s);
	fill_cell(&wanted);
	write_cell(&s, "old.h5", false);
	hid_t f = H5Fopen("old.h5", H5F_ACC_RDWR, H5P_DEFAULT);
	drop_later(f);
	assert_true(H5Adelete(f, "engine") >= 0 && H5Ldelete(f, "layers/sparse", H5P_DEFAULT) >= 0);
	assert_true(H5Ldelete(f, "history/test_top1", H5P_DEFAULT) >= 0);
	assert_true(H5Fclose(f) >= 0);
	assert_int_equal(cop_cell_read("old.h5", &c, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'old.h5' is damaged"));
	snprintf(digest, sizeof(digest), "%016" PRIx64, old_digest(&wanted));
	f = H5Fopen("old.h5", H5F_ACC_RDWR, H5P_DEFAULT);
	hid_t at = H5Aopen(f, "digest", H5P_DEFAULT), type = H5Aget_type(at);
	const char *text = digest;
	assert_true(H5Awrite(at, type, H5Tis_variable_str(type) ? (const void *)&text : digest) >= 0);
	assert_true(H5Tclose(type) >= 0 && H5Aclose(at) >= 0 && H5Fclose(f) >= 0);
	if (cop_cell_read("old.h5", &c, &err))
		fail_msg("%s", err.msg);
	assert_no_later(&c, &wanted);
	for (size_t i = 0; i < wanted.history.n; i++) {
		assert_true(isnan(c.history.row[i][COP_HISTORY_TEST_TOP1]));
		c.history.row[i][COP_HISTORY_TEST_TOP1] = wanted.history.row[i][COP_HISTORY_TEST_TOP1] = NAN;
	}
	wanted.layer[0].sparse = wanted.layer[1].sparse = -1;
	assert_cells_equal(&c, &wanted);
	/* a copy is of the new kind */
	assert_int_equal(cop_cell_copy("old.h5", "copy.h5", &c.row, &err), 0);
	cop_cell_release(&c);
	assert_int_equal(cop_cell_read("copy.h5", &c, &err), 0);
	assert_true(isnan(c.row.gpu_memory));
	assert_int_equal(c.layer[1].sparse, -1);
	cop_cell_release(&c);
	cop_cell_release(&wanted);
	free_state(&s);
}

/* Writes the table /cells again without the columns of later. */
static void make_table_old(hid_t f)
{
	hid_t set = H5Dopen2(f, "cells", H5P_DEFAULT), type = H5Dget_type(set), whole = H5Dget_space(set);
	hid_t old = H5Tcreate(H5T_COMPOUND, H5Tget_size(type));
	for (unsigned i = 0; i < (unsigned)H5Tget_nmembers(type); i++) {
		char *name = H5Tget_member_name(type, i);
		hid_t member = H5Tget_member_type(type, i);
		if (!is_later(name))
			assert_true(H5Tinsert(old, name, H5Tget_member_offset(type, i), member) >= 0);
		H5Tclose(member);
		H5free_memory(name);
	}
	hsize_t n = (hsize_t)H5Sget_simple_extent_npoints(whole);
	hid_t space = H5Screate_simple(1, &n, NULL);
	void *rows = cop_xcalloc(n, H5Tget_size(type));
	assert_true(H5Dread(set, old, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
	H5Dclose(set);
	assert_true(H5Ldelete(f, "cells", H5P_DEFAULT) >= 0);
	hid_t packed = H5Tcopy(old);
	H5Tpack(packed);
	set = H5Dcreate2(f, "cells", packed, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	assert_true(H5Dwrite(set, old, H5S_ALL, H5S_ALL, H5P_DEFAULT, rows) >= 0);
	free(rows);
	H5Dclose(set);
	H5Sclose(space);
	H5Sclose(whole);
	H5Tclose(packed);
	H5Tclose(old);
	H5Tclose(type);
}

static void test_old_results(void **state)
{
	(void)state;
	struct synthetic want = {.quantiles = 2, .resets = 2, .replicates = 1, .name = "made", .validation = true};
	struct cop_results r, got;
	struct cop_results_writer *w;
	struct cop_err err = {0};
	uint64_t sum;
	synthetic_results(&r, &want);
	assert_int_equal(cop_results_write("old.h5", &r, &err), 0);
	hid_t f = H5Fopen("old.h5", H5F_ACC_RDWR, H5P_DEFAULT), dense = H5Gopen2(f, "dense/0", H5P_DEFAULT);
	drop_later(dense);
	assert_true(H5Adelete(dense, "device") >= 0);
	make_table_old(f);
	assert_true(H5Ldelete(f, "layers/000001/sparse", H5P_DEFAULT) >= 0);
	assert_true(H5Gclose(dense) >= 0 && H5Fclose(f) >= 0);
	if (cop_results_read("old.h5", &got, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(got.ncells, 4);
	for (size_t i = 0; i < got.ncells; i++) {
		assert_no_later(&got.cell[i], &r.cell[i]);
		for (size_t k = 0; k < r.cell[i].nlayers && i == 1; k++)
			r.cell[i].layer[k].sparse = -1;
		assert_cells_equal(&got.cell[i], &r.cell[i]);
	}
	assert_true(isnan(got.dense[0].gpu_utilisation) && isnan(got.dense[0].gpu_memory));
	assert_true(isnan(got.dense[0].early_stop_step) && isnan(got.dense[0].early_stop_val_top1) &&
		    isnan(got.dense[0].early_stop_test_top1));
	assert_string_equal(got.dense[0].device, "");
	assert_true(got.dense[0].gpus == r.dense[0].gpus && got.dense[0].joules == r.dense[0].joules);
	cop_results_release(&got);
	/* to be collected anew from its cells */
	assert_int_equal(cop_xxh_file("old.h5", NULL, &sum, &err), 0);
	assert_int_equal(cop_results_resume(&w, "old.h5", r.name, r.experiment, r.hash, sum, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "another version"));
	cop_results_release(&r);
}

static void test_mask(void **state)
{
	(void)state;
	struct state s;
	struct cop_err err = {0};
	struct cop_mask_file m = {.quantile = 0.25, .threshold = NAN, .scope = "global", .criterion = "magnitude"}, got;
	make_state(&s);
	assert_int_equal(cop_mask_file_write("m.h5", &s.params, s.mask, &m, &err), 0);
	assert_int_equal(cop_mask_file_read("m.h5", &got, &err), 0);
	assert_true(got.quantile == 0.25 && isnan(got.threshold) && got.total == 3110);
	assert_string_equal(got.scope, "global");
	assert_int_equal(got.layout.n, 2);
	int64_t kept = 0;
	for (size_t i = 0; i < got.layout.n; i++) {
		const struct cop_tensor *t = &got.layout.tensor[i], *from = cop_layout_find(&s.params, t->name);
		assert_non_null(from);
		assert_memory_equal(got.mask + t->offset, s.mask + from->offset, t->count);
		for (size_t k = 0; k < t->count; k++)
			kept += got.mask[t->offset + k];
	}
	assert_int_equal(got.nnz, kept);
	cop_mask_file_release(&got);
	free_state(&s);
}

static void test_results(void **state)
{
	(void)state;
	struct synthetic want = {
		.quantiles = 3, .resets = 4, .replicates = 2, .missing = 5, .name = "made", .validation = false};
	struct cop_results r, got;
	struct cop_err err = {0};
	synthetic_results(&r, &want);
	assert_int_equal(cop_results_write("results.h5", &r, &err), 0);
	assert_int_equal(cop_results_read("results.h5", &got, &err), 0);
	assert_string_equal(got.name, r.name);
	assert_string_equal(got.experiment, r.experiment);
	assert_string_equal(got.hash, r.hash);
	assert_true(got.ncells == 19 && got.nmissing == 5 && got.ndense == 2);
	for (size_t i = 0; i < got.ncells; i++)
		assert_cells_equal(&got.cell[i], &r.cell[i]);
	assert_memory_equal(got.missing, r.missing, 5 * sizeof(*r.missing));
	for (size_t i = 0; i < got.ndense; i++) {
		assert_true(got.dense[i].test_top1 == r.dense[i].test_top1 && got.dense[i].total == r.dense[i].total);
		assert_true(isnan(got.dense[i].val_top1));
		assert_true(got.dense[i].began == r.dense[i].began && got.dense[i].ended == r.dense[i].ended);
		assert_true(got.dense[i].joules == r.dense[i].joules && got.dense[i].gpus == r.dense[i].gpus);
		assert_true(got.dense[i].gpu_utilisation == r.dense[i].gpu_utilisation &&
			    got.dense[i].gpu_memory == r.dense[i].gpu_memory);
		assert_memory_equal(&got.dense[i].early_stop_step, &r.dense[i].early_stop_step, 3 * sizeof(double));
		assert_int_equal(got.dense[i].cores, r.dense[i].cores);
		assert_string_equal(got.dense[i].device, r.dense[i].device);
		assert_int_equal(got.dense[i].history.n, r.dense[i].history.n);
		assert_memory_equal(got.dense[i].history.row, r.dense[i].history.row,
				    r.dense[i].history.n * sizeof(*r.dense[i].history.row));
	}
	cop_results_release(&got);
	r.ncells = 0; /* nothing is done yet */
	assert_int_equal(cop_results_write("none.h5", &r, &err), 0);
	assert_int_equal(cop_results_read("none.h5", &got, &err), 0);
	assert_int_equal(got.ncells, 0);
	cop_results_release(&got);
	r.ncells = 19;
	cop_results_release(&r);
}

/* The four readers, behind one face. */
static int read_checkpoint(const char *path, struct cop_err *err)
{
	struct cop_checkpoint c;
	int rc = cop_checkpoint_read(path, &c, true, err);
	if (!rc)
		cop_checkpoint_release(&c);
	return rc;
}

static int read_cell(const char *path, struct cop_err *err)
{
	struct cop_cell c;
	int rc = cop_cell_read(path, &c, err);
	if (!rc)
		cop_cell_release(&c);
	return rc;
}

static int read_mask(const char *path, struct cop_err *err)
{
	struct cop_mask_file m;
	int rc = cop_mask_file_read(path, &m, err);
	if (!rc)
		cop_mask_file_release(&m);
	return rc;
}

static int read_results(const char *path, struct cop_err *err)
{
	struct cop_results r;
	int rc = cop_results_read(path, &r, err);
	if (!rc)
		cop_results_release(&r);
	return rc;
}

static const struct {
	const char *path;
	int (*read)(const char *path, struct cop_err *err);
} kinds[] = {{"c.h5", read_checkpoint}, {"cell.h5", read_cell}, {"m.h5", read_mask}, {"results.h5", read_results}};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* `bytes` of a file as another. */
static void copy(const char *from, const char *to, size_t bytes)
{
	char *data;
	size_t len;
	struct cop_err err = {0};
	assert_int_equal(cop_read_file(from, &data, &len, &err), 0);
	assert_int_equal(cop_write_file(to, data, bytes < len ? bytes : len, &err), 0);
	free(data);
}

static void refused(int kind, const char *path, const char *why)
{
	struct cop_err err = {0};
	char quoted[64];
	snprintf(quoted, sizeof(quoted), "'%s'", path);
	if (kinds[kind].read(path, &err) != COP_EINPUT)
		fail_msg("%s, read like %s, was not refused", path, kinds[kind].path);
	if (!strstr(err.msg, quoted) || !strstr(err.msg, why))
		fail_msg("'%s' lacks %s or '%s'", err.msg, quoted, why);
}

static void test_no_such_files(void **state)
{
	(void)state;
	struct cop_err err = {0};
	assert_int_equal(cop_mkdirs("folder", &err), 0);
	assert_int_equal(cop_write_file("empty", "", 0, &err), 0);
	assert_int_equal(cop_write_file("text", "not HDF5\n", 9, &err), 0);
	for (int k = 0; k < KINDS; k++) {
		refused(k, "none", "No such file");
		refused(k, "folder", "");
		refused(k, "empty", "cannot read as HDF5");
		refused(k, "text", "cannot read as HDF5");
		if (kinds[k].read != read_mask) /* a cell holds masks too */
			refused(k, kinds[(k + 1) % KINDS].path, "is no coppice-");
		else
			refused(k, "c.h5", "is no coppice-");
	}
	rmdir("folder");
}

/* However much of a file is missing, it is refused and nothing is read beyond its end. */
static void test_truncated(void **state)
{
	(void)state;
	for (int k = 0; k < KINDS; k++) {
		struct stat st;
		assert_int_equal(stat(kinds[k].path, &st), 0);
		for (int part = 1; part < 25; part++) {
			copy(kinds[k].path, "cut.h5", (size_t)st.st_size * (size_t)part / 25);
			refused(k, "cut.h5", "cannot read as HDF5");
		}
		copy(kinds[k].path, "cut.h5", (size_t)st.st_size - 1);
		refused(k, "cut.h5", "");
	}
}

static void set_attribute(hid_t object, const char *attribute, int64_t v)
{
	hid_t a = H5Aopen(object, attribute, H5P_DEFAULT);
	assert_true(object >= 0 && a >= 0 && H5Awrite(a, H5T_NATIVE_INT64, &v) >= 0);
	H5Aclose(a);
}

static void set_number(const char *path, const char *attribute, int64_t v)
{
	hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
	set_attribute(f, attribute, v);
	H5Fclose(f);
}

static void drop_attribute(const char *path, const char *attribute)
{
	hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
	assert_true(f >= 0 && H5Adelete(f, attribute) >= 0);
	H5Fclose(f);
}

static void drop_link(const char *path, const char *link)
{
	hid_t f = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
	assert_true(f >= 0 && H5Ldelete(f, link, H5P_DEFAULT) >= 0);
	H5Fclose(f);
}

static void test_heads(void **state)
{
	(void)state;
	for (int k = 0; k < KINDS; k++) {
		copy(kinds[k].path, "x.h5", SIZE_MAX);
		drop_attribute("x.h5", "complete");
		refused(k, "x.h5", "is not complete: its writer did not finish");
		copy(kinds[k].path, "x.h5", SIZE_MAX);
		set_number("x.h5", "complete", 0);
		refused(k, "x.h5", "is not complete");
		copy(kinds[k].path, "x.h5", SIZE_MAX);
		set_number("x.h5", "version", 2);
		refused(k, "x.h5", "has layout version 2, this program knows 1");
		copy(kinds[k].path, "x.h5", SIZE_MAX);
		drop_attribute("x.h5", "version");
		refused(k, "x.h5", "'version'");
		copy(kinds[k].path, "x.h5", SIZE_MAX);
		drop_attribute("x.h5", "format");
		refused(k, "x.h5", "no format given");
	}
	const struct {
		int kind;
		const char *link;
	} links[] = {{0, "params"},           {0, "params/a2/weight"}, {0, "order"},    {0, "optimizer/adam_v/z1"},
		     {1, "history/val_top5"}, {1, "layers/nnz"},       {2, "masks/z1"}, {3, "cells"}};
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		copy(kinds[links[i].kind].path, "x.h5", SIZE_MAX);
		drop_link("x.h5", links[i].link);
		refused(links[i].kind, "x.h5", "");
	}
	copy("c.h5", "x.h5", SIZE_MAX);
	drop_attribute("x.h5", "step");
	refused(0, "x.h5", "lacks attribute 'step'");
	copy("cell.h5", "x.h5", SIZE_MAX);
	drop_attribute("x.h5", "test_loss");
	refused(1, "x.h5", "lacks attribute 'test_loss'");
}

/* Flips one bit in the middle of the first chunk of a dataset. */
static void flip_bit(const char *path, const char *set)
{
	hid_t f = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), d = H5Dopen2(f, set, H5P_DEFAULT),
	      space = H5Dget_space(d);
	hsize_t size = 0, offset[COP_RANK_MAX];
	haddr_t at = HADDR_UNDEF;
	unsigned filters;
	assert_true(d >= 0 && H5Dget_chunk_info(d, space, 0, offset, &filters, &at, &size) >= 0);
	H5Sclose(space);
	H5Dclose(d);
	H5Fclose(f);
	FILE *file = fopen(path, "r+b");
	assert_non_null(file);
	assert_int_equal(fseek(file, (long)(at + size / 2), SEEK_SET), 0);
	int byte = fgetc(file);
	assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
	fputc(byte ^ 0x10, file);
	assert_int_equal(fclose(file), 0);
}

/* A bit that flips on the disk is an error, not another weight. */
static void test_flipped_bits(void **state)
{
	(void)state;
	const struct {
		int kind;
		const char *set;
	} sets[] = {{0, "params/z1/weight"},
		    {0, "optimizer/adam_v/z1/weight"},
		    {1, "history/train_loss"},
		    {2, "masks/z1/weight"}};
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		copy(kinds[sets[i].kind].path, "x.h5", SIZE_MAX);
		flip_bit("x.h5", sets[i].set);
		refused(sets[i].kind, "x.h5", sets[i].set);
	}
	struct cop_h5 *f;
	struct cop_err err = {0};
	static float w[3050];
	copy("cell.h5", "x.h5", SIZE_MAX);
	flip_bit("x.h5", "params/z1/weight");
	assert_int_equal(cop_h5_open(&f, "x.h5", COP_CELL_FORMAT, &err), 0);
	assert_int_equal(cop_h5_read(f, "params/z1/weight", COP_H5_F32, 3050, w, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "'params/z1/weight' in 'x.h5'"));
	cop_h5_close(f);
}

/* The contents of c.h5, so that a bit of them can be flipped where it lies. */
struct bytes {
	char *data;
	size_t n;
	int flipped;
};

/* Flips a bit of the byte at `at`; reading must find the file damaged, or fail over what it says. */
static void flip_at(struct bytes *b, size_t at, int bit, const char *what)
{
	struct cop_err err = {0};
	b->data[at] ^= (char)(1 << bit);
	assert_int_equal(cop_write_file("x.h5", b->data, b->n, &err), 0);
	b->data[at] ^= (char)(1 << bit);
	if (read_checkpoint("x.h5", &err) != COP_EINPUT || !strstr(err.msg, "'x.h5' is damaged"))
		fail_msg("bit %d of %s, at %zu of the file: '%s'", bit, what, at, err.msg);
	b->flipped++;
}

/* Where `wanted` lies, which is nowhere else. */
static size_t find_bytes(const struct bytes *b, const void *wanted, size_t n, const char *what)
{
	const char *at = memmem(b->data, b->n, wanted, n);
	if (!at || memmem(at + 1, b->n - (size_t)(at + 1 - b->data), wanted, n))
		fail_msg("%s is not once in the file", what);
	return (size_t)(at - b->data);
}

/* A small tensor: a bit of its first, middle and last value, signs and least digits among them. */
static int flip_tensor(struct cop_h5 *f, const char *name, void *user, struct cop_err *err)
{
	int rank;
	int64_t dim[COP_RANK_MAX];
	float v[1024];
	size_t count = 1;
	assert_int_equal(cop_h5_shape(f, name, &rank, dim, err), 0);
	for (int i = 0; i < rank; i++)
		count *= (size_t)dim[i];
	if (count > 1024)
		return 0;
	assert_int_equal(cop_h5_read(f, name, COP_H5_F32, count, v, err), 0);
	size_t at = find_bytes(user, v, count * sizeof(*v), name);
	flip_at(user, at, 0, name);
	flip_at(user, at + count / 2 * sizeof(*v) + 2, 5, name);
	flip_at(user, at + count * sizeof(*v) - 1, 7, name);
	return 0;
}

static int flip_if_tensor(struct cop_h5 *f, const char *path, void *user, struct cop_err *err)
{
	return strncmp(path, "order/", 6) == 0 ? 0 : flip_tensor(f, path, user, err);
}

/* What is too small for a checksum of HDF5's own: each small tensor, and the attributes. */
static void test_flipped_small_bits(void **state)
{
	(void)state;
	struct bytes b = {0};
	struct cop_h5 *f;
	struct cop_err err = {0};
	const int64_t step = 12345678901;
	const double epoch = 0.1;
	assert_int_equal(cop_read_file("c.h5", &b.data, &b.n, &err), 0);
	assert_int_equal(cop_h5_open(&f, "c.h5", COP_CHECKPOINT_FORMAT, &err), 0);
	assert_int_equal(cop_h5_visit(f, "/", flip_if_tensor, &b, &err), 0);
	cop_h5_close(f);
	/* of params, two slots and the buffers */
	assert_int_equal(b.flipped, 3 * (3 * 3 + 1));
	flip_at(&b, find_bytes(&b, &step, sizeof(step), "step"), 3, "step");
	flip_at(&b, find_bytes(&b, &epoch, sizeof(epoch), "epoch") + 6, 2, "epoch");
	flip_at(&b, find_bytes(&b, "0123456789abcdef", 16, "hash") + 8, 0, "hash");
	flip_at(&b, find_bytes(&b, "{\"name\": \"caf", 13, "experiment") + 3, 0, "experiment");
	free(b.data);
	copy("c.h5", "x.h5", SIZE_MAX);
	hid_t h = H5Fopen("x.h5", H5F_ACC_RDWR, H5P_DEFAULT), d = H5Dopen2(h, "params/a2/bias", H5P_DEFAULT);
	set_attribute(d, "prunable", 1);
	H5Dclose(d);
	H5Fclose(h);
	refused(0, "x.h5", "is damaged: what params holds is not");
	copy("c.h5", "x.h5", SIZE_MAX);
	drop_attribute("x.h5", "digest");
	refused(0, "x.h5", "lacks attribute 'digest'");
	/* whoever makes a checkpoint without coppice need not know of digests */
	drop_attribute("x.h5", "coppice");
	assert_int_equal(read_checkpoint("x.h5", &err), 0);
}

/* What is begun and given up, and what cannot be begun, leaves nothing. */
static void test_abandoned(void **state)
{
	(void)state;
	struct cop_h5 *f;
	struct cop_err err = {0};
	const int64_t dim[] = {4};
	const float v[] = {1, 2, 3, 4};
	int before = entries();
	assert_int_equal(cop_h5_create(&f, "new.h5", "coppice-test", &err), 0);
	assert_int_equal(cop_h5_write(f, "deep/in/it", COP_H5_F32, 1, dim, v, 0, &err), 0);
	assert_false(cop_exists("new.h5"));
	assert_int_equal(entries(), before + 1);
	cop_h5_abandon(f);
	cop_h5_abandon(NULL);
	assert_int_equal(entries(), before);
	assert_int_equal(cop_h5_create(&f, "none/new.h5", "coppice-test", &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "'none/new.h5'"));
	/* the same dataset twice is refused, and the file can still be given up */
	assert_int_equal(cop_h5_create(&f, "new.h5", "coppice-test", &err), 0);
	assert_int_equal(cop_h5_write(f, "a", COP_H5_F32, 1, dim, v, 0, &err), 0);
	assert_int_equal(cop_h5_write(f, "a", COP_H5_F32, 1, dim, v, 0, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "'a' in 'new.h5'"));
	cop_h5_abandon(f);
	/* a writer that cannot put its file in place takes it away */
	assert_int_equal(cop_mkdirs("taken.h5", &err), 0);
	assert_int_equal(cop_h5_create(&f, "taken.h5", "coppice-test", &err), 0);
	assert_int_equal(cop_h5_commit(f, &err), COP_EFAILED);
	assert_non_null(strstr(err.msg, "'taken.h5'"));
	assert_int_equal(rmdir("taken.h5"), 0);
	assert_int_equal(entries(), before);
	/* a new file takes the old one's place at once */
	assert_int_equal(cop_h5_create(&f, "m.h5", "coppice-test", &err), 0);
	assert_int_equal(read_mask("m.h5", &err), 0);
	assert_int_equal(cop_h5_commit(f, &err), 0);
	assert_int_equal(read_mask("m.h5", &err), COP_EINPUT);
	assert_int_equal(entries(), before);
}

int main(void)
{
	/* the later tests spoil copies of what the first ones wrote */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint),
		cmocka_unit_test(test_cell),
		cmocka_unit_test(test_history_columns),
		cmocka_unit_test(test_early_stop),
		cmocka_unit_test(test_old_cell),
		cmocka_unit_test(test_old_results),
		cmocka_unit_test(test_mask),
		cmocka_unit_test(test_results),
		cmocka_unit_test(test_no_such_files),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_flipped_small_bits),
		cmocka_unit_test(test_abandoned),
	};
	return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
