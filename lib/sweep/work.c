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

static void epoch_ended(const struct cop_trainer *t, void *user)
{
	struct cop_job_work *w = user;
	const double *row = t->history.row[t->history.n - 1];
	char validation[48] = "";
	if (t->data->validation.n)
		snprintf(validation, sizeof(validation), ", validation top-1 %.2f%%", 100 * row[COP_HISTORY_VAL_TOP1]);
	char data[COP_DATA_NOTE];
	cop_info("%s: epoch %g of %g, loss %.4f%s, %.0f images/s%s", w->what, row[COP_HISTORY_EPOCH],
		 (double)t->total_steps / (double)t->steps_per_epoch, row[COP_HISTORY_TRAIN_LOSS], validation,
		 cop_trainer_speed(t), cop_trainer_data_note(t, data));
}

/* Says that this process has the work now, and makes sure that it is not done by then. */
static int claim(struct cop_job_work *w, struct cop_err *err)
{
	char *folder = cop_folder_of(w->state_path);
	int rc = cop_mkdirs(folder, err);
	free(folder);
	if (rc)
		return rc;
	cop_state_begin(w->state_path, &w->state);
	w->state.total = w->run->total_steps + w->train.more_steps;
	rc = cop_state_write(w->state_path, &w->state, err);
	if (rc)
		return rc;
	w->claim = COP_CLAIM_HELD;
	w->noted = cop_now();
	return cop_work_check(w, err);
}

/* GPUs that are the work's: those that the task was promised, and at the least those that it computes with. */
static int gpus_of(const struct cop_job_work *w, const struct cop_backend *backend)
{
	const struct cop_experiment *e = &w->run->experiment;
	int64_t gpus = w->dense ? cop_experiment_dense_gpus(e) : e->slurm.gpus;
	int64_t used = !backend || !backend->queue ? 0 : w->train.ranks > 1 ? w->train.ranks : 1;
	return (int)(gpus > used ? gpus : used);
}

/* The backend, and from then on what is counted of the machine; the counters are there where the backend is not. */
static int begin_engine(struct cop_job_work *w, const struct cop_job_work *lead, const struct cop_work_options *o,
			const struct cop_backend **backend, struct cop_err *err)
{
	int threads = cop_cpu_set_threads(o->threads ? o->threads : (int)w->run->experiment.device.threads);
	int cores = cop_cpu_count(), rc = 0;
	w->cores = threads < cores ? threads : cores;
	*backend = lead ? lead->trainer.backend : NULL;
	if (!lead)
		rc = cop_backend_open(&w->run->experiment.device.choice, backend, err);
	w->energy = cop_energy_open(
		&(struct cop_energy_share){.cores = w->cores, .gpus = gpus_of(w, *backend), .together = o->together});
	return rc;
}

/* The trainer, with data of its own or beside the lead's. */
static int begin_trainer(struct cop_job_work *w, struct cop_job_work *lead, const struct cop_backend *backend,
			 const struct cop_work_options *o, struct cop_err *err)
{
	const struct cop_experiment *e = &w->run->experiment;
	cop_staging_open(&w->staging, e->device.stage, o->stop);
	if (lead)
		return cop_trainer_init_beside(&w->trainer, &e->model, &lead->trainer, err);
	int rc = cop_staging_data(&w->staging, &w->data, &e->data, err);
	return rc ? rc : cop_trainer_init(&w->trainer, &e->model, &w->train, &w->data, backend, err);
}

int cop_work_begin(struct cop_job_work *w, const struct cop_run *r, bool dense, int64_t number,
		   const struct cop_train_config *train, struct cop_job_work *lead, const struct cop_work_options *o,
		   struct cop_err *err)
{
	const struct cop_experiment *e = &r->experiment;
	const struct cop_backend *backend = NULL;
	*w = (struct cop_job_work){.run = r, .dense = dense, .number = number};
	w->train = *train;
	snprintf(w->what, sizeof(w->what), "%s %lld", dense ? "dense run" : "cell", (long long)number);
	snprintf(w->identity, sizeof(w->identity), "%s", w->what);
	w->state_path = cop_run_state(r, dense, number);
	w->progress_path = cop_run_progress(r, dense, number);
	int rc = claim(w, err);
	if (!rc)
		rc = begin_engine(w, lead, o, &backend, err);
	if (!rc)
		rc = begin_trainer(w, lead, backend, o, err);
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
	t->heartbeat = cop_work_heartbeat;
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
	struct cop_early_stop stop = cop_history_early_stop(&t->history);
	row->early_stop_step = stop.step;
	row->early_stop_val_top1 = stop.val_top1;
	row->early_stop_test_top1 = stop.test_top1;
	row->seconds = t->seconds;
	row->images_per_second = cop_trainer_speed(t);
	row->data_wait = cop_trainer_data_wait(t);
	row->joules = cop_trainer_joules(t);
	row->gpus = cop_energy_gpus(w->energy);
	row->gpu_utilisation = cop_trainer_utilisation(t);
	row->gpu_memory = cop_trainer_memory(t);
	row->cores = w->cores;
	row->restarts = w->state.attempts - 1;
	snprintf(row->host, sizeof(row->host), "%s", w->state.host);
	snprintf(row->job, sizeof(row->job), "%s", w->state.job);
	cop_backend_describe(t->backend, row->device, sizeof(row->device));
	cop_trainer_engine(t, row->engine, sizeof(row->engine));
	row->began = w->state.began;
	row->ended = cop_clock();
	return cop_work_check(w, err);
}

static void forget(const struct cop_job_work *w)
{
	cop_remove(w->state_path);
	cop_remove(w->progress_path);
}

/* What is begun again for nothing, because another has finished it, leaves no trace but a third one's. */
static void leave_done(const struct cop_job_work *w)
{
	struct cop_state there;
	cop_state_read(w->state_path, &there);
	cop_info("%s is done: another process has finished it meanwhile", w->what);
	if (there.state == COP_WORK_NONE || cop_state_same_owner(&there, &w->state))
		forget(w);
}

/* Work that did not come to its result: asked to stop, failed, or another's by now. */
static int break_off(struct cop_job_work *w, int rc, struct cop_err *err)
{
	const char *why = err ? err->msg : "";
	if (rc != COP_ESTOPPED && w->claim == COP_CLAIM_HELD)
		cop_staging_doubt(&w->staging);
	if (w->claim == COP_CLAIM_HELD && cop_work_check(w, err) == 0) {
		w->state.step = w->trainer.step;
		if (rc == COP_ESTOPPED) {
			w->state.state = COP_WORK_STOPPED;
			snprintf(w->state.error, sizeof(w->state.error), "%.*s", (int)sizeof(w->state.error) - 1, why);
		} else {
			cop_state_fail(&w->state, -rc, why);
		}
		cop_work_note(w);
	}
	if (w->claim == COP_CLAIM_DONE)
		leave_done(w);
	return w->claim == COP_CLAIM_DONE ? 0 : w->claim == COP_CLAIM_LOST ? COP_EFAILED : rc;
}

int cop_work_end(struct cop_job_work *w, int rc, struct cop_err *err)
{
	if (rc)
		rc = break_off(w, rc, err);
	else
		forget(w); /* the result speaks for itself from now on */
	cop_trainer_release(&w->trainer);
	cop_data_release(&w->data);
	cop_staging_release(&w->staging);
	cop_energy_free(w->energy);
	free(w->state_path);
	free(w->progress_path);
	return rc;
}
