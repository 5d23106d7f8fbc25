/* Folders of images; see folder.h. */
#include "data/folder.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/image.h"
#include "data/listing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One split: a listing of images for each class of the training split, empty where it lacks the class. */
struct branch {
	char *folder;
	struct cop_listing *images; /* (nclasses) */
	size_t n;                   /* images in all */
};

struct tree {
	const struct cop_pack_options *o;
	struct cop_listing classes;
	struct branch branch[COP_SPLITS];
	/* what the first image decided */
	char *first;
	int height, width, channels;
	uint8_t *fitted; /* (height,width,channels), where o->size is given */
	struct cop_dataset_writer *w;
};

static char *split_folder(const char *source, enum cop_split split)
{
	char *folder = cop_xasprintf("%s/%s", source, cop_split_names[split]);
	if (split == COP_SPLIT_TEST && !cop_is_folder(folder)) {
		free(folder);
		folder = cop_xasprintf("%s/val", source);
	}
	if (cop_is_folder(folder))
		return folder;
	free(folder);
	return NULL;
}

bool cop_folder_found(const char *folder)
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

static int list_class(const struct tree *t, struct branch *b, const char *name, struct cop_err *err)
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

static int list_split(struct tree *t, enum cop_split split, struct cop_err *err)
{
	struct branch *b = &t->branch[split];
	struct cop_listing names = {0};
	b->folder = split_folder(t->o->source, split);
	if (!b->folder)
		return cop_fail(err, COP_EINPUT, "'%s' has no folder '%s'%s", t->o->source, cop_split_names[split],
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

/* The first image decides, and the file can begin. */
static int begin(struct tree *t, const char *output, const char *path, const struct cop_image *im, struct cop_err *err)
{
	int size = t->o->size;
	t->first = cop_xstrdup(path);
	t->height = size ? size : im->height;
	t->width = size ? size : im->width;
	t->channels = im->channels;
	int rc = size ? cop_alloc(&t->fitted, (size_t)size * (size_t)size, (size_t)t->channels, "an image", err) : 0;
	if (!rc)
		rc = cop_dataset_create(&t->w, output, t->height, t->width, t->channels,
					(const char *const *)t->classes.name, (int)t->classes.n, err);
	return rc;
}

static int check_like_first(const struct tree *t, const char *path, const struct cop_image *im, struct cop_err *err)
{
	if (im->channels != t->channels)
		return cop_fail(err, COP_EINPUT,
				"'%s' has colours, the first image '%s' has none (--channels 1 or 3 makes them alike)",
				path, t->first);
	if (!t->o->size && (im->height != t->height || im->width != t->width))
		return cop_fail(err, COP_EINPUT,
				"'%s' is %dx%d, the first image '%s' is %dx%d (--size S makes them alike)", path,
				im->width, im->height, t->first, t->width, t->height);
	return 0;
}

static int add_image(struct tree *t, const char *output, enum cop_split split, size_t label, const char *path,
		     struct cop_err *err)
{
	/* once it is known that all become RGB, grey ones are converted */
	int channels = t->o->channels ? t->o->channels : t->channels == 3 ? 3 : 0;
	struct cop_image im;
	int rc = cop_image_read(path, channels, t->o->size, &im, err);
	if (rc)
		return rc;
	rc = t->w ? check_like_first(t, path, &im, err) : begin(t, output, path, &im, err);
	if (!rc && t->o->size)
		rc = cop_image_fit(&im, t->o->size, COP_RESIZE_CROP, t->fitted, err);
	if (!rc)
		rc = cop_dataset_add(t->w, split, t->o->size ? t->fitted : im.pixel, (int32_t)label, err);
	cop_image_release(&im);
	return rc;
}

static int add_split(struct tree *t, const char *output, enum cop_split split, struct cop_err *err)
{
	const struct branch *b = &t->branch[split];
	size_t done = 0;
	int rc = 0;
	for (size_t label = 0; !rc && label < t->classes.n; label++) {
		const struct cop_listing *images = &b->images[label];
		for (size_t i = 0; !rc && i < images->n; i++) {
			char *path = cop_xasprintf("%s/%s/%s", b->folder, t->classes.name[label], images->name[i]);
			rc = add_image(t, output, split, label, path, err);
			free(path);
			cop_progress("packing", (double)++done, (double)b->n, "%s", cop_split_names[split]);
		}
	}
	cop_progress("packing", 1, 1, "%s", cop_split_names[split]);
	return rc;
}

static void release(struct tree *t)
{
	for (int split = 0; split < COP_SPLITS; split++) {
		struct branch *b = &t->branch[split];
		for (size_t i = 0; b->images && i < t->classes.n; i++)
			cop_listing_release(&b->images[i]);
		free(b->images);
		free(b->folder);
	}
	cop_listing_release(&t->classes);
	free(t->first);
	free(t->fitted);
}

int cop_folder_pack(const char *path, const struct cop_pack_options *o, struct cop_err *err)
{
	struct tree t = {.o = o};
	int rc = 0;
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = list_split(&t, split, err);
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = add_split(&t, path, split, err);
	if (rc)
		cop_dataset_abandon(t.w);
	else
		rc = cop_dataset_commit(t.w, err);
	release(&t);
	return rc;
}
