/*
 * What of the work around a convolution one engine does with it: reading its input through a batch norm and an
 * activation, finishing its output by a bias and an activation, and taking the output's sums.
 */
#include "device.h"

enum { READING = 1, FINISH = 2, SUMS = 4, ALL_PARTS = 7 };

bool cop_cuda_cuts(float lo, float hi)
{
	return lo > -__builtin_inff() || hi < __builtin_inff();
}

static int parts_of(const struct cop_conv_fusion *f)
{
	return (f->read ? READING : 0) | (f->bias || cop_cuda_cuts(f->lo, f->hi) ? FINISH : 0) | (f->sums ? SUMS : 0);
}

/* What of f belongs to these parts. */
static struct cop_conv_fusion only(const struct cop_conv_fusion *f, int parts)
{
	struct cop_conv_fusion g = {.from = -__builtin_inff(),
				    .to = __builtin_inff(),
				    .lo = -__builtin_inff(),
				    .hi = __builtin_inff(),
				    .sums = parts & SUMS};
	if (parts & READING) {
		g.read = true;
		g.from = f->from;
		g.to = f->to;
	}
	if (parts & FINISH) {
		g.bias = f->bias;
		g.lo = f->lo;
		g.hi = f->hi;
	}
	return g;
}

/* Numbers that need not go to memory or come from it: kernels of their own would read and write x, or y, or read y. */
static size_t saved(const struct cop_conv *d, int parts)
{
	size_t in = (size_t)d->batch * (size_t)d->in_h * (size_t)d->in_w * (size_t)d->in_c;
	size_t out = (size_t)d->batch * (size_t)d->out_h * (size_t)d->out_w * (size_t)d->out_c;
	return (parts & READING ? 2 * in : 0) + (parts & FINISH ? 2 * out : 0) + (parts & SUMS ? out : 0);
}

/* Of the parts in `has`, those that save the most and were not tried; 0: none. Sums are of what is finished. */
static int best_parts(const struct cop_conv *d, int has, unsigned tried)
{
	int best = 0;
	for (int parts = 1; parts <= ALL_PARTS; parts++) {
		bool ordered = !(parts & SUMS) || !(has & FINISH) || parts & FINISH;
		if (!(parts & ~has) && ordered && !(tried >> parts & 1) && saved(d, parts) > saved(d, best))
			best = parts;
	}
	return best;
}

const struct cop_conv_plan *cop_cuda_fused_plan(const struct cop_conv *d, const struct cop_conv_fusion *all,
						struct cop_conv_fusion *taken)
{
	struct cop_cuda_device *dev = cop_cuda_now();
	const struct cop_conv_plan *plan = NULL;
	unsigned tried = 0;
	int parts, rc = dev->fused ? COP_EMISSING : 0;
	while (rc == COP_EMISSING && (parts = best_parts(d, parts_of(all), tried)) != 0) {
		struct cop_err err = {0};
		*taken = only(all, parts);
		rc = cop_conv_plan_fused(dev->products, d, taken, &plan, &err);
		if (rc && rc != COP_EMISSING)
			cop_cuda_note_error(dev, &err);
		tried |= 1u << parts;
	}
	return rc ? NULL : plan;
}
