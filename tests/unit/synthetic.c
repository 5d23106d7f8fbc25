/* Made-up results; see synthetic.h. */
#include "synthetic.h"

#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCHS = 20, PER_EPOCH = 917, WEIGHTS = 266200 };

static const double quantiles[] = {0.5, 0.6, 0.79, 0.865, 0.9, 0.95, 0.964, 0.985};
static const struct {
	const char *name;
	int64_t step;
} resets[] = {{"0ep", 0}, {"100it", 100}, {"500it", 500}, {"1ep", 917}, {"2ep", 1834}, {"5ep", 4585}};

static double noise(double scale, uint32_t item)
{
	struct cop_stream s;
	cop_stream_init(&s, 7, COP_PURPOSE_TEST, 0, item);
	return scale * cop_stream_normal(&s);
}

/* Good until about a tenth of the weights is left, and longer so from a later reset point. */
static double accuracy(size_t q, size_t k, uint32_t item)
{
	double left = 1 - quantiles[q], knee = 0.022 / (1 + 0.5 * (double)k);
	return 0.9812 + 0.002 * sin(3 * left) - 0.25 * pow(knee / left, 1.9) / (1 + pow(knee / left, 1.9)) +
	       noise(0.0006, item);
}

/* rate: of learning, which the validation loss falls by before it rises again. */
static void fill_history(struct cop_history *h, double top1, double rate, int64_t from, bool validation, uint32_t item)
{
	double least = INFINITY;
	for (int e = (int)(from / PER_EPOCH); e <= EPOCHS; e++) {
		double progress = (double)e / EPOCHS,
		       miss = (1 - top1) + 0.3 * exp(-9 * progress) * (e > 0) + 0.89 * (e == 0);
		double row[COP_HISTORY_COLUMNS] = {
			e,   e * PER_EPOCH, 0.0012, e ? 2.5 * miss : NAN, e ? 1 - miss : NAN, NAN, NAN,
			NAN, 1.5 * e,       NAN};
		if (validation) {
			row[COP_HISTORY_VAL_LOSS] = 3 * (1 - top1) + 2.3 * exp(-rate * progress) + 0.1 * progress +
						    noise(0.002, 2000 * item + (uint32_t)e);
			row[COP_HISTORY_VAL_TOP1] = 1 - miss + noise(0.0008, 1000 * item + (uint32_t)e);
			row[COP_HISTORY_VAL_TOP5] = 1 - miss / 10;
			if (row[COP_HISTORY_VAL_LOSS] < least) {
				least = row[COP_HISTORY_VAL_LOSS];
				row[COP_HISTORY_TEST_TOP1] = 1 - miss + noise(0.0004, 3000 * item + (uint32_t)e);
			}
		}
		cop_history_add(h, row);
	}
}

/* Tickets learn faster the fewer weights they have, and the sparsest slower again. */
static double rate_of(size_t q)
{
	return 9 + 12 * sin(3.5 * log(1 - quantiles[q]) / log(0.015));
}

static void fill_layers(struct cop_cell *c)
{
	static const struct {
		const char *name;
		int64_t total;
		double bias;
	} layers[] = {{"fc1/weight", 235200, 1.0}, {"fc2/weight", 30000, 0}, {"fc3/weight", 1000, 0}};
	int64_t left = c->row.nnz;
	c->nlayers = 3;
	c->layer = cop_xcalloc(3, sizeof(*c->layer));
	for (int i = 2; i >= 0; i--) {
		struct cop_layer_count *l = &c->layer[i];
		double share = i == 2 ? pow(1 - c->row.quantile, 0.35) : pow(1 - c->row.quantile, 0.8);
		snprintf(l->name, sizeof(l->name), "%s", layers[i].name);
		l->total = layers[i].total;
		l->sparse = 1;
		l->nnz = i ? llround(share * (double)l->total) : left;
		left -= l->nnz;
	}
}

static void fill_cell(struct cop_cell *c, const struct synthetic *want, size_t index)
{
	size_t k = index % want->resets, q = index / want->resets % want->quantiles;
	size_t replicate = index / want->resets / want->quantiles % want->replicates;
	size_t variant = index / want->resets / want->quantiles / want->replicates;
	int64_t pruned = llround(quantiles[q] * WEIGHTS);
	double top1 = accuracy(q, k, (uint32_t)index) - 0.002 * (double)variant / (1 - quantiles[q] + 0.05);
	c->row = (struct cop_row){.index = (int64_t)index,
				  .replicate = (int64_t)replicate,
				  .round = 1,
				  .same_as = -1,
				  .quantile = quantiles[q],
				  .threshold = 0.01 + 0.05 * quantiles[q],
				  .reset_step = resets[k].step,
				  .total = WEIGHTS,
				  .nnz = WEIGHTS - pruned,
				  .test_top1 = top1,
				  .test_top5 = 1 - (1 - top1) / 20,
				  .test_loss = 4 * (1 - top1),
				  .val_top1 = want->validation ? top1 - 0.001 : NAN,
				  .seconds = 41.5 + 0.25 * (double)index,
				  .images_per_second = 26500,
				  .data_wait = 0.02,
				  .began = 1795000000 + 45 * (double)(index / 4),
				  .ended = 1795000041.5 + 45 * (double)(index / 4) + 0.25 * (double)index,
				  .joules = 2500 + (double)index,
				  .cores = 2,
				  .gpu_utilisation = NAN,
				  .gpu_memory = NAN};
	snprintf(c->row.reset, COP_TEXT, "%s", resets[k].name);
	snprintf(c->row.criterion, COP_TEXT, "%s", variant < 2 ? "magnitude" : "random");
	snprintf(c->row.retrain, COP_TEXT, "%s", variant % 2 ? "reinit" : "rewind");
	snprintf(c->row.host, COP_TEXT, "node%02zu", index % 4);
	snprintf(c->row.device, COP_TEXT, "cpu, 2 threads");
	snprintf(c->row.engine, COP_TEXT, "sparse 3 of 3 layers");
	snprintf(c->row.job, COP_TEXT, "4711_%zu", index);
	fill_history(&c->history, top1, rate_of(q), resets[k].step, want->validation, (uint32_t)index + 10);
	struct cop_early_stop stop = cop_history_early_stop(&c->history);
	c->row.early_stop_step = stop.step;
	c->row.early_stop_val_top1 = stop.val_top1;
	c->row.early_stop_test_top1 = stop.test_top1;
	fill_layers(c);
}

static char *experiment(const struct synthetic *want)
{
	struct cop_str b = {0};
	cop_str_addf(&b, "{\n  \"name\": \"made up\",\n  \"sweep\": {\"quantiles\": [");
	for (size_t q = 0; q < want->quantiles; q++)
		cop_str_addf(&b, "%s%.17g", q ? ", " : "", quantiles[q]);
	cop_str_add(&b, "], \"reset\": [");
	for (size_t k = 0; k < want->resets; k++)
		cop_str_addf(&b, "%s\"%s\"", k ? ", " : "", resets[k].name);
	cop_str_addf(&b, "], \"criterion\": %s, \"controls\": %s, \"replicates\": %zu}\n}\n",
		     want->variants > 2 ? "[\"magnitude\", \"random\"]" : "\"magnitude\"",
		     want->variants > 1 ? "[\"reinit\"]" : "[]", want->replicates);
	return cop_str_take(&b);
}

void synthetic_results(struct cop_results *r, const struct synthetic *want)
{
	size_t all = want->quantiles * want->resets * want->replicates * (want->variants ? want->variants : 1);
	*r = (struct cop_results){.ncells = all - want->missing, .nmissing = want->missing, .ndense = want->replicates};
	r->name = cop_xstrdup(want->name);
	r->experiment = experiment(want);
	r->hash = cop_xstrdup("0123456789abcdef");
	r->cell = cop_xcalloc(r->ncells, sizeof(*r->cell));
	r->missing = cop_xcalloc(r->nmissing, sizeof(*r->missing));
	r->dense = cop_xcalloc(r->ndense, sizeof(*r->dense));
	for (size_t i = 0; i < r->ncells; i++)
		fill_cell(&r->cell[i], want, i);
	for (size_t i = 0; i < r->nmissing; i++)
		r->missing[i] = (int64_t)(r->ncells + i);
	for (size_t i = 0; i < r->ndense; i++) {
		struct cop_dense *d = &r->dense[i];
		double top1 = 0.9815 + noise(0.0005, 900 + (uint32_t)i);
		*d = (struct cop_dense){.replicate = (int64_t)i,
					.total = WEIGHTS,
					.test_top1 = top1,
					.test_top5 = 0.9995,
					.test_loss = 0.071,
					.val_top1 = want->validation ? 0.981 : NAN,
					.seconds = 45.25,
					.images_per_second = 24444,
					.data_wait = 0.02,
					.began = 1794999950,
					.ended = 1794999995.25,
					.joules = 2700,
					.gpus = 0.5,
					.gpu_utilisation = 0.625,
					.gpu_memory = 3.2e9,
					.cores = 4};
		snprintf(d->device, COP_TEXT, "cpu, 2 threads");
		if (want->comparable) {
			d->cores = 2;
			d->gpus = 0;
			d->images_per_second = 13250;
		}
		fill_history(&d->history, top1, 9, 0, want->validation, (uint32_t)i);
		struct cop_early_stop stop = cop_history_early_stop(&d->history);
		d->early_stop_step = stop.step;
		d->early_stop_val_top1 = stop.val_top1;
		d->early_stop_test_top1 = stop.test_top1;
	}
}
