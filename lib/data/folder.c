/* Packing folders of images; see folder.h. */
#include "data/folder.h"

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/advance.h"
#include "data/crew.h"
#include "data/tree.h"

#include <stdlib.h>
#include <string.h>

enum { BROKEN_NAMED = 48 };

struct packing {
	const struct cop_pack_options *o;
	struct cop_tree tree;
	/* what the first image decided */
	char *first;
	int height, width, channels;
	struct cop_dataset_writer *w; /* NULL: no image can be read */
	size_t broken;
	struct cop_err first_broken;
};

/* One split as the crew sees it. */
struct part {
	const struct cop_tree *tree;
	enum cop_split split;
};

static char *path_of(const void *user, size_t at)
{
	const struct part *p = user;
	return cop_tree_path(p->tree, p->split, at);
}

/*
 * The first image that can be read decides, and the file can begin. Broken ones before it are counted when their turn
 * comes.
 */
static int begin(struct packing *p, const char *output, struct cop_err *err)
{
	struct cop_image im = {0};
	struct cop_err ignored;
	int size = p->o->size, rc = COP_EINPUT;
	for (size_t i = 0; rc == COP_EINPUT && i < p->tree.branch[COP_SPLIT_TRAIN].n; i++) {
		free(p->first);
		p->first = cop_tree_path(&p->tree, COP_SPLIT_TRAIN, i);
		rc = cop_image_read(p->first, p->o->channels, size, &im, &ignored);
	}
	if (rc == COP_EINPUT)
		return 0;
	if (rc)
		return cop_fail(err, rc, "%s", ignored.msg);
	p->height = size ? size : im.height;
	p->width = size ? size : im.width;
	p->channels = im.channels;
	cop_image_release(&im);
	return cop_dataset_create(&p->w, output, p->height, p->width, p->channels,
				  (const char *const *)p->tree.classes.name, (int)p->tree.classes.n, err);
}

static int check_like_first(const struct packing *p, const struct cop_crew_image *c, struct cop_err *err)
{
	if (c->im.channels != p->channels)
		return cop_fail(err, COP_EINPUT,
				"'%s' has colours, the first image '%s' has none (--channels 1 or 3 makes them alike)",
				c->path, p->first);
	if (c->im.height != p->height || c->im.width != p->width)
		return cop_fail(err, COP_EINPUT,
				"'%s' is %dx%d, the first image '%s' is %dx%d (--size S makes them alike)", c->path,
				c->im.width, c->im.height, p->first, p->width, p->height);
	return 0;
}

/* One broken image is told by the error at the end; where there are more, each has a line. */
static void note_broken(struct packing *p, const struct cop_crew_image *c)
{
	p->broken++;
	if (p->broken == 1)
		p->first_broken = c->err;
	if (p->broken == 2)
		cop_warn("%s", p->first_broken.msg);
	if (p->broken >= 2 && p->broken <= BROKEN_NAMED)
		cop_warn("%s", c->err.msg);
}

static int add_image(struct packing *p, const struct part *part, size_t at, const struct cop_crew_image *c,
		     struct cop_err *err)
{
	if (c->rc == COP_EINPUT) {
		note_broken(p, c);
		return 0;
	}
	if (c->rc)
		return cop_fail(err, c->rc, "%s", c->err.msg);
	/* without a training image there is nothing to be like, nor to write to */
	if (!p->w)
		return 0;
	int rc = check_like_first(p, c, err);
	/* what will be refused need not be written any more */
	if (rc || (p->broken && !p->o->skip_broken))
		return rc;
	return cop_dataset_add(p->w, part->split, c->im.pixel, cop_tree_label(&p->tree, part->split, at), err);
}

static int add_split(struct packing *p, enum cop_split split, struct cop_err *err)
{
	struct part part = {&p->tree, split};
	struct cop_crew_job job = {.path = path_of,
				   .user = &part,
				   .n = p->tree.branch[split].n,
				   .bytes = (size_t)p->height * (size_t)p->width * (size_t)p->channels,
				   /* once it is known that all become RGB, grey ones are converted */
				   .channels = p->o->channels     ? p->o->channels
					       : p->channels == 3 ? 3
								  : 0,
				   .size = p->o->size,
				   .resize = p->o->resize};
	struct cop_crew *crew = NULL;
	struct cop_advance advance;
	int rc = cop_crew_start(&crew, &job, p->o->threads ? p->o->threads : cop_cpu_count(), err);
	if (rc)
		return rc;
	cop_advance_begin(&advance, cop_split_names[split], job.n);
	const struct cop_crew_image *c;
	for (size_t i = 0; !rc && (c = cop_crew_next(crew)); i++) {
		rc = add_image(p, &part, i, c, err);
		cop_advance(&advance, i + 1);
	}
	cop_advance_end(&advance);
	cop_crew_end(crew);
	return rc;
}

/* What is to become of the broken ones. */
static int judge(struct packing *p, struct cop_err *err)
{
	size_t n = p->broken, all = p->tree.branch[COP_SPLIT_TRAIN].n + p->tree.branch[COP_SPLIT_TEST].n;
	const char *source = p->tree.source;
	if (n > BROKEN_NAMED)
		cop_warn("and %zu more", n - BROKEN_NAMED);
	if (n && !p->w)
		return cop_fail(err, COP_EINPUT, "no training image of '%s' can be read: %s", source,
				p->first_broken.msg);
	if (n && !p->o->skip_broken)
		return n == 1 ? cop_fail(err, COP_EINPUT, "%s (--skip-broken leaves it out)", p->first_broken.msg)
			      : cop_fail(err, COP_EINPUT,
					 "%zu of the %zu images of '%s' are broken (--skip-broken leaves them out)", n,
					 all, source);
	if (n == 1)
		cop_warn("left out of '%s': %s", source, p->first_broken.msg);
	else if (n)
		cop_warn("left out of '%s': %zu broken images of %zu", source, n, all);
	cop_dataset_skipped(p->w, (int64_t)n);
	return 0;
}

int cop_folder_pack(const char *path, const struct cop_pack_options *o, struct cop_err *err)
{
	struct packing p = {.o = o};
	int rc = cop_tree_read(&p.tree, o->source, err);
	if (!rc)
		rc = begin(&p, path, err);
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = add_split(&p, split, err);
	if (!rc)
		rc = judge(&p, err);
	if (rc)
		cop_dataset_abandon(p.w);
	else
		rc = cop_dataset_commit(p.w, err);
	cop_tree_release(&p.tree);
	free(p.first);
	return rc;
}
