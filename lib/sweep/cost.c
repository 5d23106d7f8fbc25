/* What a sweep will cost; see cost.h. */
#include "sweep/cost.h"

#include "base/cpu.h"
#include "base/log.h"
#include "nn/models.h"
#include "nn/trainer.h"

#include <math.h>

/* A few steps on fresh weights, after one to warm up; half a second at most. */
static int measure_speed(const struct cop_run *r, struct cop_cost *c, struct cop_err *err)
{
	enum { STEPS = 50 };
	const struct cop_experiment *e = &r->experiment;
	const struct cop_backend *backend;
	struct cop_data data = {0};
	struct cop_trainer t = {0};
	int rc = cop_backend_open(e->device.kind, &backend, err);
	if (!rc)
		rc = cop_data_open(&data, &e->data, err);
	c->threads = cop_cpu_set_threads((int)e->device.threads);
	if (!rc)
		rc = cop_trainer_init(&t, &e->model, &e->train, &data, backend, 0, err);
	if (!rc) {
		cop_trainer_draw(&t, e->model.init, (uint64_t)e->train.seed_init);
		double begun = cop_now();
		for (int64_t s = 1; s <= STEPS && s <= r->total_steps && cop_now() - begun < 0.5 && !rc; s++) {
			rc = cop_trainer_run(&t, s, err);
			if (s == 1)
				t.stepping = 0, t.images = 0;
		}
		c->images_per_second = cop_trainer_speed(&t);
	}
	cop_trainer_release(&t);
	cop_data_release(&data);
	return rc;
}

int cop_plan_cost(const struct cop_run *r, bool measure, struct cop_cost *c, struct cop_err *err)
{
	const struct cop_experiment *e = &r->experiment;
	struct cop_dataset_info info;
	struct cop_graph graph = {0};
	*c = (struct cop_cost){
		.cells = (int64_t)r->ncells, .dense = e->sweep.replicates, .images_per_second = NAN, .core_hours = NAN};
	int rc = cop_data_check(&e->data, &info, err);
	if (rc)
		return rc;
	rc = cop_model_build(&graph, &e->model, info.channels, info.height, info.width, info.nclasses, err);
	cop_dataset_info_release(&info);
	if (rc)
		return rc;
	c->prunable = (int64_t)cop_layout_count(&graph.params, true);
	c->params = (int64_t)cop_layout_count(&graph.params, false);
	c->macs = cop_graph_macs(&graph);
	cop_graph_release(&graph);
	c->steps = c->dense * r->total_steps;
	for (size_t i = 0; i < r->ncells; i++)
		c->steps += r->total_steps - r->cell[i].reset_step;
	double slots = e->train.optimizer == COP_OPTIMIZER_ADAM ? 3 : 2;
	c->bytes = (double)c->dense * (double)(e->sweep.reset.n + 2) * slots * 4 * (double)c->params +
		   (e->sweep.keep_weights ? (double)c->cells * 4 * (double)c->params : 0) + 3e4 * (double)c->cells;
	struct cop_err why = {0};
	/* a login node may be smaller than what will train */
	if (measure && r->total_steps > 0 && measure_speed(r, c, &why))
		cop_warn("no steps were timed: %s", why.msg);
	c->core_hours = (double)c->steps * (double)e->train.batch / c->images_per_second * c->threads / 3600;
	return rc;
}
