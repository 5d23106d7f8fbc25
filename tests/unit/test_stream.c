/*
 * Images that stay in the file: read one by one they are those that a reading of all gives, however they are stored; a
 * training run has the same bits; and what is damaged or cut off is an error that reaches the trainer.
 */
#include "base/cpu.h"
#include "base/mem.h"
#include "base/rng.h"
#include "nn/trainer.h"

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

enum { H = 37, W = 41, C = 3, F = H * W * C, TRAINING = 500, TESTING = 90, CLASSES = 3 };

static char folder[] = "stream.XXXXXX", path[64], other[64];
static uint8_t *images; /* (TRAINING + TESTING, F) */
static int32_t *labels;

static int make(void **state)
{
	(void)state;
	struct cop_stream s;
	struct cop_err err = {0};
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/data.h5", folder);
	snprintf(other, sizeof(other), "%s/other.h5", folder);
	images = cop_xmalloc((TRAINING + TESTING) * F);
	labels = cop_xcalloc(TRAINING + TESTING, sizeof(*labels));
	cop_stream_init(&s, 7, COP_PURPOSE_TEST, 0, 0);
	for (size_t i = 0; i < (TRAINING + TESTING) * F; i++)
		images[i] = (uint8_t)cop_stream_u32(&s);
	/* black at the end: sums of nothing but zeroes */
	memset(images + (TRAINING + TESTING - 1) * F, 0, F);
	struct cop_dataset_writer *w;
	const char *const classes[] = {"a", "b", "c"};
	int rc = cop_dataset_create(&w, path, H, W, C, classes, CLASSES, &err);
	for (size_t i = 0; i < TRAINING + TESTING && !rc; i++) {
		labels[i] = (int32_t)cop_stream_below(&s, CLASSES);
		rc = cop_dataset_add(w, i < TRAINING ? COP_SPLIT_TRAIN : COP_SPLIT_TEST, images + i * F, labels[i],
				     &err);
	}
	return rc ? rc : cop_dataset_commit(w, &err);
}

static int clean(void **state)
{
	(void)state;
	free(images);
	free(labels);
	unlink(path);
	unlink(other);
	return rmdir(folder);
}

static struct cop_image_file *open_images(const char *file, enum cop_split split)
{
	struct cop_dataset_info d;
	struct cop_image_file *f;
	struct cop_err err = {0};
	if (cop_dataset_info_read(file, &d, &err) || cop_image_file_open(&f, &d, split, &err))
		fail_msg("%s", err.msg);
	cop_dataset_info_release(&d);
	return f;
}

/* Images in random order, some more than once, each against what was written. */
static void check_images(const char *file, enum cop_split split, int n, bool shared)
{
	struct cop_image_file *f = open_images(file, split);
	struct cop_stream s;
	struct cop_err err = {0};
	const uint8_t *all = images + (split == COP_SPLIT_TEST ? TRAINING * F : 0);
	uint8_t got[F];
	assert_int_equal(cop_image_file_shared(f), shared);
	cop_stream_init(&s, 8, COP_PURPOSE_TEST, 0, 0);
	for (int k = 0; k < n + 40; k++) {
		uint32_t i = k < n ? (uint32_t)(n - 1 - k) : cop_stream_below(&s, (uint32_t)n);
		if (cop_image_file_read(f, i, got, &err))
			fail_msg("image %u: %s", i, err.msg);
		assert_memory_equal(got, all + (size_t)i * F, F);
	}
	cop_image_file_close(f);
}

static void test_packed(void **state)
{
	(void)state;
	check_images(path, COP_SPLIT_TRAIN, TRAINING, true);
	check_images(path, COP_SPLIT_TEST, TESTING, true);
}

static int write_split(struct cop_h5 *f, const char *split, const int64_t dim[4], int deflate, struct cop_err *err)
{
	char set[32];
	snprintf(set, sizeof(set), "%s/images", split);
	int rc = cop_h5_write(f, set, COP_H5_U8, 4, dim, images, deflate, err);
	snprintf(set, sizeof(set), "%s/labels", split);
	return rc ? rc : cop_h5_write(f, set, COP_H5_I32, 1, dim, labels, 0, err);
}

/* A dataset of the first training images, in both splits, stored in another way than they are packed. */
static void write_other(const int64_t dim[4], int deflate)
{
	struct cop_h5 *f;
	struct cop_err err = {0};
	const float moments[C] = {0.5f, 0.4f, 0.3f};
	int rc = cop_h5_create(&f, other, "coppice-dataset", &err);
	if (!rc)
		rc = write_split(f, "train", dim, deflate, &err);
	if (!rc)
		rc = write_split(f, "test", dim, deflate, &err);
	if (!rc)
		rc = cop_h5_write_strings(f, "classes", (const char *const[]){"a", "b", "c"}, CLASSES, &err);
	if (!rc)
		rc = cop_h5_put_f32s(f, "/", "mean", moments, (size_t)dim[3], &err);
	if (!rc)
		rc = cop_h5_put_f32s(f, "/", "std", moments, (size_t)dim[3], &err);
	if (!rc)
		rc = cop_h5_put_str(f, "/", "fingerprint", "0123456789abcdef", &err);
	if (rc || cop_h5_commit(f, &err))
		fail_msg("%s", err.msg);
}

/* Puts the training images, one of H bytes, into one piece of the file, as h5py does unless it is told otherwise. */
static void store_contiguous(void)
{
	hid_t file = H5Fopen(other, H5F_ACC_RDWR, H5P_DEFAULT);
	hid_t space = H5Screate_simple(4, (const hsize_t[]){1, H, 1, 1}, NULL);
	assert_true(H5Ldelete(file, "train/images", H5P_DEFAULT) >= 0);
	hid_t set = H5Dcreate2(file, "train/images", H5T_STD_U8LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
	assert_true(H5Dwrite(set, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, images) >= 0);
	H5Dclose(set);
	H5Sclose(space);
	assert_true(H5Fclose(file) >= 0);
}

static void check_small(bool shared)
{
	struct cop_image_file *f = open_images(other, COP_SPLIT_TRAIN);
	struct cop_err err = {0};
	uint8_t got[H];
	assert_int_equal(cop_image_file_shared(f), shared);
	assert_int_equal(cop_image_file_read(f, 0, got, &err), 0);
	assert_memory_equal(got, images, H);
	cop_image_file_close(f);
}

static void test_other_storage(void **state)
{
	(void)state;
	/* of one size with its chunks, then so small that it lies in its header, in one piece, and compressed */
	write_other((const int64_t[]){300, H, W, C}, 0);
	check_images(other, COP_SPLIT_TRAIN, 300, true);
	write_other((const int64_t[]){1, H, 1, 1}, 0);
	check_small(false);
	store_contiguous();
	check_small(true);
	write_other((const int64_t[]){200, H, W, C}, 3);
	check_images(other, COP_SPLIT_TRAIN, 200, false);
}

static struct cop_data_config config(const char *file, int storage, int64_t threads)
{
	return (struct cop_data_config){.path = (char *)(uintptr_t)file,
					.validation = 30,
					.flip = true,
					.resized_crop = true,
					.scale_min = 0.3,
					.storage = storage,
					.loader_threads = threads};
}

static struct cop_train_config training = {.epochs = 2,
					   .batch = 40,
					   .optimizer = COP_OPTIMIZER_SGD,
					   .lr = 0.01,
					   .momentum = 0.9,
					   .warmup = (char *)(uintptr_t) "0ep",
					   .seed_order = 6,
					   .seed_augment = 7};

/* A run and its test; the trainer's weights become the caller's. */
static int train(const struct cop_data_config *c, float **param, size_t *n, struct cop_measure *test,
		 struct cop_err *err)
{
	int64_t hidden[] = {16};
	struct cop_model_config m = {.hidden = {hidden, 1}};
	struct cop_data d;
	struct cop_trainer t;
	int rc = cop_data_open(&d, c, err);
	if (rc)
		return rc;
	assert_true(d.flip == c->flip && d.resized_crop == c->resized_crop && d.scale_min == c->scale_min);
	rc = cop_trainer_init(&t, &m, &training, &d, &cop_cpu_backend, err);
	if (!rc) {
		cop_trainer_draw(&t, COP_INIT_KAIMING_NORMAL, 1);
		rc = cop_trainer_run(&t, t.total_steps, err);
		if (!rc)
			rc = cop_trainer_measure(&t, &d.test, test, err);
		*n = t.net.graph.params.total;
		*param = t.param;
		t.param = NULL;
		cop_trainer_release(&t);
	}
	cop_data_release(&d);
	return rc;
}

static void check_same_bits(const char *file)
{
	struct cop_data_config c = config(file, COP_STORAGE_MEMORY, COP_LOADER_IN_STEP);
	struct cop_err err = {0};
	struct cop_measure memory, stream;
	float *wanted = NULL, *got = NULL;
	size_t n, again;
	assert_int_equal(train(&c, &wanted, &n, &memory, &err), 0);
	assert_true(memory.loss > 0);
	const int threads[] = {COP_LOADER_IN_STEP, COP_LOADER_AUTO, 1, 3};
	for (int k = 0; k < 4; k++) {
		c = config(file, COP_STORAGE_STREAM, threads[k]);
		if (train(&c, &got, &again, &stream, &err))
			fail_msg("%s", err.msg);
		if (n != again || memcmp(wanted, got, n * sizeof(*got)) != 0 || memory.loss != stream.loss ||
		    memory.top1 != stream.top1)
			fail_msg("%s, %d loader threads: other bits", file, threads[k]);
		free(got);
	}
	free(wanted);
}

static void test_same_bits(void **state)
{
	(void)state;
	check_same_bits(path);
	check_same_bits(other); /* the compressed one */
	training.ranks = 2;     /* of which only one may read at a time */
	check_same_bits(path);
	check_same_bits(other);
	training.ranks = 1;
}

static void copy_to_other(void)
{
	char command[200];
	snprintf(command, sizeof(command), "cp %s %s", path, other);
	assert_int_equal(system(command), 0);
}

/* Where the bytes of an image stand in the file. */
static off_t find_image(int index)
{
	struct stat s;
	int fd = open(other, O_RDONLY);
	assert_int_equal(fstat(fd, &s), 0);
	char *all = cop_xmalloc((size_t)s.st_size);
	assert_int_equal(read(fd, all, (size_t)s.st_size), s.st_size);
	close(fd);
	const char *at = memmem(all, (size_t)s.st_size, images + (size_t)index * F, F);
	assert_non_null(at);
	off_t offset = at - all;
	free(all);
	return offset;
}

static void refused(const char *why)
{
	const int threads[] = {COP_LOADER_IN_STEP, 1, 3};
	for (int k = 0; k < 3; k++) {
		struct cop_data_config c = config(other, COP_STORAGE_STREAM, threads[k]);
		struct cop_err err = {0};
		struct cop_measure m;
		float *param = NULL;
		size_t n;
		int rc = train(&c, &param, &n, &m, &err);
		if (rc != COP_EINPUT || !strstr(err.msg, why))
			fail_msg("%d loader threads: code %d, '%s', not '%s'", threads[k], rc, err.msg, why);
		free(param);
	}
}

/* A byte that flips on the disk; and a file that is cut off while it is open, or in a way that HDF5 does not see. */
static void test_damage(void **state)
{
	(void)state;
	copy_to_other();
	off_t at = find_image(400) + 1000;
	int fd = open(other, O_RDWR);
	uint8_t flipped = images[400 * F + 1000] ^ 8;
	assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
	close(fd);
	refused("is damaged: the checksum of train images 230 to 459 is wrong");
	copy_to_other();
	struct cop_image_file *f = open_images(other, COP_SPLIT_TRAIN);
	uint8_t got[F];
	struct cop_err err = {0};
	assert_int_equal(cop_image_file_read(f, 0, got, &err), 0);
	assert_int_equal(truncate(other, find_image(300)), 0);
	assert_int_equal(cop_image_file_read(f, 0, got, &err), 0);
	assert_int_equal(cop_image_file_read(f, 300, got, &err), COP_EINPUT);
	assert_non_null(strstr(err.msg, "ends before its train images do"));
	cop_image_file_close(f);
}

/* Automatic: what takes more than half of the memory stays in the file. */
static void test_automatic(void **state)
{
	(void)state;
	struct cop_data_config c = config(path, COP_STORAGE_AUTO, COP_LOADER_AUTO);
	struct cop_data d;
	struct cop_err err = {0};
	const struct {
		const char *mib;
		bool train, test;
	} limit[] = {
		{"1000000", true, true}, {"6", true, true}, {"5", true, false}, {"4", false, true}, {"0", true, true}};
	cop_cpu_set_threads(0);
	for (size_t k = 0; k < sizeof(limit) / sizeof(limit[0]); k++) {
		setenv("SLURM_MEM_PER_NODE", limit[k].mib, 1);
		assert_int_equal(cop_data_open(&d, &c, &err), 0);
		if ((d.train.images != NULL) != limit[k].train || (d.test.images != NULL) != limit[k].test)
			fail_msg("with %s MiB", limit[k].mib);
		assert_true(!d.train.images == !!d.train.file && !d.test.images == !!d.test.file &&
			    d.validation.file == d.train.file);
		cop_data_release(&d);
	}
	/* one thread of several has its share of the memory alone */
	if (cop_cpu_count() > 1) {
		setenv("SLURM_MEM_PER_NODE", "6", 1);
		cop_cpu_set_threads(1);
		assert_int_equal(cop_data_open(&d, &c, &err), 0);
		assert_true(d.train.file && !d.train.images);
		cop_data_release(&d);
		cop_cpu_set_threads(2);
	}
	unsetenv("SLURM_MEM_PER_NODE");
	setenv("SLURM_MEM_PER_CPU", "3", 1);
	assert_true(cop_memory_limit() == (size_t)(3 << 20) * (size_t)cop_cpu_count());
	unsetenv("SLURM_MEM_PER_CPU");
	assert_true(cop_memory_limit() <= cop_memory_total() && cop_memory_limit() > 64 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_packed), cmocka_unit_test(test_other_storage),
					   cmocka_unit_test(test_same_bits), cmocka_unit_test(test_damage),
					   cmocka_unit_test(test_automatic)};
	cop_cpu_set_threads(2);
	return cmocka_run_group_tests(tests, make, clean);
}
