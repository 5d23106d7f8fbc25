/* The time of a step's parts; see stopwatch.h. */
#include "nn/stopwatch.h"

#include "base/log.h"

const char *const cop_step_part_names[COP_STEP_PARTS] = {
	[COP_STEP_CONV] = "conv",     [COP_STEP_LISTS] = "conv_lists", [COP_STEP_DEPTHWISE] = "depthwise",
	[COP_STEP_LINEAR] = "linear", [COP_STEP_UPDATE] = "update",    [COP_STEP_DATA] = "data",
	[COP_STEP_OTHERS] = "others",
};

/* A backend's calls do not say whose they are, so there is one watch. */
static double taken[COP_STEP_PARTS];
static struct cop_backend watched;

static enum cop_step_part part_of(const struct cop_conv *d)
{
	if (d->sparse)
		return COP_STEP_LISTS;
	return cop_conv_depthwise(d) ? COP_STEP_DEPTHWISE : COP_STEP_CONV;
}

static void conv_forward(const struct cop_conv *d, const struct cop_activation *x, const float *w,
			 const struct cop_output *out, float *space)
{
	double begun = cop_now();
	cop_cpu_backend.conv_forward(d, x, w, out, space);
	taken[part_of(d)] += cop_now() - begun;
}

static void conv_backward(const struct cop_conv *d, const struct cop_gradient *dy, const struct cop_activation *x,
			  const float *w, const struct cop_sink *dx, float *dw, float *db, float *space)
{
	double begun = cop_now();
	cop_cpu_backend.conv_backward(d, dy, x, w, dx, dw, db, space);
	taken[part_of(d)] += cop_now() - begun;
}

static void linear_forward(const struct cop_linear *d, const float *w, const float *b, const float *x, float *y)
{
	double begun = cop_now();
	cop_cpu_backend.linear_forward(d, w, b, x, y);
	taken[COP_STEP_LINEAR] += cop_now() - begun;
}

static void linear_backward_data(const struct cop_linear *d, const float *w, const float *dy, const float *x, float *dx)
{
	double begun = cop_now();
	cop_cpu_backend.linear_backward_data(d, w, dy, x, dx);
	taken[COP_STEP_LINEAR] += cop_now() - begun;
}

static void linear_backward_weights(const struct cop_linear *d, const float *dy, const float *x, float *dw, float *db)
{
	double begun = cop_now();
	cop_cpu_backend.linear_backward_weights(d, dy, x, dw, db);
	taken[COP_STEP_LINEAR] += cop_now() - begun;
}

static void sgd(const struct cop_sgd *o, const struct cop_dials *dials, size_t n, const float *g, const uint8_t *mask,
		float *w, float *v)
{
	double begun = cop_now();
	cop_cpu_backend.sgd(o, dials, n, g, mask, w, v);
	taken[COP_STEP_UPDATE] += cop_now() - begun;
}

static void adam(const struct cop_adam *o, const struct cop_dials *dials, size_t n, const float *g, const uint8_t *mask,
		 float *w, float *m, float *v)
{
	double begun = cop_now();
	cop_cpu_backend.adam(o, dials, n, g, mask, w, m, v);
	taken[COP_STEP_UPDATE] += cop_now() - begun;
}

const struct cop_backend *cop_stopwatch_start(void)
{
	watched = cop_cpu_backend;
	watched.conv_forward = conv_forward;
	watched.conv_backward = conv_backward;
	watched.linear_forward = linear_forward;
	watched.linear_backward_data = linear_backward_data;
	watched.linear_backward_weights = linear_backward_weights;
	watched.sgd = sgd;
	watched.adam = adam;
	for (int i = 0; i < COP_STEP_PARTS; i++)
		taken[i] = 0;
	return &watched;
}

void cop_stopwatch_read(double seconds[COP_STEP_PARTS])
{
	for (int i = 0; i < COP_STEP_PARTS; i++)
		if (i != COP_STEP_DATA && i != COP_STEP_OTHERS)
			seconds[i] = taken[i];
}
