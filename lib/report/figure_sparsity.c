/* Accuracy against sparsity, of one variant's reset points or of all variants; see figures.h. */
#include "report/figure_lines.h"
#include "report/figures.h"

#include <math.h>

/* The near view is worth its place where something falls this far below the dense network, and goes this far down. */
#define FAR_BELOW 0.04
#define NEAR_BELOW 0.02

static void begin(struct cop_lines *f, const struct cop_grid *g, bool near)
{
	*f = (struct cop_lines){
		.about = near ? "test top-1 against weights left, near the dense network"
			      : "test top-1 against weights left",
		.x_name = "weights left (%)",
		.y_name = "test top-1 (%)",
		.x_unit = " % left",
		.y_unit = " %",
		.falling = true,
		.floor = near ? 100 * (g->dense.mean - NEAR_BELOW) : -INFINITY,
		.level_name = "dense",
		.level = 100 * g->dense.mean,
		.level_half = 100 * g->dense.half,
	};
}

/* Reset point k of the variant that is shown. */
static void add(struct cop_lines *f, const struct cop_grid *g, size_t k, const char *label, bool dashed)
{
	struct cop_line *l = cop_lines_add(f, label, dashed);
	for (size_t q = 0; q < g->nq; q++) {
		const struct cop_spread *s = cop_grid_at(g, q, k);
		if (s->n)
			cop_line_add(l, 100 * g->left[q], 100 * s->mean, 100 * s->half);
	}
}

void cop_figure_sparsity(struct cop_str *b, const struct cop_grid *g, bool near)
{
	struct cop_lines f;
	begin(&f, g, near);
	f.legend = "reset to";
	f.classes = "series";
	for (size_t k = 0; k < g->nr; k++)
		add(&f, g, k, g->reset[k].name, false);
	cop_figure_lines(b, &f);
	cop_lines_release(&f);
}

void cop_figure_variants(struct cop_str *b, const struct cop_grid *g, size_t reset, bool near)
{
	struct cop_lines f;
	begin(&f, g, near);
	f.about =
		near ? "test top-1 against weights left, a line for each way to cut or retrain, near the dense network"
		     : "test top-1 against weights left, a line for each way to cut or retrain";
	f.legend = "";
	f.classes = "series variant";
	f.categories = true;
	for (size_t v = 0; v < g->variants.n; v++) {
		struct cop_grid shown = cop_grid_show(g, v);
		add(&f, &shown, reset, g->variants.v[v].name, g->variants.v[v].control);
	}
	cop_figure_lines(b, &f);
	cop_lines_release(&f);
}

/* What lies where of reset point k's places. */
static void look(const struct cop_grid *g, size_t k, bool *near, bool *far)
{
	for (size_t q = 0; q < g->nq; q++) {
		double below = g->dense.mean - cop_grid_at(g, q, k)->mean;
		*near |= below < NEAR_BELOW;
		*far |= below > FAR_BELOW;
	}
}

bool cop_figure_has_near(const struct cop_grid *g)
{
	bool near = false, far = false;
	for (size_t k = 0; k < g->nr; k++)
		look(g, k, &near, &far);
	return near && far;
}

bool cop_figure_variants_have_near(const struct cop_grid *g, size_t reset)
{
	bool near = false, far = false;
	for (size_t v = 0; v < g->variants.n; v++) {
		struct cop_grid shown = cop_grid_show(g, v);
		look(&shown, reset, &near, &far);
	}
	return near && far;
}
