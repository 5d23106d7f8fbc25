/* Early stop against the weights left; see figures.h. */
#include "report/figure_lines.h"
#include "report/figures.h"

#include <math.h>

static bool variants(const struct cop_early *e)
{
	return e->g->variants.n > 1;
}

static const struct cop_spread *value(const struct cop_early_place *at, bool accuracy)
{
	return accuracy ? &at->top1 : &at->step;
}

static void begin(struct cop_lines *f, const struct cop_early *e, bool accuracy)
{
	const struct cop_spread *dense = value(&e->dense, accuracy);
	double scale = accuracy ? 100 : 1;
	*f = (struct cop_lines){
		.about = accuracy ? "top-1 at early stop against weights left" : "early stop against weights left",
		.x_name = "weights left (%)",
		.y_name = !accuracy   ? "early stop (step)"
			  : e->tested ? "test top-1 at early stop (%)"
				      : "validation top-1 at early stop (%)",
		.x_unit = " % left",
		.y_unit = accuracy ? " %" : "",
		.legend = variants(e) ? "" : "reset to",
		.classes = "series stop",
		.categories = variants(e),
		.counts = !accuracy,
		.falling = true,
		.floor = -INFINITY,
		.level_name = dense->n ? "dense" : NULL,
		.level = scale * dense->mean,
		.level_half = scale * dense->half,
	};
}

static void add(struct cop_lines *f, const struct cop_early *e, const struct cop_early_series *s, bool accuracy)
{
	const struct cop_variant *v = &e->g->variants.v[s->variant];
	struct cop_line *l = cop_lines_add(f, variants(e) ? v->name : e->g->reset[s->reset].name,
					   variants(e) && v->control);
	double scale = accuracy ? 100 : 1;
	if (variants(e))
		l->kind = s->variant; /* as in the figures of accuracy */
	for (size_t q = 0; q < e->g->nq; q++) {
		const struct cop_spread *here = value(&s->at[q], accuracy);
		if (here->n)
			cop_line_add(l, 100 * e->g->left[q], scale * here->mean, scale * here->half);
	}
}

void cop_figure_early(struct cop_str *b, const struct cop_early *e, size_t reset, bool accuracy)
{
	struct cop_lines f;
	begin(&f, e, accuracy);
	for (size_t i = 0; i < e->n; i++)
		if (!variants(e) || e->series[i].reset == reset)
			add(&f, e, &e->series[i], accuracy);
	cop_figure_lines(b, &f);
	cop_lines_release(&f);
}
