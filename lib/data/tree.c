/* Folders of images; see tree.h. */
#include "data/tree.h"

#include "base/file.h"
#include "base/mem.h"
#include "data/image.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool has_folders(const char *folder)
{
	DIR *d = opendir(folder);
	bool found = false;
	for (struct dirent *e; d && !found && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		char *path = cop_xasprintf("%s/%s", folder, e->d_name);
		found = cop_is_folder(path);
		free(path);
	}
	if (d)
		closedir(d);
	return found;
}

static char *split_folder(const char *source, enum cop_split split)
{
	char *folder = cop_xasprintf("%s/%s", source, cop_split_names[split]);
	char *val = cop_xasprintf("%s/val", source);
	bool there = cop_is_folder(folder), stands_in = split == COP_SPLIT_TEST && cop_is_folder(val);
	if (stands_in && (!there || (!has_folders(folder) && has_folders(val)))) {
		free(folder);
		return val;
	}
	free(val);
	if (there)
		return folder;
	free(folder);
	return NULL;
}

bool cop_tree_found(const char *folder)
{
	bool found = false;
	for (int split = 0; split < COP_SPLITS; split++) {
		char *path = split_folder(folder, split);
		if (path)
			found = true;
		free(path);
	}
	return found;
}

/* A class must be a folder that can be reached. */
static int check_class(const char *path, struct cop_err *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return cop_fail(err, COP_EINPUT, "'%s' is no folder: a split holds one folder a class", path);
	return 0;
}

static int list_images(const char *folder, struct cop_listing *images, struct cop_err *err)
{
	int rc = check_class(folder, err);
	if (!rc)
		rc = cop_listing_read(folder, images, err);
	if (!rc && images->n == 0)
		rc = cop_fail(err, COP_EINPUT, "the class '%s' has no images", folder);
	for (size_t i = 0; !rc && i < images->n; i++)
		if (cop_image_kind_of_name(images->name[i]) == COP_IMAGE_NONE)
			rc = cop_fail(err, COP_EINPUT, "'%s/%s' is not named as an image (.png, .jpg, .jpeg)", folder,
				      images->name[i]);
	return rc;
}

static int list_class(const struct cop_tree *t, struct cop_branch *b, const char *name, struct cop_err *err)
{
	char *const *at = bsearch(&name, t->classes.name, t->classes.n, sizeof(name), cop_listing_compare);
	char *path = cop_xasprintf("%s/%s", b->folder, name);
	int rc = 0;
	if (!at) {
		rc = check_class(path, err);
		if (!rc)
			rc = cop_fail(err, COP_EINPUT, "the class '%s' has no training images", path);
	} else {
		struct cop_listing *images = &b->images[at - t->classes.name];
		rc = list_images(path, images, err);
		b->n += images->n;
	}
	free(path);
	return rc;
}

static int list_split(struct cop_tree *t, enum cop_split split, struct cop_err *err)
{
	struct cop_branch *b = &t->branch[split];
	struct cop_listing names = {0};
	b->folder = split_folder(t->source, split);
	if (!b->folder)
		return cop_fail(err, COP_EINPUT, "'%s' has no folder '%s'%s", t->source, cop_split_names[split],
				split == COP_SPLIT_TEST ? " or 'val'" : "");
	int rc = cop_listing_read(b->folder, &names, err);
	if (!rc && split == COP_SPLIT_TRAIN) {
		t->classes = names;
		names = (struct cop_listing){0};
		if (t->classes.n > INT32_MAX)
			rc = cop_fail(err, COP_EINPUT, "'%s' has too many classes", b->folder);
	}
	const struct cop_listing *each = split == COP_SPLIT_TRAIN ? &t->classes : &names;
	b->images = cop_xcalloc(t->classes.n, sizeof(*b->images));
	for (size_t i = 0; !rc && i < each->n; i++)
		rc = list_class(t, b, each->name[i], err);
	if (!rc && split == COP_SPLIT_TRAIN && t->classes.n < 2)
		rc = cop_fail(err, COP_EINPUT, "'%s' has %zu folder%s: two classes are needed", b->folder, t->classes.n,
			      t->classes.n == 1 ? "" : "s");
	if (!rc && b->n == 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' has no images", b->folder);
	cop_listing_release(&names);
	return rc;
}

static void count_images(const struct cop_tree *t, struct cop_branch *b)
{
	b->first = cop_xcalloc(t->classes.n + 1, sizeof(*b->first));
	for (size_t i = 0; i < t->classes.n; i++)
		b->first[i + 1] = b->first[i] + b->images[i].n;
}

int cop_tree_read(struct cop_tree *t, const char *source, struct cop_err *err)
{
	int rc = 0;
	*t = (struct cop_tree){.source = cop_xstrdup(source)};
	for (int split = 0; !rc && split < COP_SPLITS; split++) {
		rc = list_split(t, split, err);
		if (!rc)
			count_images(t, &t->branch[split]);
	}
	return rc;
}

void cop_tree_release(struct cop_tree *t)
{
	for (int split = 0; split < COP_SPLITS; split++) {
		struct cop_branch *b = &t->branch[split];
		for (size_t i = 0; b->images && i < t->classes.n; i++)
			cop_listing_release(&b->images[i]);
		free(b->images);
		free(b->first);
		free(b->folder);
	}
	cop_listing_release(&t->classes);
	free(t->source);
}

int32_t cop_tree_label(const struct cop_tree *t, enum cop_split split, size_t at)
{
	const size_t *first = t->branch[split].first;
	size_t low = 0, high = t->classes.n;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (first[middle] <= at)
			low = middle;
		else
			high = middle;
	}
	return (int32_t)low;
}

char *cop_tree_path(const struct cop_tree *t, enum cop_split split, size_t at)
{
	const struct cop_branch *b = &t->branch[split];
	size_t label = (size_t)cop_tree_label(t, split, at);
	return cop_xasprintf("%s/%s/%s", b->folder, t->classes.name[label],
			     b->images[label].name[at - b->first[label]]);
}
