/* The front of packing; see pack.h. */
#include "data/pack.h"

#include "base/file.h"
#include "data/cifar.h"
#include "data/folder.h"
#include "data/glyphs.h"
#include "data/idx.h"
#include "data/tree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const struct cop_pack_options cop_pack_defaults = {
	.n = {[COP_SPLIT_TRAIN] = 12000, [COP_SPLIT_TEST] = 2000},
	.seed = 1,
};

/* What would fail at the end fails at the start. */
static int check_output(const char *path, bool force, struct cop_err *err)
{
	if (cop_is_folder(path))
		return cop_fail(err, COP_EINPUT, "cannot write '%s': it is a folder", path);
	if (!force && cop_exists(path))
		return cop_fail(err, COP_EINPUT, "'%s' exists (--force replaces it)", path);
	char *folder = cop_folder_of(path);
	int rc = 0;
	if (!cop_is_folder(folder))
		rc = cop_fail(err, COP_EINPUT, "cannot write '%s': there is no folder '%s'", path, folder);
	free(folder);
	return rc;
}

static int pack_synthetic(const char *path, const struct cop_pack_options *o, struct cop_err *err)
{
	if (strcmp(o->synthetic, "glyphs") != 0)
		return cop_fail(err, COP_EINPUT, "there is no synthetic data '%s', only 'glyphs'", o->synthetic);
	return cop_glyphs_pack(path, o->n, o->seed, err);
}

static int refuse_image_options(const struct cop_pack_options *o, const char *files, struct cop_err *err)
{
	if (o->size || o->channels || o->skip_broken)
		return cop_fail(err, COP_EINPUT,
				"'%s' holds %s: --size, --channels and --skip-broken are for folders of images",
				o->source, files);
	return 0;
}

static int pack_source(const char *path, const struct cop_pack_options *o, struct cop_err *err)
{
	struct stat st;
	if (stat(o->source, &st) < 0)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", o->source);
	if (!S_ISDIR(st.st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is no folder", o->source);
	if (cop_idx_found(o->source)) {
		int rc = refuse_image_options(o, "IDX files", err);
		return rc ? rc : cop_idx_pack(path, o->source, err);
	}
	if (cop_cifar_found(o->source)) {
		int rc = refuse_image_options(o, "binary batches", err);
		return rc ? rc : cop_cifar_pack(path, o->source, err);
	}
	if (cop_tree_found(o->source))
		return cop_folder_pack(path, o, err);
	return cop_fail(err, COP_EINPUT,
			"'%s' holds neither IDX files (train-images-idx3-ubyte, ...) nor CIFAR's batches "
			"(data_batch_1.bin, ...) nor folders train/CLASS",
			o->source);
}

int cop_pack(const char *path, const struct cop_pack_options *o, struct cop_err *err)
{
	int rc = check_output(path, o->force, err);
	if (rc)
		return rc;
	return o->synthetic ? pack_synthetic(path, o, err) : pack_source(path, o, err);
}
