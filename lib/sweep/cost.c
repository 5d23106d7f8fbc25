/* What a sweep will cost; see cost.h. */
#include "sweep/cost.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "nn/batches.h"
#include "nn/models.h"
#include "nn/schedule.h"
#include "sweep/batch.h"
#include "sweep/catalog.h"
#include "sweep/ticket.h"
#include "sweep/work.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What is left to do, while it is being counted. */
struct counting {
	const struct cop_run *run;
	struct cop_cost *cost;
	const struct cop_dataset_info *info;
	int64_t every;       /* steps between two validations */
	double task_seconds; /* of all tasks together */
};

double cop_cost_makespan(const double *seconds, size_t n, int64_t places)
{
	size_t m = places > 0 && (size_t)places < n ? (size_t)places : n;
	double *free_at = cop_xcalloc(m, sizeof(*free_at)), end = 0;
	for (size_t i = 0; i < n; i++) {
		size_t first = 0;
		/* with a place for each task there is nothing to look for */
		for (size_t k = 1; k < m && m < n; k++)
			if (free_at[k] < free_at[first])
				first = k;
		free_at[first] = (m < n ? free_at[first] : 0) + seconds[i];
		end = fmax(end, free_at[first]);
	}
	free(free_at);
	return end;
}

static double at_least(double v, double least)
{
	return v > least ? v : least;
}

/* Threads of each of `together` runs that share a task. */
static int threads_of(const struct cop_experiment *e, int64_t together)
{
	double share = floor(at_least((double)e->slurm.cpus / (double)together, 1));
	return (int)(e->device.threads && (double)e->device.threads < share ? (double)e->device.threads : share);
}

/* Seconds of `steps` steps and of a look at so many images, of one of so many runs that share a task's cores. */
static double work_seconds(const struct counting *n, int64_t steps, double looks, int64_t together)
{
	/* a forward pass is about a third of a training step */
	static const double pass = 1.0 / 3;
	const struct cop_experiment *e = &n->run->experiment;
	const struct cop_speed *s = &n->cost->speed;
	double images = (double)steps * (double)e->train.batch + pass * looks;
	double cores = fmin(threads_of(e, together), (double)e->slurm.cpus / (double)together);
	return images / (s->images_per_second / s->threads * cores);
}

/* Seconds of a run of so many steps. Where the dense run has none there is nothing to time. */
static double run_seconds(const struct counting *n, int64_t left, int64_t together)
{
	const struct cop_run *r = n->run;
	const struct cop_experiment *e = &r->experiment;
	/* validated before the first step, as often as is asked for, and once more at the end with the test */
	double validations = (double)cop_validations(n->every, r->total_steps - left, r->total_steps) + 2;
	/* a new minimum may be in any row; in how many it is nobody knows before */
	double tests = e->train.test_early_stop && e->data.validation ? validations : 1;
	double looks = (double)e->data.validation * validations + (double)n->info->n[COP_SPLIT_TEST] * tests;
	return r->total_steps ? work_seconds(n, left, looks, together) : 0;
}

/* Seconds of finding what to cut. Derivatives in float64 are the CPU's, whatever trains. */
static double score_seconds(const struct counting *n, const struct cop_point *p, int64_t together)
{
	static const double rate = 3e9; /* multiply-accumulates a second of a core: docs/performance.md */
	const struct cop_experiment *e = &n->run->experiment;
	double images = (double)e->sweep.score_batches * (double)e->train.batch;
	double cores = fmin(threads_of(e, together), (double)e->slurm.cpus / (double)together);
	return cop_criterion_macs((enum cop_criterion)p->criterion, n->cost->macs, images) / (rate * cores);
}

/* The dense run's checkpoint before `step`. */
static int64_t saved_before(const struct cop_run *r, int64_t step)
{
	int64_t before = 0;
	for (size_t i = 0; i < r->ncells; i++)
		if (r->cell[i].reset_step < step && r->cell[i].reset_step > before)
			before = r->cell[i].reset_step;
	return before;
}

static bool is_missing(const struct cop_run *r, int64_t replicate, int64_t step)
{
	return !cop_dense_has(r, replicate, step);
}

/* Steps of a dense run that has ended, again, for checkpoints that it lacks: each from the one before it. */
static int64_t replayed_steps(const struct cop_run *r, int64_t replicate)
{
	const struct cop_strings *reset = &r->experiment.sweep.reset;
	int64_t steps = 0, step = r->total_steps;
	if (is_missing(r, replicate, step))
		steps += step - saved_before(r, step);
	for (size_t i = 0; i < reset->n; i++) {
		if (cop_point_parse("sweep.reset", reset->v[i], r->steps_per_epoch, &step, NULL))
			continue;
		if (step < r->total_steps && is_missing(r, replicate, step))
			steps += step - saved_before(r, step);
	}
	return steps;
}

/* What is left of a dense run: COP_EINPUT all of it, COP_EPARTIAL some checkpoints. */
static int look_at_dense(const struct cop_run *r, int64_t replicate)
{
	char *path = cop_run_dense_result(r, replicate);
	int rc = cop_exists(path) ? cop_dense_look(r, replicate, NULL) : COP_EINPUT;
	free(path);
	return rc;
}

/* What is left of the dense runs; returns how long it takes. */
static double count_dense(struct counting *n)
{
	struct cop_cost *c = n->cost;
	double *seconds = cop_xcalloc((size_t)c->dense, sizeof(*seconds));
	size_t left = 0;
	for (int64_t k = 0; k < c->dense; k++) {
		int state = look_at_dense(n->run, k);
		int64_t steps = state == COP_EPARTIAL ? replayed_steps(n->run, k) : n->run->total_steps;
		if (state == 0) {
			c->dense_done++;
			continue;
		}
		double validations = (double)(steps / n->every);
		if (state != COP_EPARTIAL)
			seconds[left] = run_seconds(n, n->run->total_steps, 1);
		else if (steps)
			seconds[left] = work_seconds(n, steps, (double)n->run->experiment.data.validation * validations,
						     1);
		n->task_seconds += seconds[left++];
		c->steps += steps;
	}
	double wall = cop_cost_makespan(seconds, left, c->at_once);
	free(seconds);
	return wall;
}

/* Of cells at once on parts of the cores, each with its own scoring: the longest. */
static double shared_seconds(const struct counting *n, const int64_t *index, size_t cells)
{
	double longest = 0;
	for (size_t i = 0; i < cells; i++) {
		const struct cop_point *p = &n->run->cell[index[i]];
		int64_t steps = cop_ticket_steps(p, n->run->total_steps), together = (int64_t)cells;
		longest = fmax(longest, score_seconds(n, p, together) + run_seconds(n, steps, together));
	}
	return longest;
}

/*
 * Of cells in turn, all of whose masks are made in turn; on a device those that can go beside each other share it, and
 * are as long as their longest.
 */
static double waves_seconds(const struct counting *n, const int64_t *index, size_t cells, bool at_once)
{
	const struct cop_run *r = n->run;
	double sum = 0;
	for (size_t i = 0; i < cells; i++) {
		const struct cop_point *p = &r->cell[index[i]];
		int64_t wave = 1, longest = cop_ticket_steps(p, r->total_steps);
		bool leads = true;
		for (size_t k = 0; k < cells && at_once; k++) {
			const struct cop_point *q = &r->cell[index[k]];
			int64_t steps = cop_ticket_steps(q, r->total_steps);
			if (k == i || !cop_ticket_beside(p, q))
				continue;
			leads = leads && k > i;
			wave++;
			longest = steps > longest ? steps : longest;
		}
		sum += score_seconds(n, p, 1) + (leads ? run_seconds(n, longest, wave) : 0);
	}
	return sum;
}

static double bundle_seconds(const struct counting *n, const int64_t *index, size_t cells)
{
	const struct cop_slurm_config *s = &n->run->experiment.slurm;
	return s->concurrent && !s->gpus ? shared_seconds(n, index, cells)
					 : waves_seconds(n, index, cells, s->concurrent);
}

/* The cells of `index` (n of them), so many to a task; returns how long they take. */
static double count_tasks(struct counting *n, const int64_t *index, size_t cells)
{
	const struct cop_slurm_config *s = &n->run->experiment.slurm;
	size_t each = (size_t)s->cells_per_task, tasks = (cells + each - 1) / each;
	double *seconds = cop_xcalloc(tasks, sizeof(*seconds));
	for (size_t i = 0; i < cells; i++)
		n->cost->steps += cop_ticket_steps(&n->run->cell[index[i]], n->run->total_steps);
	for (size_t t = 0; t < tasks; t++) {
		seconds[t] = bundle_seconds(n, index + t * each, t + 1 < tasks ? each : cells - t * each);
		n->task_seconds += seconds[t];
	}
	n->cost->tasks += (int64_t)tasks;
	double wall = cop_cost_makespan(seconds, tasks, n->cost->at_once);
	free(seconds);
	return wall;
}

/* Round after round: no cell begins before those of the round before it are done. */
static double count_cells(struct counting *n)
{
	const struct cop_run *r = n->run;
	struct cop_cost *c = n->cost;
	int64_t *index = cop_xcalloc(r->ncells, sizeof(*index));
	struct cop_catalog catalog;
	cop_catalog_open(&catalog, r);
	/* a plan that nobody agrees to writes nothing */
	catalog.changed = false;
	double wall = 0;
	for (int64_t round = 1; round <= r->experiment.sweep.rounds; round++) {
		size_t left = 0;
		for (size_t i = 0; i < r->ncells; i++) {
			const struct cop_point *p = &r->cell[i];
			if (p->round != round)
				continue;
			c->same += p->same_as >= 0;
			if (cop_catalog_valid(&catalog, p->index))
				c->cells_done++;
			else if (p->same_as < 0)
				index[left++] = p->index;
		}
		wall += count_tasks(n, index, left);
	}
	cop_catalog_close(&catalog);
	free(index);
	return wall;
}

/* Reset points that the dense run saves between its beginning and its end. */
static double saved_between(const struct cop_run *r)
{
	double n = 0;
	for (size_t i = 0; i < r->experiment.sweep.reset.n; i++) {
		int64_t step = 0;
		if (cop_point_parse("sweep.reset", r->experiment.sweep.reset.v[i], r->steps_per_epoch, &step, NULL))
			continue;
		n += step > 0 && step < r->total_steps;
	}
	return n;
}

/* Of each weight, by the fraction that is left: deflated, zeros cost little but where they are costs something. */
static double weight_bytes(double left)
{
	return left * (4 + 8 * pow(1 - left, 3));
}

/* What files of many sizes were found to take; HDF5 adds some kilobytes for each dataset. */
static double disk_bytes(const struct cop_run *r, const struct cop_graph *g, int64_t every)
{
	enum { PLAIN = 2000, DEFLATED = 3500, CHECKPOINT = 8000, RESULT = 16000, COLLECTED = 8000, LOG = 600 };
	const struct cop_experiment *e = &r->experiment;
	double params = (double)cop_layout_count(&g->params, false),
	       prunable = (double)cop_layout_count(&g->params, true),
	       buffers = (double)cop_layout_count(&g->buffers, false), masks = 0;
	double sets = e->train.optimizer == COP_OPTIMIZER_ADAM ? 3 : 2; /* parameters and the optimizer's slots */
	for (size_t i = 0; i < g->params.n; i++)
		masks += g->params.tensor[i].prunable;
	double checkpoint = 4 * (sets * params + buffers) + CHECKPOINT +
			    PLAIN * (sets * (double)g->params.n + (double)g->buffers.n);
	double history = sizeof(double) * COP_HISTORY_COLUMNS * (double)(1 + cop_validations(every, 0, r->total_steps));
	double bytes = (double)e->sweep.replicates * ((2 + saved_between(r)) * checkpoint + RESULT + 2 * history);
	for (size_t i = 0; i < r->ncells; i++) {
		const struct cop_point *p = &r->cell[i];
		double part = r->total_steps ? (double)cop_ticket_steps(p, r->total_steps) / (double)r->total_steps : 1;
		bytes += RESULT + COLLECTED + LOG + 2 * part * history;
		if (e->sweep.keep_weights)
			bytes += prunable * weight_bytes(1 - p->quantile) + 4 * (params - prunable + buffers) +
				 DEFLATED * ((double)g->params.n + (double)g->buffers.n + masks);
	}
	return bytes;
}

/* The built-in digits are the run's own, in whole chunks. */
static double own_data_bytes(const struct cop_run *r, const struct cop_dataset_info *info)
{
	static const double chunk = 1 << 20;
	char *own = cop_run_file(r, "data.h5");
	double image = (double)info->channels * info->height * info->width, bytes = 0;
	for (int s = 0; s < COP_SPLITS && strcmp(own, r->experiment.data.path) == 0; s++)
		bytes += ceil(image * (double)info->n[s] / chunk) * chunk + sizeof(int32_t) * (double)info->n[s];
	free(own);
	return bytes;
}

static int find_speed(const struct cop_run *r, const struct cop_cost_options *o, struct cop_speed *s,
		      struct cop_err *err)
{
	const struct cop_slurm_config *slurm = &r->experiment.slurm;
	struct cop_err why = {0};
	*s = (struct cop_speed){.images_per_second = NAN, .threads = 1};
	if (o->history)
		return cop_speed_from_history(r, o->history, s, err);
	/* what shares a device has a part of it, whatever threads are beside it */
	int threads = threads_of(&r->experiment, slurm->concurrent && !slurm->gpus ? slurm->cells_per_task : 1);
	/* a login node may be smaller than what will train */
	if (o->measure && r->total_steps > 0 && cop_speed_measure(r, threads, s, &why)) {
		cop_warn("no steps were timed: %s", why.msg);
		s->images_per_second = NAN;
	}
	return 0;
}

static void count_work(const struct cop_run *r, const struct cop_dataset_info *info, int64_t every, struct cop_cost *c)
{
	struct counting n = {.run = r, .cost = c, .info = info, .every = every};
	double dense = count_dense(&n);
	c->wall_seconds = dense + count_cells(&n);
	/* comparing loses a NaN on the way */
	if (c->steps && !isfinite(c->speed.images_per_second))
		c->wall_seconds = n.task_seconds = NAN;
	c->core_hours = n.task_seconds / 3600 * (double)r->experiment.slurm.cpus;
	c->gpu_hours = n.task_seconds / 3600 * (double)r->experiment.slurm.gpus;
}

int cop_cost_estimate(const struct cop_run *r, const struct cop_cost_options *o, struct cop_cost *c,
		      struct cop_err *err)
{
	const struct cop_experiment *e = &r->experiment;
	struct cop_dataset_info info;
	struct cop_graph graph = {0};
	int64_t every;
	*c = (struct cop_cost){
		.cells = (int64_t)r->ncells, .dense = e->sweep.replicates, .at_once = cop_batch_at_once(&e->slurm)};
	int rc = cop_validate_every(&e->train, r->steps_per_epoch, &every, err);
	if (!rc)
		rc = cop_data_check(&e->data, &info, err);
	if (rc)
		return rc;
	rc = cop_model_build(&graph, &e->model, info.channels, info.height, info.width, info.nclasses, err);
	if (!rc)
		rc = find_speed(r, o, &c->speed, err);
	if (!rc) {
		c->prunable = (int64_t)cop_layout_count(&graph.params, true);
		c->params = (int64_t)cop_layout_count(&graph.params, false);
		c->macs = cop_graph_macs(&graph);
		c->bytes = disk_bytes(r, &graph, every) + own_data_bytes(r, &info);
		count_work(r, &info, every, c);
	}
	cop_graph_release(&graph);
	cop_dataset_info_release(&info);
	return rc;
}

double cop_cost_hours(const struct cop_run *r, const struct cop_cost *c)
{
	return r->experiment.slurm.gpus ? c->gpu_hours : c->core_hours;
}
