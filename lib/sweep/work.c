/* What dense runs and cells have in common: the trainer's surroundings, and the ledger. See work_priv.h. */
#include "sweep/work_priv.h"

#include "base/cpu.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATE_SECONDS = 5 };

static void note(struct cop_job_work *w)
{
	struct cop_err err = {0};
	if (cop_state_write(w->state_path, &w->state, &err))
		cop_warn("%s", err.msg);
	w->noted = cop_now();
}

static void epoch_ended(const struct cop_trainer *t, void *user)
{
	struct cop_job_work *w = user;
	const double *row = t->history.row[t->history.n - 1];
	w->state.step = t->step;
	w->state.speed = cop_trainer_speed(t);
	if (cop_now() - w->noted > STATE_SECONDS)
		note(w);
	char validation[48] = "";
	if (t->data->validation.n)
		snprintf(validation, sizeof(validation), ", validation top-1 %.2f%%", 100 * row[COP_HISTORY_VAL_TOP1]);
	char data[COP_DATA_NOTE];
	cop_info("%s: epoch %g of %lld, loss %.4f%s, %.0f images/s%s", w->what, row[COP_HISTORY_EPOCH],
		 (long long)t->config->epochs, row[COP_HISTORY_TRAIN_LOSS], validation, w->state.speed,
		 cop_trainer_data_note(t, data));
}

int cop_work_begin(struct cop_job_work *w, const struct cop_run *r, bool dense, int64_t number, int64_t replicate,
		   const struct cop_work_options *o, struct cop_err *err)
{
	const struct cop_experiment *e = &r->experiment;
	*w = (struct cop_job_work){.run = r};
	snprintf(w->what, sizeof(w->what), "%s %lld", dense ? "dense run" : "cell", (long long)number);
	snprintf(w->identity, sizeof(w->identity), "%s", w->what);
	w->state_path = cop_run_state(r, dense, number);
	w->progress_path = cop_run_progress(r, dense, number);
	char *folder = cop_folder_of(w->state_path);
	int rc = cop_mkdirs(folder, err);
	free(folder);
	if (rc)
		return rc;
	cop_state_begin(w->state_path, &w->state);
	w->state.total = r->total_steps;
	rc = cop_state_write(w->state_path, &w->state, err);
	const struct cop_backend *backend = NULL;
	if (!rc)
		rc = cop_backend_open(e->device.kind, &backend, err);
	int threads = cop_cpu_set_threads(o->threads ? o->threads : (int)e->device.threads), cores = cop_cpu_count();
	w->cores = threads < cores ? threads : cores;
	w->energy = cop_energy_open(
		&(struct cop_energy_share){.cores = w->cores, .gpus = (int)e->slurm.gpus, .together = o->together});
	if (!rc) {
		cop_staging_open(&w->staging, e->device.stage, o->stop);
		rc = cop_staging_data(&w->staging, &w->data, &e->data, err);
	}
	if (!rc)
		rc = cop_trainer_init(&w->trainer, &e->model, &e->train, &w->data, backend, replicate, err);
	struct cop_trainer *t = &w->trainer;
	t->energy = w->energy;
	t->experiment = r->text;
	t->hash = r->hash;
	t->progress_path = w->progress_path;
	t->checkpoint_seconds = 60 * e->device.checkpoint_minutes;
	t->stop = o->stop;
	t->what = w->what;
	t->identity = w->identity;
	t->epoch_ended = epoch_ended;
	t->user = w;
	return rc;
}

int cop_work_result(struct cop_job_work *w, struct cop_row *row, struct cop_err *err)
{
	struct cop_trainer *t = &w->trainer;
	struct cop_measure test, validation;
	int rc = cop_trainer_measure(t, &t->data->test, &test, err);
	if (!rc)
		rc = cop_trainer_measure(t, &t->data->validation, &validation, err);
	if (rc)
		return rc;
	row->test_top1 = test.top1;
	row->test_top5 = test.top5;
	row->test_loss = test.loss;
	row->val_top1 = validation.top1;
	row->seconds = t->seconds;
	row->images_per_second = cop_trainer_speed(t);
	row->data_wait = cop_trainer_data_wait(t);
	row->joules = cop_trainer_joules(t);
	row->gpus = cop_energy_gpus(w->energy);
	row->cores = w->cores;
	row->restarts = w->state.attempts - 1;
	snprintf(row->host, sizeof(row->host), "%s", w->state.host);
	snprintf(row->job, sizeof(row->job), "%s", w->state.job);
	cop_cpu_describe(row->device, sizeof(row->device));
	return 0;
}

int cop_work_end(struct cop_job_work *w, int rc, const struct cop_err *err)
{
	w->state.step = w->trainer.step;
	if (rc && rc != COP_ESTOPPED)
		cop_staging_doubt(&w->staging);
	if (rc) {
		w->state.state = rc == COP_ESTOPPED ? COP_WORK_STOPPED : COP_WORK_FAILED;
		snprintf(w->state.error, sizeof(w->state.error), "%.*s", (int)sizeof(w->state.error) - 1,
			 err ? err->msg : "");
		note(w);
	} else {
		/* the result speaks for itself from now on */
		cop_remove(w->state_path);
		cop_remove(w->progress_path);
	}
	cop_trainer_release(&w->trainer);
	cop_data_release(&w->data);
	cop_staging_release(&w->staging);
	cop_energy_free(w->energy);
	free(w->state_path);
	free(w->progress_path);
	return rc;
}
