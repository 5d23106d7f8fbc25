/* The benchmark of packing; see bench.h. */
#include "data/bench.h"

#include "base/cpu.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/crew.h"
#include "data/tree.h"

#include <stdlib.h>
#include <sys/stat.h>

/* Paths, over and over. */
struct round {
	char **path;
	size_t n, bytes; /* bytes: of all files together */
};

static int list_tree(const char *folder, struct round *r, struct cop_err *err)
{
	struct cop_tree t;
	int rc = cop_tree_read(&t, folder, err);
	r->n = rc ? 0 : t.branch[COP_SPLIT_TRAIN].n;
	r->path = cop_xcalloc(r->n, sizeof(*r->path));
	for (size_t i = 0; i < r->n; i++)
		r->path[i] = cop_tree_path(&t, COP_SPLIT_TRAIN, i);
	cop_tree_release(&t);
	return rc;
}

static int list_folder(const char *folder, struct round *r, struct cop_err *err)
{
	struct cop_listing l = {0};
	int rc = cop_listing_read(folder, &l, err);
	r->path = cop_xcalloc(l.n, sizeof(*r->path));
	for (size_t i = 0; i < l.n; i++)
		if (cop_image_kind_of_name(l.name[i]) != COP_IMAGE_NONE)
			r->path[r->n++] = cop_xasprintf("%s/%s", folder, l.name[i]);
	if (!rc && r->n == 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' holds no images", folder);
	cop_listing_release(&l);
	return rc;
}

static char *path_of(const void *user, size_t at)
{
	const struct round *r = user;
	return cop_xstrdup(r->path[at % r->n]);
}

/* Whole rounds only, so that each image counts alike; the first is left out, it warms the system's cache. */
static int time_rounds(const struct round *r, struct cop_crew *crew, double seconds, struct cop_bench_images *out,
		       struct cop_err *err)
{
	double started = 0;
	for (size_t i = 0;; i++) {
		if (i == r->n)
			started = cop_now();
		if (i % r->n == 0 && i > r->n && cop_now() - started >= seconds) {
			out->images = i - r->n;
			break;
		}
		const struct cop_crew_image *c = cop_crew_next(crew);
		if (c->rc)
			return cop_fail(err, c->rc, "%s", c->err.msg);
	}
	out->seconds = cop_now() - started;
	out->images_per_second = (double)out->images / out->seconds;
	out->bytes_per_second = out->images_per_second * ((double)r->bytes / (double)r->n);
	return 0;
}

int cop_bench_pack(const char *folder, int size, int threads, double seconds, struct cop_bench_images *out,
		   struct cop_err *err)
{
	struct round r = {0};
	struct cop_crew *crew = NULL;
	struct stat st;
	int rc = cop_tree_found(folder) ? list_tree(folder, &r, err) : list_folder(folder, &r, err);
	for (size_t i = 0; i < r.n; i++)
		if (stat(r.path[i], &st) == 0)
			r.bytes += (size_t)st.st_size;
	struct cop_crew_job job = {.path = path_of, .user = &r, .n = SIZE_MAX / 2, .channels = 3, .size = size};
	job.bytes = (size_t)size * (size_t)size * 3;
	if (!rc)
		rc = cop_crew_start(&crew, &job, threads ? threads : cop_cpu_count(), err);
	if (!rc)
		rc = time_rounds(&r, crew, seconds, out, err);
	cop_crew_end(crew);
	for (size_t i = 0; i < r.n; i++)
		free(r.path[i]);
	free(r.path);
	return rc;
}
