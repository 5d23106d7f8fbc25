/* What `show` says of each kind of file, and of damaged ones. */
#include "base/file.h"
#include "base/mem.h"
#include "report/show.h"
#include "store/cell.h"
#include "store/checkpoint.h"
#include "synthetic.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "show-XXXXXX";

/* What is printed of `path` after its first three lines (file, format, version). */
__attribute__((noinline)) static char *shown(bool json)
{
	struct cop_sheet s = {0};
	struct cop_err err;
	char *text = NULL;
	size_t len = 0;
	assert_int_equal(cop_show(path, NULL, &s, &err), 0);
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	cop_sheet_print(&s, out, json);
	fclose(out);
	cop_sheet_release(&s);
	char *from = text;
	for (int i = 0; i < 3 && !json; i++)
		from = strchr(from, '\n') + 1;
	char *rest = cop_xstrdup(from);
	free(text);
	return rest;
}

static void add_layers(struct cop_layout *l)
{
	cop_layout_add(l, "fc2/weight", 2, (int64_t[]){3, 2}, true);
	cop_layout_add(l, "fc1/bias", 1, (int64_t[]){2}, false);
}

static void test_checkpoint(void **state)
{
	(void)state;
	struct cop_checkpoint c = {.step = 917, .epoch = 1, .nslots = 1, .slot_name = {"momentum"}};
	struct cop_err err;
	add_layers(&c.params);
	assert_int_equal(cop_alloc(&c.param, c.params.total, sizeof(float), "test", &err), 0);
	assert_int_equal(cop_alloc(&c.slot[0], c.params.total, sizeof(float), "test", &err), 0);
	float *w = c.param + c.params.tensor[0].offset;
	w[0] = -3;
	w[1] = 1.5;
	w[5] = -0.0f;
	c.hash = cop_xstrdup("feed");
	assert_int_equal(cop_checkpoint_write(path, &c, &err), 0);
	char *text = shown(false);
	assert_string_equal(text, "experiment hash  feed\n"
				  "step             917\n"
				  "epoch            1\n"
				  "optimizer        momentum\n"
				  "parameters       8\n"
				  "prunable         6\n"
				  "\n"
				  "params:\n"
				  "tensor      shape  count  prunable  zeros  mean_abs  max_abs\n"
				  "fc2/weight  3x2        6  yes           4      0.75        3\n"
				  "fc1/bias    2          2  no            2         0        0\n");
	free(text);
	cop_checkpoint_release(&c);
}

static void test_cell(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_err err;
	synthetic_results(&r, &(struct synthetic){.quantiles = 2, .resets = 2, .replicates = 1, .name = "x"});
	assert_int_equal(cop_cell_write(path, &r.cell[3], "{}", NULL, NULL, NULL, NULL, NULL, &err), 0);
	char *text = shown(false), *json = shown(true);
	assert_non_null(strstr(text, "\nquantile              0.6\n"));
	assert_non_null(strstr(text, "\nnnz                   106,480\n"));
	assert_non_null(strstr(text, "\nval top1              -\n"));
	assert_non_null(strstr(text, "\nweights               not kept\n"));
	assert_non_null(strstr(text, "\nfc3/weight    1000    726  72.60  yes\n"));
	cJSON *object = cJSON_Parse(json);
	assert_non_null(object);
	assert_true(cJSON_GetObjectItem(object, "nnz")->valuedouble == 106480);
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(object, "val_top1")));
	assert_true(fabs(cJSON_GetObjectItem(object, "test_top1")->valuedouble - r.cell[3].row.test_top1) < 1e-15);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(object, "last_history")), 5);
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(object, "layers")), 3);
	cJSON_Delete(object);
	free(text);
	free(json);
	cop_results_release(&r);
}

static void test_mask(void **state)
{
	(void)state;
	struct cop_h5 *f;
	struct cop_err err;
	static const uint8_t mask[] = {1, 0, 0, 1, 0, 0};
	assert_int_equal(cop_h5_create(&f, path, "coppice-mask", &err), 0);
	assert_int_equal(cop_h5_write(f, "masks/fc1/weight", COP_H5_U8, 2, (int64_t[]){2, 3}, mask, 4, &err), 0);
	assert_int_equal(cop_h5_put_f64(f, "/", "quantile", 2.0 / 3, &err), 0);
	assert_int_equal(cop_h5_put_str(f, "/", "scope", "global", &err), 0);
	assert_int_equal(cop_h5_put_i64(f, "/", "total", 6, &err), 0);
	assert_int_equal(cop_h5_commit(f, &err), 0);
	char *text = shown(false);
	assert_string_equal(text, "quantile  0.666667\n"
				  "scope     global\n"
				  "total     6\n"
				  "\n"
				  "layers:\n"
				  "layer       shape  total  nnz   left\n"
				  "fc1/weight  2x3        6    2  33.33\n");
	free(text);
}

static void test_results(void **state)
{
	(void)state;
	struct cop_results r;
	struct cop_err err;
	synthetic_results(
		&r, &(struct synthetic){
			    .quantiles = 4, .resets = 3, .replicates = 1, .missing = 2, .name = "tiny\n\x1b[31m"});
	assert_int_equal(cop_results_write(path, &r, &err), 0);
	char *text = shown(false), *json = shown(true);
	assert_non_null(strstr(text, "\nfinished              10\nmissing               10, 11\n"));
	assert_null(strchr(text, '\x1b'));
	cJSON *object = cJSON_Parse(json), *best = cJSON_GetObjectItem(object, "best_cells"), *item;
	assert_int_equal(cJSON_GetArraySize(best), 5);
	double before = 2;
	cJSON_ArrayForEach (item, best) {
		double v = cJSON_GetObjectItem(item, "test_top1")->valuedouble;
		assert_true(v <= before);
		before = v;
	}
	double most = 0;
	for (size_t i = 0; i < r.ncells; i++)
		most = fmax(most, r.cell[i].row.test_top1);
	assert_true(cJSON_GetObjectItem(cJSON_GetArrayItem(best, 0), "test_top1")->valuedouble == most);
	cJSON_Delete(object);
	free(text);
	free(json);
	cop_results_release(&r);
}

static void test_other_hdf5(void **state)
{
	(void)state;
	struct cop_h5 *f;
	struct cop_err err;
	static const int32_t v[4];
	assert_int_equal(cop_h5_create(&f, path, "something-else", &err), 0);
	assert_int_equal(cop_h5_write(f, "deep/down/numbers", COP_H5_I32, 2, (int64_t[]){2, 2}, v, 0, &err), 0);
	assert_int_equal(cop_h5_write_strings(f, "words", (const char *[]){"a", "b", "c"}, 3, &err), 0);
	assert_int_equal(cop_h5_commit(f, &err), 0);
	char *text = shown(false);
	assert_string_equal(text, "datasets:\n"
				  "dataset            type    shape\n"
				  "deep/down/numbers  int32   2x2\n"
				  "words              string  3\n");
	free(text);
}

static int refused(struct cop_err *err)
{
	struct cop_sheet s = {0};
	int rc = cop_show(path, NULL, &s, err);
	cop_sheet_release(&s);
	return rc;
}

static void test_what_cannot_be_shown(void **state)
{
	(void)state;
	struct cop_h5 *f;
	struct cop_err err;
	assert_int_equal(cop_write_file(path, "plain", 5, &err), 0);
	assert_int_equal(refused(&err), COP_EINPUT);
	assert_non_null(strstr(err.msg, path));
	assert_int_equal(cop_write_file(path, " {\"nme\": 1}", 11, &err), 0);
	assert_int_equal(refused(&err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "nme"));
	assert_int_equal(cop_h5_create(&f, path, COP_CELL_FORMAT, &err), 0);
	assert_int_equal(cop_h5_commit(f, &err), 0);
	assert_int_equal(refused(&err), COP_EINPUT);
	assert_int_equal(cop_h5_create(&f, path, COP_CHECKPOINT_FORMAT, &err), 0);
	assert_int_equal(cop_h5_put_i64(f, "/", "step", 1, &err), 0);
	assert_int_equal(cop_h5_put_f64(f, "/", "epoch", 1, &err), 0);
	assert_int_equal(cop_h5_commit(f, &err), 0);
	assert_int_equal(refused(&err), COP_EINPUT);
	unlink(path);
	assert_int_equal(refused(&err), COP_EINPUT);
}

static int set_up(void **state)
{
	(void)state;
	int fd = mkstemp(path);
	return fd < 0 || close(fd);
}

static int tear_down(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_checkpoint), cmocka_unit_test(test_cell),
		cmocka_unit_test(test_mask),       cmocka_unit_test(test_results),
		cmocka_unit_test(test_other_hdf5), cmocka_unit_test(test_what_cannot_be_shown),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
