/* Speed; see speed.h. */
#include "sweep/speed.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "nn/trainer.h"
#include "store/results.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One step to warm up, then as many as half a second has; one at least. */
static int time_steps(struct cop_trainer *t, int64_t total, struct cop_err *err)
{
	/* a device records its second step, and its steps want to follow each other */
	enum { STEPS = 50, DEVICE_WARM = 3 };
	int64_t warm = t->device && total > DEVICE_WARM ? DEVICE_WARM : 1;
	int rc = cop_trainer_run(t, warm, err);
	double begun = cop_now();
	if (total > warm)
		t->stepping = 0, t->images = 0;
	if (t->device && !rc)
		return cop_trainer_run(t, total < STEPS ? total : STEPS, err);
	for (int64_t s = 2; s <= STEPS && s <= total && (s == 2 || cop_now() - begun < 0.5) && !rc; s++)
		rc = cop_trainer_run(t, s, err);
	return rc;
}

int cop_speed_measure(const struct cop_run *r, int threads, struct cop_speed *s, struct cop_err *err)
{
	const struct cop_experiment *e = &r->experiment;
	const struct cop_train_config train = cop_experiment_training(e, &(struct cop_worker){0});
	const struct cop_backend *backend;
	struct cop_data data = {0};
	struct cop_trainer t = {0};
	int here = cop_cpu_count();
	int rc = cop_backend_open(&e->device.choice, &backend, err);
	if (!rc)
		rc = cop_data_open(&data, &e->data, err);
	s->threads = cop_cpu_set_threads(threads < here ? threads : here);
	if (!rc)
		rc = cop_trainer_init(&t, &e->model, &train, &data, backend, err);
	if (!rc) {
		data.validation.n = 0; /* which would be measured before the first step */
		cop_trainer_draw(&t, e->model.init, (uint64_t)e->train.seed_init);
		rc = time_steps(&t, r->total_steps, err);
		s->images_per_second = cop_trainer_speed(&t);
		snprintf(s->where, sizeof(s->where), "here");
	}
	cop_trainer_release(&t);
	cop_data_release(&data);
	return rc;
}

/* What the time of a step depends on. The optimizer takes a little of it, and so does augmentation. */
static bool same_network(const struct cop_experiment *a, const struct cop_experiment *b, char *keys, size_t size)
{
	struct cop_param *table = cop_xcalloc(cop_experiment_params.n, sizeof(*table));
	struct cop_params of = {table, 0};
	for (size_t i = 0; i < cop_experiment_params.n; i++) {
		const struct cop_param *p = &cop_experiment_params.table[i];
		bool network = strncmp(p->key, "model.", 6) == 0 && strcmp(p->key, "model.init") != 0;
		if (network || strcmp(p->key, "train.batch") == 0 || strcmp(p->key, "device.precision") == 0)
			table[of.n++] = *p;
	}
	bool same = cop_params_same(&of, a, b, 0, keys, size);
	free(table);
	return same;
}

static int same_images(const struct cop_run *r, const struct cop_run *was, struct cop_err *err)
{
	struct cop_dataset_info a, b;
	struct cop_err why = {0};
	if (strcmp(r->experiment.data.fingerprint, was->experiment.data.fingerprint) == 0)
		return 0;
	int rc = cop_dataset_info_read(r->experiment.data.path, &a, err);
	if (rc)
		return rc;
	if (cop_dataset_info_read(was->experiment.data.path, &b, &why)) {
		cop_warn("the images of '%s' are taken to be of the size of these: %s", was->path, why.msg);
		cop_dataset_info_release(&a);
		return 0;
	}
	if (a.channels != b.channels || a.height != b.height || a.width != b.width || a.nclasses != b.nclasses)
		rc = cop_fail(err, COP_EINPUT,
			      "'%s' trained on images of %dx%dx%d and %d classes, these are of %dx%dx%d and %d",
			      was->path, b.channels, b.height, b.width, b.nclasses, a.channels, a.height, a.width,
			      a.nclasses);
	cop_dataset_info_release(&a);
	cop_dataset_info_release(&b);
	return rc;
}

/* Speeds with the threads that they took. */
struct noted {
	struct cop_speed *v;
	size_t n, cap;
};

static void note(struct noted *all, double images_per_second, int64_t cores)
{
	if (!(images_per_second > 0) || !isfinite(images_per_second) || cores < 1)
		return;
	all->v = cop_grow(all->v, &all->cap, all->n + 1, sizeof(*all->v));
	all->v[all->n++] = (struct cop_speed){.images_per_second = images_per_second, .threads = (int)cores};
}

static int by_thread(const void *a, const void *b)
{
	const struct cop_speed *x = a, *y = b;
	double u = x->images_per_second / x->threads, v = y->images_per_second / y->threads;
	return (u > v) - (u < v);
}

static int note_cells(const struct cop_run *was, struct noted *all, struct cop_err *err)
{
	struct cop_results results;
	char *path = cop_run_file(was, "results.h5");
	int rc = 0;
	if (cop_exists(path)) {
		rc = cop_results_read(path, &results, err);
		for (size_t i = 0; i < results.ncells && !rc; i++) {
			const struct cop_row *row = &results.cell[i].row;
			if (row->same_as < 0)
				note(all, row->images_per_second, row->cores);
		}
		if (!rc)
			cop_results_release(&results);
	}
	free(path);
	return rc;
}

static int note_dense(const struct cop_run *was, struct noted *all, struct cop_err *err)
{
	int rc = 0;
	for (int64_t k = 0; k < was->experiment.sweep.replicates && !rc; k++) {
		struct cop_cell c;
		char *path = cop_run_dense_result(was, k);
		if (cop_exists(path)) {
			rc = cop_cell_read(path, &c, err);
			if (!rc) {
				note(all, c.row.images_per_second, c.row.cores);
				cop_cell_release(&c);
			}
		}
		free(path);
	}
	return rc;
}

static int choose(const struct cop_run *was, struct cop_speed *s, struct cop_err *err)
{
	struct noted all = {0};
	int rc = note_cells(was, &all, err);
	if (!rc && !all.n)
		rc = note_dense(was, &all, err);
	if (!rc && !all.n)
		rc = cop_fail(err, COP_EINPUT,
			      "'%s' has no results that tell a speed: its dense run is not done, or trained no step",
			      was->path);
	if (!rc) {
		qsort(all.v, all.n, sizeof(*all.v), by_thread);
		*s = all.v[all.n / 2];
		snprintf(s->where, sizeof(s->where), "as in '%.60s'", cop_name_of(was->path));
	}
	free(all.v);
	return rc;
}

int cop_speed_from_history(const struct cop_run *r, const char *path, struct cop_speed *s, struct cop_err *err)
{
	struct cop_run was;
	char keys[512];
	int rc = cop_run_open(&was, path, err);
	if (rc)
		return rc;
	if (!same_network(&was.experiment, &r->experiment, keys, sizeof(keys)))
		rc = cop_fail(err, COP_EINPUT, "'%s' tells nothing about the speed of this experiment: %s differ", path,
			      keys);
	if (!rc)
		rc = same_images(r, &was, err);
	if (!rc)
		rc = choose(&was, s, err);
	cop_run_release(&was);
	return rc;
}
