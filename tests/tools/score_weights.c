/*
 * score_weights RUN CRITERION BATCHES OUT: the scores of a run's first replicate, from its initialisation and its last
 * checkpoint and as many batches as wanted, with the experiment's threads. OUT becomes the prunable tensors' scores,
 * float64, one after another; the tensors are printed as lines "NAME COUNT", the time goes to stderr.
 */
#include "base/mem.h"
#include "base/str.h"
#include "compute/backend.h"
#include "nn/models.h"
#include "prune/criterion.h"
#include "store/checkpoint.h"
#include "sweep/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int read_end(const struct cop_run *run, int64_t step, struct cop_checkpoint *c, struct cop_err *err)
{
	char *path = cop_run_checkpoint(run, 0, step);
	int rc = cop_checkpoint_read(path, c, false, err);
	free(path);
	return rc;
}

/* The criterion's place in the list of names; -1: it is none. */
static int find_criterion(const char *name)
{
	char *names = cop_xstrdup(COP_CRITERION_CHOICES), *save = NULL;
	int found = -1, i = 0;
	for (char *p = strtok_r(names, "|", &save); p; p = strtok_r(NULL, "|", &save), i++)
		if (strcmp(p, name) == 0)
			found = i;
	free(names);
	return found;
}

static int write_scores(const struct cop_layout *l, const double *score, const char *path, struct cop_err *err)
{
	FILE *f = fopen(path, "wb");
	bool good = f != NULL;
	for (size_t k = 0; k < l->n && good; k++) {
		const struct cop_tensor *t = &l->tensor[k];
		if (!t->prunable)
			continue;
		printf("%s %zu\n", t->name, t->count);
		good = fwrite(score + t->offset, sizeof(*score), t->count, f) == t->count;
	}
	if (f && fclose(f) != 0)
		good = false;
	return good ? 0 : cop_fail_errno(err, COP_EFAILED, "cannot write '%s'", path);
}

static int score(const struct cop_run *run, const struct cop_graph *g, const struct cop_data *data, int criterion,
		 int64_t batches, const char *out, struct cop_err *err)
{
	struct cop_checkpoint first = {0}, last = {0};
	struct cop_samples samples = {0};
	const struct cop_train_config *t = &run->experiment.train;
	double *scores = cop_xcalloc(g->params.total, sizeof(*scores));
	int rc = read_end(run, 0, &first, err);
	if (!rc)
		rc = read_end(run, run->total_steps, &last, err);
	if (!rc)
		rc = cop_samples_open(&samples, data, (int)t->batch, batches, (uint64_t)t->seed_order,
				      (uint64_t)t->seed_augment, err);
	const struct cop_scoring s = {.graph = g,
				      .first = first.param,
				      .first_buffer = first.buffer,
				      .last = last.param,
				      .samples = &samples,
				      .seed = (uint64_t)t->seed_init};
	double begin = seconds();
	if (!rc)
		rc = cop_criterion_scores(&s, (enum cop_criterion)criterion, scores, err);
	fprintf(stderr, "%.3f s\n", seconds() - begin);
	if (!rc)
		rc = write_scores(&g->params, scores, out, err);
	cop_samples_close(&samples);
	cop_checkpoint_release(&first);
	cop_checkpoint_release(&last);
	free(scores);
	return rc;
}

int main(int argc, char **argv)
{
	struct cop_err err = {0};
	struct cop_run run = {0};
	struct cop_data data = {0};
	struct cop_graph g = {0};
	int64_t batches = 0;
	int criterion = argc == 5 ? find_criterion(argv[2]) : -1;
	if (criterion < 0 || !cop_parse_i64(argv[3], &batches) || batches < 1) {
		fprintf(stderr, "usage: score_weights RUN CRITERION BATCHES OUT\n");
		return 2;
	}
	int rc = cop_run_open(&run, argv[1], &err);
	if (!rc) {
		cop_cpu_set_threads((int)run.experiment.device.threads);
		rc = cop_data_open(&data, &run.experiment.data, &err);
	}
	const struct cop_dataset_info *i = &data.info;
	if (!rc)
		rc = cop_model_build(&g, &run.experiment.model, i->channels, i->height, i->width, i->nclasses, &err);
	if (!rc)
		rc = score(&run, &g, &data, criterion, batches, argv[4], &err);
	if (rc)
		fprintf(stderr, "score_weights: %s\n", err.msg);
	cop_graph_release(&g);
	cop_data_release(&data);
	if (run.path)
		cop_run_release(&run);
	return rc ? 1 : 0;
}
