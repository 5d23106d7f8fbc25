/* Datasets: what is written is read again; statistics, fingerprint, and files that lie. */
#include "base/file.h"
#include "store/dataset.h"

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *const classes[] = {"oak", "ash", "elm"};
enum { H = 3, W = 5, C = 2, EACH = H * W * C };

static char folder[64];

static const char *in_folder(const char *name)
{
	static char path[128];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int entries(void)
{
	int n = 0;
	DIR *d = opendir(folder);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
	closedir(d);
	return n;
}

static int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "dataset.XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(in_folder("d.h5"));
	return rmdir(folder);
}

static uint8_t pixel(int split, int i, int k)
{
	return (uint8_t)((split * 91 + i * 37 + k * 101 + i * k) & 255);
}

static int32_t label(int split, int i)
{
	return (i * 2 + split) % 3;
}

/* `n` images a split, with one pixel changed where `changed` is not negative. */
static void write_set(const int n[COP_SPLITS], int changed)
{
	struct cop_dataset_writer *w = NULL;
	struct cop_err err = {0};
	assert_int_equal(cop_dataset_create(&w, in_folder("d.h5"), H, W, C, classes, 3, &err), 0);
	for (int split = 0; split < COP_SPLITS; split++) {
		for (int i = 0; i < n[split]; i++) {
			uint8_t image[EACH];
			for (int k = 0; k < EACH; k++)
				image[k] = (uint8_t)(pixel(split, i, k) + (split == 0 && i == changed && k == 7));
			assert_int_equal(cop_dataset_add(w, split, image, label(split, i), &err), 0);
		}
	}
	assert_int_equal(cop_dataset_commit(w, &err), 0);
}

/* 40,000 images of 30 bytes: more than one chunk of a megabyte. */
static void test_round_trip(void **state)
{
	(void)state;
	const int n[COP_SPLITS] = {40000, 17};
	write_set(n, -1);
	struct cop_dataset_info d;
	struct cop_err err = {0};
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), 0);
	assert_int_equal(d.height, H);
	assert_int_equal(d.width, W);
	assert_int_equal(d.channels, C);
	assert_int_equal(d.nclasses, 3);
	assert_string_equal(d.classes[2], "elm");
	for (int split = 0; split < COP_SPLITS; split++) {
		uint8_t *images;
		int32_t *labels;
		assert_int_equal(d.n[split], n[split]);
		assert_int_equal(cop_dataset_read(&d, split, &images, &labels, &err), 0);
		for (int i = 0; i < n[split]; i++) {
			assert_int_equal(labels[i], label(split, i));
			for (int k = 0; k < EACH; k++)
				assert_int_equal(images[i * EACH + k], pixel(split, i, k));
		}
		free(images);
		free(labels);
	}
	cop_dataset_info_release(&d);
	assert_int_equal(entries(), 1);
}

static void test_statistics(void **state)
{
	(void)state;
	const int n[COP_SPLITS] = {1000, 10};
	write_set(n, -1);
	double sum[C] = {0}, squares[C] = {0};
	double count = (double)n[0] * H * W;
	for (int i = 0; i < n[0]; i++)
		for (int k = 0; k < EACH; k++)
			sum[k % C] += pixel(0, i, k) / 255.0;
	for (int i = 0; i < n[0]; i++)
		for (int k = 0; k < EACH; k++)
			squares[k % C] += pow(pixel(0, i, k) / 255.0 - sum[k % C] / count, 2);
	struct cop_dataset_info d;
	struct cop_err err = {0};
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), 0);
	for (int c = 0; c < C; c++) {
		assert_true(fabs(d.mean[c] - sum[c] / count) < 1e-7);
		assert_true(fabs(d.std[c] - sqrt(squares[c] / count)) < 1e-7);
	}
	cop_dataset_info_release(&d);
}

static void read_fingerprint(char *to)
{
	struct cop_dataset_info d;
	struct cop_err err = {0};
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), 0);
	memcpy(to, d.fingerprint, COP_FINGERPRINT);
	cop_dataset_info_release(&d);
}

static void test_fingerprint(void **state)
{
	(void)state;
	char a[COP_FINGERPRINT], b[COP_FINGERPRINT];
	const int n[COP_SPLITS] = {50, 10}, moved[COP_SPLITS] = {50, 9};
	write_set(n, -1);
	read_fingerprint(a);
	write_set(n, -1);
	read_fingerprint(b);
	assert_string_equal(a, b);
	write_set(n, 49);
	read_fingerprint(b);
	assert_string_not_equal(a, b);
	write_set(moved, -1);
	read_fingerprint(b);
	assert_string_not_equal(a, b);
}

static void test_constant_channel(void **state)
{
	(void)state;
	struct cop_dataset_writer *w = NULL;
	struct cop_err err = {0};
	struct cop_dataset_info d;
	uint8_t image[EACH];
	memset(image, 77, sizeof(image));
	assert_int_equal(cop_dataset_create(&w, in_folder("d.h5"), H, W, C, classes, 3, &err), 0);
	for (int i = 0; i < 11; i++)
		assert_int_equal(cop_dataset_add(w, COP_SPLIT_TRAIN, image, 0, &err), 0);
	assert_int_equal(cop_dataset_commit(w, &err), 0);
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), 0);
	assert_true(d.std[0] == 0 && d.std[1] == 0);
	assert_true(d.mean[0] == (float)(77 / 255.0));
	cop_dataset_info_release(&d);
}

static void test_no_test_images(void **state)
{
	(void)state;
	const int n[COP_SPLITS] = {5, 0};
	write_set(n, -1);
	struct cop_dataset_info d;
	struct cop_err err = {0};
	uint8_t *images;
	int32_t *labels;
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), 0);
	assert_int_equal(d.n[COP_SPLIT_TEST], 0);
	assert_int_equal(cop_dataset_read(&d, COP_SPLIT_TEST, &images, &labels, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "has no test images"));
	assert_non_null(strstr(err.msg, folder));
	cop_dataset_info_release(&d);
}

static void test_refusals(void **state)
{
	(void)state;
	struct cop_dataset_writer *w = NULL;
	struct cop_err err = {0};
	struct cop_dataset_info d;
	const uint8_t image[EACH] = {0};
	assert_int_equal(cop_dataset_create(&w, in_folder("n.h5"), 0, W, C, classes, 3, &err), COP_EINPUT);
	assert_int_equal(cop_dataset_create(&w, in_folder("n.h5"), H, W, 5, classes, 3, &err), COP_EINPUT);
	assert_int_equal(cop_dataset_create(&w, in_folder("n.h5"), H, W, C, classes, 1, &err), COP_EINPUT);
	assert_int_equal(cop_dataset_create(&w, in_folder("n.h5"), H, W, C, classes, 3, &err), 0);
	assert_int_equal(cop_dataset_add(w, COP_SPLIT_TRAIN, image, 3, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "label 3 of train image 0"));
	assert_int_equal(cop_dataset_add(w, COP_SPLIT_TRAIN, image, -1, &err), COP_EINPUT);
	assert_int_equal(cop_dataset_commit(w, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "no training images"));
	assert_false(cop_exists(in_folder("n.h5")));
	assert_int_equal(cop_dataset_info_read(in_folder("n.h5"), &d, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "make one with 'coppice pack'"));
	assert_int_equal(entries(), cop_exists(in_folder("d.h5")));
}

/* Files as another program might write them: each wrong in one place. */
enum fault { FAULT_NONE, FAULT_RANK, FAULT_COUNT, FAULT_SHAPE, FAULT_MEAN, FAULT_CLASSES, FAULT_PRINT, FAULT_LABEL };

static void write_faulty(enum fault fault)
{
	struct cop_h5 *f;
	struct cop_err err = {0};
	const uint8_t image[2 * EACH] = {0};
	const int32_t labels[2] = {0, fault == FAULT_LABEL ? 3 : 2};
	const float v[C] = {fault == FAULT_MEAN ? NAN : 0.5f, 0.5f};
	const int64_t dim[4] = {2, H, W, C}, other[4] = {2, W, H, C}, n = fault == FAULT_COUNT ? 1 : 2;
	assert_int_equal(cop_h5_create(&f, in_folder("d.h5"), "coppice-dataset", &err), 0);
	int rank = fault == FAULT_RANK ? 3 : 4;
	int rc = cop_h5_write(f, "train/images", COP_H5_U8, rank, rank == 4 ? dim : (int64_t[]){2, H, W * C}, image, 0,
			      &err);
	rc |= cop_h5_write(f, "train/labels", COP_H5_I32, 1, &n, labels, 0, &err);
	rc |= cop_h5_write(f, "test/images", COP_H5_U8, 4, fault == FAULT_SHAPE ? other : dim, image, 0, &err);
	rc |= cop_h5_write(f, "test/labels", COP_H5_I32, 1, (int64_t[]){2}, labels, 0, &err);
	rc |= cop_h5_write_strings(f, "classes", classes, fault == FAULT_CLASSES ? 1 : 3, &err);
	rc |= cop_h5_put_f32s(f, "/", "mean", v, C, &err);
	rc |= cop_h5_put_f32s(f, "/", "std", v, C, &err);
	rc |= cop_h5_put_str(f, "/", "fingerprint", fault == FAULT_PRINT ? "xyz" : "0123456789abcdef", &err);
	assert_int_equal(rc, 0);
	assert_int_equal(cop_h5_commit(f, &err), 0);
}

static void expect_fault(enum fault fault, const char *says)
{
	struct cop_dataset_info d;
	struct cop_err err = {0};
	write_faulty(fault);
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, says));
	assert_non_null(strstr(err.msg, "d.h5"));
}

static void test_faulty_files(void **state)
{
	(void)state;
	expect_fault(FAULT_RANK, "no set of images");
	expect_fault(FAULT_COUNT, "same length");
	expect_fault(FAULT_SHAPE, "another shape");
	expect_fault(FAULT_MEAN, "channel 0");
	expect_fault(FAULT_CLASSES, "two classes");
	expect_fault(FAULT_PRINT, "fingerprint");
	struct cop_dataset_info d;
	struct cop_err err = {0};
	uint8_t *images;
	int32_t *labels;
	write_faulty(FAULT_NONE);
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), 0);
	cop_dataset_info_release(&d);
	write_faulty(FAULT_LABEL);
	assert_int_equal(cop_dataset_info_read(in_folder("d.h5"), &d, &err), 0);
	assert_int_equal(cop_dataset_read(&d, COP_SPLIT_TEST, &images, &labels, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "label 3 of test image 1 is not one of 3 classes"));
	cop_dataset_info_release(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_statistics),
		cmocka_unit_test(test_fingerprint),    cmocka_unit_test(test_constant_channel),
		cmocka_unit_test(test_no_test_images), cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_faulty_files),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
