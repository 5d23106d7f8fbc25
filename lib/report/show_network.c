/* The network of an experiment, layer by layer; see show.h. */
#include "report/show_network.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "data/glyphs.h"
#include "nn/models.h"
#include "report/text.h"
#include "store/dataset.h"

#include <stdlib.h>
#include <string.h>

static void take_usual(const struct cop_experiment *e, const char *why, struct cop_show_images *to, char **from)
{
	const int *usual = cop_model_usual(e->model.name);
	*to = (struct cop_show_images){usual[0], usual[1], usual[2], usual[3]};
	*from = cop_xasprintf("the usual ones of '%s': %s", cop_model_name(e->model.name), why);
}

/* The images that the experiment's dataset has, or else those that the network mostly meets; *from says which. */
static void find_images(const struct cop_experiment *e, struct cop_show_images *to, char **from)
{
	struct cop_dataset_info info;
	struct cop_err why = {0};
	const char *path = e->data.path;
	if (strcmp(path, COP_DATA_GLYPHS) == 0) {
		*to = (struct cop_show_images){1, COP_GLYPH_SIDE, COP_GLYPH_SIDE, COP_GLYPH_CLASSES};
		*from = cop_xstrdup("the built-in digits");
	} else if (cop_dataset_info_read(path, &info, &why) == 0) {
		*to = (struct cop_show_images){info.channels, info.height, info.width, info.nclasses};
		*from = cop_xasprintf("dataset '%s'", path);
		cop_dataset_info_release(&info);
	} else {
		char *missing = cop_xasprintf("there is no dataset '%s'", path);
		take_usual(e, cop_exists(path) ? why.msg : missing, to, from);
		free(missing);
	}
}

/* "3x3, stride 2, dilation 2, 32 groups"; numbers that differ by side as HxW. The caller frees; NULL: no window. */
static char *window_text(const struct cop_node *d)
{
	const struct cop_conv_spec *s = &d->conv;
	struct cop_str b = {0};
	if (d->op != COP_OP_CONV && d->op != COP_OP_MAX_POOL && d->op != COP_OP_AVG_POOL)
		return NULL;
	cop_str_addf(&b, "%dx%d", s->kernel[0], s->kernel[1]);
	const struct {
		const char *name;
		const int *v;
	} rest[] = {{"stride", s->stride}, {"dilation", s->dilation}};
	for (int i = 0; i < 2; i++)
		if (rest[i].v[0] != rest[i].v[1])
			cop_str_addf(&b, ", %s %dx%d", rest[i].name, rest[i].v[0], rest[i].v[1]);
		else if (rest[i].v[0] != 1)
			cop_str_addf(&b, ", %s %d", rest[i].name, rest[i].v[0]);
	if (s->groups != 1)
		cop_str_addf(&b, ", %d groups", s->groups);
	return cop_str_take(&b);
}

static void add_texts(struct cop_table *t, const struct cop_graph *g, const struct cop_node *d)
{
	char *window = window_text(d);
	struct cop_str inputs = {0};
	for (int i = 0; i < d->ninputs; i++)
		cop_str_addf(&inputs, "%s%s", i ? ", " : "", g->node[d->input[i]].name);
	char *output = cop_xasprintf("%dx%dx%d", d->c, d->h, d->w);
	cop_table_text(t, d->name);
	cop_table_text(t, cop_op_name(d->op));
	cop_table_text(t, window);
	cop_table_text(t, inputs.s);
	cop_table_text(t, output);
	cop_str_release(&inputs);
	free(window);
	free(output);
}

static void add_layers(struct cop_sheet *s, const struct cop_graph *g)
{
	static const struct cop_column columns[] = {
		{"layer", COP_COLUMN_TEXT, 0},     {"op", COP_COLUMN_TEXT, 0},     {"window", COP_COLUMN_TEXT, 0},
		{"inputs", COP_COLUMN_TEXT, 0},    {"output", COP_COLUMN_TEXT, 0}, {"parameters", COP_COLUMN_INT, 0},
		{"statistics", COP_COLUMN_INT, 0}, {"macs", COP_COLUMN_SHORT, 0},
	};
	struct cop_table *t = cop_sheet_table(s, "layers", columns, sizeof(columns) / sizeof(columns[0]));
	for (int i = 0; i < g->n; i++) {
		add_texts(t, g, &g->node[i]);
		cop_table_int(t, (int64_t)cop_node_params(g, i));
		cop_table_int(t, (int64_t)cop_node_buffers(g, i));
		cop_table_real(t, cop_node_macs(g, i));
	}
	cop_table_text(t, "total");
	for (int i = 0; i < 4; i++)
		cop_table_none(t);
	cop_table_int(t, (int64_t)cop_layout_count(&g->params, false));
	cop_table_int(t, (int64_t)cop_layout_count(&g->buffers, false));
	cop_table_real(t, cop_graph_macs(g));
}

int cop_show_network(const struct cop_experiment *e, const struct cop_show_images *given, struct cop_sheet *s,
		     struct cop_err *err)
{
	struct cop_show_images images;
	struct cop_graph g = {0};
	char *from;
	find_images(e, &images, &from);
	if (given->channels && given->classes) {
		free(from);
		from = cop_xstrdup("as given");
	}
	if (given->channels) {
		images.channels = given->channels;
		images.height = given->height;
		images.width = given->width;
	}
	if (given->classes)
		images.classes = given->classes;
	char *shape = cop_xasprintf("%dx%dx%d", images.channels, images.height, images.width);
	int rc = cop_model_build(&g, &e->model, images.channels, images.height, images.width, images.classes, err);
	if (rc) {
		rc = cop_context(err, "'%s' for images of %s in %d classes (%s)", cop_model_name(e->model.name), shape,
				 images.classes, from);
	} else {
		cop_sheet_text(s, "network", cop_model_name(e->model.name));
		cop_sheet_text(s, "images", shape);
		cop_sheet_int(s, "classes", images.classes);
		cop_sheet_text(s, "images_from", from);
		cop_sheet_int(s, "prunable", (int64_t)cop_layout_count(&g.params, true));
		add_layers(s, &g);
		cop_graph_release(&g);
	}
	free(shape);
	free(from);
	return rc;
}
