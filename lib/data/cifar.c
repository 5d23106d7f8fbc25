/* CIFAR's binary batches; see cifar.h. */
#include "data/cifar.h"

#include "base/file.h"
#include "base/mem.h"
#include "store/dataset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, CLASSES_MAX = 256, BATCHES_MAX = 5, NAMES_MAX = 1 << 16 };

struct kind {
	const char *batch[COP_SPLITS][BATCHES_MAX]; /* NULL after the last */
	const char *names;
	int labels; /* bytes before the pixels; the last is the class */
	int classes;
};

static const struct kind kinds[] = {
	{.batch = {[COP_SPLIT_TRAIN] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
					"data_batch_5.bin"},
		   [COP_SPLIT_TEST] = {"test_batch.bin"}},
	 .names = "batches.meta.txt",
	 .labels = 1,
	 .classes = 10},
	{.batch = {[COP_SPLIT_TRAIN] = {"train.bin"}, [COP_SPLIT_TEST] = {"test.bin"}},
	 .names = "fine_label_names.txt",
	 .labels = 2,
	 .classes = 100},
};

struct packing {
	const struct kind *kind;
	const char *folder;
	char *text; /* of the names */
	const char *name[CLASSES_MAX];
	struct cop_dataset_writer *w;
};

static const struct kind *kind_of(const char *folder)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (int split = 0; split < COP_SPLITS; split++) {
			char *path = cop_xasprintf("%s/%s", folder, kinds[k].batch[split][0]);
			bool found = cop_exists(path);
			free(path);
			if (found)
				return &kinds[k];
		}
	return NULL;
}

bool cop_cifar_found(const char *folder)
{
	return kind_of(folder) != NULL;
}

static int check_file(const char *path, struct stat *st, struct cop_err *err)
{
	if (stat(path, st) < 0)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	if (!S_ISREG(st->st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is no ordinary file", path);
	if (st->st_size == 0)
		return cop_fail(err, COP_EINPUT, "'%s' is empty", path);
	return 0;
}

/* A name a line; empty lines are passed over. */
static int split_names(struct packing *p, const char *path, struct cop_err *err)
{
	int n = 0;
	char *rest = p->text;
	for (char *line; (line = strsep(&rest, "\n"));) {
		line[strcspn(line, "\r")] = '\0';
		if (*line == '\0')
			continue;
		if (n < p->kind->classes)
			p->name[n] = line;
		n++;
	}
	if (n != p->kind->classes)
		return cop_fail(err, COP_EINPUT, "'%s' names %d classes, not %d", path, n, p->kind->classes);
	return 0;
}

static int read_names(struct packing *p, struct cop_err *err)
{
	struct stat st;
	size_t len = 0;
	char *path = cop_xasprintf("%s/%s", p->folder, p->kind->names);
	int rc = check_file(path, &st, err);
	if (!rc && st.st_size > NAMES_MAX)
		rc = cop_fail(err, COP_EINPUT, "'%s' is too long for names of classes", path);
	if (!rc)
		rc = cop_read_file(path, &p->text, &len, err);
	if (!rc && strlen(p->text) != len)
		rc = cop_fail(err, COP_EINPUT, "'%s' is no text", path);
	if (!rc)
		rc = split_names(p, path, err);
	free(path);
	return rc;
}

/* Planes to pixels. */
static void interleave(const uint8_t *plane, uint8_t *pixel)
{
	for (int i = 0; i < PLANE; i++)
		for (int c = 0; c < 3; c++)
			pixel[3 * i + c] = plane[c * PLANE + i];
}

static int add_records(struct packing *p, enum cop_split split, const char *path, FILE *f, int64_t n,
		       struct cop_err *err)
{
	uint8_t record[2 + 3 * PLANE], pixel[3 * PLANE];
	size_t labels = (size_t)p->kind->labels, each = labels + 3 * PLANE;
	int rc = 0;
	for (int64_t i = 0; !rc && i < n; i++) {
		if (fread(record, each, 1, f) != 1)
			return ferror(f) ? cop_fail_errno(err, COP_EINPUT, "cannot read '%s'", path)
					 : cop_fail(err, COP_EINPUT, "'%s' became shorter", path);
		int label = record[labels - 1];
		if (label >= p->kind->classes)
			return cop_fail(err, COP_EINPUT, "'%s': label %d of image %" PRId64 " is not one of %d classes",
					path, label, i, p->kind->classes);
		interleave(record + labels, pixel);
		rc = cop_dataset_add(p->w, split, pixel, label, err);
	}
	return rc;
}

static int add_file(struct packing *p, enum cop_split split, const char *path, struct cop_err *err)
{
	struct stat st;
	int64_t each = p->kind->labels + 3 * PLANE;
	int rc = check_file(path, &st, err);
	if (!rc && st.st_size % each != 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' has %lld bytes, which are not whole records of %" PRId64, path,
			      (long long)st.st_size, each);
	if (rc)
		return rc;
	FILE *f = fopen(path, "rbe");
	if (!f)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	rc = add_records(p, split, path, f, st.st_size / each, err);
	fclose(f);
	return rc;
}

static int add_split(struct packing *p, enum cop_split split, struct cop_err *err)
{
	const char *const *batch = p->kind->batch[split];
	int rc = 0;
	for (int i = 0; !rc && i < BATCHES_MAX && batch[i]; i++) {
		char *path = cop_xasprintf("%s/%s", p->folder, batch[i]);
		rc = add_file(p, split, path, err);
		free(path);
	}
	return rc;
}

int cop_cifar_pack(const char *path, const char *folder, struct cop_err *err)
{
	struct packing p = {.kind = kind_of(folder), .folder = folder};
	if (!p.kind)
		return cop_fail(err, COP_EINPUT, "'%s' holds no binary batches of CIFAR", folder);
	int rc = read_names(&p, err);
	if (!rc)
		rc = cop_dataset_create(&p.w, path, SIDE, SIDE, 3, p.name, p.kind->classes, err);
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = add_split(&p, split, err);
	if (rc)
		cop_dataset_abandon(p.w);
	else
		rc = cop_dataset_commit(p.w, err);
	free(p.text);
	return rc;
}
