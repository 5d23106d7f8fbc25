/* See digits.h. */
#include "digits.h"

#include "base/mem.h"
#include "data/glyphs.h"
#include "sweep/plan.h"
#include "sweep/work.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

void must(int rc, const struct cop_err *err)
{
	if (rc)
		fail_msg("%s", err->msg);
}

int digits_make(struct digits *d, int64_t train, int64_t test, struct cop_data_config *config)
{
	const int64_t n[COP_SPLITS] = {train, test};
	struct cop_err err = {0};
	strcpy(d->folder, "digits.XXXXXX");
	if (!mkdtemp(d->folder))
		return -1;
	snprintf(d->path, sizeof(d->path), "%s/data.h5", d->folder);
	snprintf(d->progress, sizeof(d->progress), "%s/progress.h5", d->folder);
	config->path = d->path;
	return cop_glyphs_pack(d->path, n, 3, &err) || cop_data_open(&d->data, config, &err) ? -1 : 0;
}

int digits_remove(struct digits *d)
{
	cop_data_release(&d->data);
	unlink(d->path);
	unlink(d->progress);
	return rmdir(d->folder);
}

struct cop_train_config digits_training(int64_t epochs, int64_t batch)
{
	return (struct cop_train_config){.epochs = epochs,
					 .batch = batch,
					 .optimizer = COP_OPTIMIZER_SGD,
					 .lr = 0.05,
					 .momentum = 0.9,
					 .beta1 = 0.9,
					 .beta2 = 0.999,
					 .epsilon = 1e-8,
					 .warmup = (char *)(uintptr_t) "0ep",
					 .gamma = 0.1,
					 .seed_init = 5,
					 .seed_order = 6,
					 .seed_augment = 7};
}

void digits_run(struct cop_run *r, struct cop_data *data, const char *experiment)
{
	struct cop_experiment e;
	struct cop_err err = {0};
	char folder[] = "/tmp/coppice-digits-XXXXXX";
	const struct cop_work_options o = {.threads = 1};
	assert_non_null(mkdtemp(folder));
	must(cop_experiment_load(&e, experiment, "test", NULL, 0, &err), &err);
	must(cop_plan(&e, folder, NULL, &err), &err);
	cop_experiment_release(&e);
	must(cop_run_open(r, folder, &err), &err);
	must(cop_dense_run(r, 0, &o, &err), &err);
	must(cop_data_open(data, &r->experiment.data, &err), &err);
}

int digits_run_remove(struct cop_run *r, struct cop_data *data)
{
	char *command = cop_xasprintf("rm -rf '%s'", r->path);
	int rc = system(command);
	free(command);
	cop_data_release(data);
	cop_run_release(r);
	return rc;
}
