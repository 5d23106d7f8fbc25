/*
 * Scores by derivatives of a network's loss or flow; see criterion.h and docs/method.md. The mean of L over batches is
 * the mean of theirs: all have the same number of images.
 */
#include "base/mem.h"
#include "nn/gradient64.h"
#include "prune/criterion_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* By which logits are divided for GraSP, in the code that its authors published and in those after it. */
static const double GRASP_TEMPERATURE = 200;

/* A network in float64, and the batches of its loss. */
struct view {
	const struct cop_scoring *s;
	double *param, *direction, *sum; /* (params.total); sum: of gradients or products over the batches */
	float *x;                        /* a batch */
	int32_t *label;
};

static size_t total(const struct cop_scoring *s)
{
	return s->graph->params.total;
}

/* The weights w, 0 where they were cut before. */
static int view_open(struct view *v, const struct cop_scoring *s, const float *w, struct cop_err *err)
{
	const struct cop_node *in = &s->graph->node[0];
	size_t image = (size_t)in->c * (size_t)in->h * (size_t)in->w;
	*v = (struct view){.s = s};
	int rc = cop_alloc(&v->param, total(s), sizeof(double), "weights in float64", err);
	if (!rc)
		rc = cop_alloc(&v->direction, total(s), sizeof(double), "a direction of weights", err);
	if (!rc)
		rc = cop_alloc(&v->sum, total(s), sizeof(double), "gradients in float64", err);
	if (!rc)
		rc = cop_alloc(&v->x, image * sizeof(float), (size_t)s->samples->batch, "a batch", err);
	if (!rc)
		rc = cop_alloc(&v->label, (size_t)s->samples->batch, sizeof(int32_t), "a batch's labels", err);
	for (size_t i = 0; i < total(s) && !rc; i++)
		v->param[i] = s->before && !s->before[i] ? 0 : (double)w[i];
	return rc;
}

static void view_close(struct view *v)
{
	free(v->param);
	free(v->direction);
	free(v->sum);
	free(v->x);
	free(v->label);
}

/* The mean over the batches of dL/dw, or of H times the direction (mode->second), into v->sum. */
static int differentiate(struct view *v, const struct cop_gradient64_mode *mode, struct cop_err *err)
{
	const struct cop_samples *from = v->s->samples;
	struct cop_gradient64 *d;
	int rc = cop_gradient64_new(&d, v->s->graph, from->batch, mode, err);
	if (rc)
		return rc;
	const struct cop_place64 at = {.param = v->param, .direction = v->direction};
	memset(v->sum, 0, total(v->s) * sizeof(double));
	for (int64_t k = 0; k < from->n && !rc; k++) {
		rc = cop_scoring_watch(v->s, err);
		if (!rc)
			rc = from->read(from, k, v->x, v->label, err);
		if (!rc)
			cop_gradient64_add(d, &at, v->x, v->label, v->sum);
	}
	for (size_t i = 0; i < total(v->s); i++)
		v->sum[i] /= (double)from->n;
	cop_gradient64_free(d);
	return rc;
}

int cop_score_gradient(const struct cop_scoring *s, const float *w, double *score, struct cop_err *err)
{
	struct view v;
	int rc = view_open(&v, s, w, err);
	if (!rc)
		rc = differentiate(&v, &(struct cop_gradient64_mode){0}, err);
	for (size_t i = 0; i < total(s) && !rc; i++)
		score[i] = fabs(v.param[i] * v.sum[i]);
	view_close(&v);
	return rc;
}

/* g of the weights that are there becomes the direction; biases and batch norms do not move. */
static void take_direction(struct view *v)
{
	const struct cop_layout *l = &v->s->graph->params;
	const uint8_t *before = v->s->before;
	for (size_t k = 0; k < l->n; k++) {
		const struct cop_tensor *t = &l->tensor[k];
		for (size_t i = t->offset; i < t->offset + t->count && t->prunable; i++)
			v->direction[i] = before && !before[i] ? 0 : v->sum[i];
	}
}

int cop_score_grasp(const struct cop_scoring *s, double *score, struct cop_err *err)
{
	struct cop_gradient64_mode mode = {.temperature = GRASP_TEMPERATURE};
	struct view v;
	int rc = view_open(&v, s, s->first, err);
	if (!rc)
		rc = differentiate(&v, &mode, err);
	mode.second = true;
	if (!rc) {
		take_direction(&v);
		rc = differentiate(&v, &mode, err);
	}
	for (size_t i = 0; i < total(s) && !rc; i++)
		score[i] = v.param[i] * v.sum[i];
	view_close(&v);
	return rc;
}

/* R(w): the sum of the outputs for an image of ones, with |w| for all parameters and linear activations. */
struct cop_flow {
	const struct cop_graph *graph;
	struct cop_gradient64 *gradient;
	double *size, *param, *grad, *buffer; /* |w|; what a mask leaves of it */
	float *ones;
};

int cop_flow_new(struct cop_flow **out, const struct cop_scoring *s, struct cop_err *err)
{
	const struct cop_gradient64_mode mode = {.running = true, .linear = true};
	const struct cop_node *in = &s->graph->node[0];
	size_t image = (size_t)in->c * (size_t)in->h * (size_t)in->w, buffers = s->graph->buffers.total;
	struct cop_flow *f = cop_xcalloc(1, sizeof(*f));
	f->graph = s->graph;
	int rc = cop_gradient64_new(&f->gradient, s->graph, 1, &mode, err);
	double **array[] = {&f->size, &f->param, &f->grad};
	for (int k = 0; k < 3 && !rc; k++)
		rc = cop_alloc(array[k], total(s), sizeof(double), "weights in float64", err);
	if (!rc)
		rc = cop_alloc(&f->buffer, buffers, sizeof(double), "running statistics", err);
	if (!rc)
		rc = cop_alloc(&f->ones, image, sizeof(float), "an image", err);
	if (rc) {
		cop_flow_free(f);
		return rc;
	}
	for (size_t i = 0; i < total(s); i++)
		f->size[i] = fabs((double)s->first[i]);
	for (size_t i = 0; i < buffers; i++)
		f->buffer[i] = fabs((double)s->first_buffer[i]);
	for (size_t i = 0; i < image; i++)
		f->ones[i] = 1;
	*out = f;
	return 0;
}

void cop_flow_free(struct cop_flow *f)
{
	if (!f)
		return;
	cop_gradient64_free(f->gradient);
	free(f->size);
	free(f->param);
	free(f->grad);
	free(f->buffer);
	free(f->ones);
	free(f);
}

void cop_flow_scores(struct cop_flow *f, const uint8_t *mask, double *score)
{
	const struct cop_place64 at = {.param = f->param, .buffer = f->buffer};
	size_t n = f->graph->params.total;
	for (size_t i = 0; i < n; i++)
		f->param[i] = mask && !mask[i] ? 0 : f->size[i];
	memset(f->grad, 0, n * sizeof(double));
	cop_gradient64_add(f->gradient, &at, f->ones, NULL, f->grad);
	for (size_t i = 0; i < n; i++)
		score[i] = f->param[i] * f->grad[i];
}
