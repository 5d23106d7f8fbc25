/* The heat map in a terminal; see heatmap.h. */
#include "report/heatmap.h"

#include "report/palette.h"
#include "report/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { LABEL_WIDTH = 18, CELL_WIDTH = 7, STRIP_WIDTH = 24 };

bool cop_colours_wanted(FILE *out)
{
	const char *refused = getenv("NO_COLOR"), *term = getenv("TERM");
	return !(refused && *refused) && term && strcmp(term, "dumb") != 0 && isatty(fileno(out));
}

enum cop_colours cop_colours_known(void)
{
	const char *s = getenv("COLORTERM");
	return s && (strcmp(s, "truecolor") == 0 || strcmp(s, "24bit") == 0) ? COP_COLOURS_TRUE : COP_COLOURS_256;
}

int cop_terminal_width(FILE *out)
{
	struct winsize size;
	int fd = fileno(out);
	return fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* What the lines of one map share. */
struct map {
	const struct cop_grid *g;
	enum cop_colours colours;
	size_t cell;     /* width of a place */
	int half;        /* width of the number behind ±; 0: there are none */
	int digits;      /* behind the point of "left" */
	size_t from, to; /* the block's reset points */
};

static void add_painted(struct cop_str *b, enum cop_colours colours, struct cop_rgb c, const char *text)
{
	const char *ink = cop_wants_dark_text(c) ? "38;5;16" : "38;5;231";
	if (colours == COP_COLOURS_TRUE)
		cop_str_addf(b, "\033[48;2;%d;%d;%d;%sm%s\033[0m", c.r, c.g, c.b, ink, text);
	else if (colours == COP_COLOURS_256)
		cop_str_addf(b, "\033[48;5;%d;%sm%s\033[0m", cop_xterm256(c), ink, text);
	else
		cop_str_add(b, text);
}

/* Of " ±0.25" in a place. */
static size_t half_width(const struct map *m)
{
	return m->half ? (size_t)m->half + 2 : 0;
}

/* The text fills the place but for one column on its right, which holds the mark. */
static void add_place(struct cop_str *b, const struct map *m, const struct cop_spread *s, bool best)
{
	struct cop_str text = {0};
	char number[COP_NUMBER_TEXT] = "-";
	if (s->n)
		snprintf(number, sizeof(number), "%.2f", 100 * s->mean);
	cop_text_pad(&text, number, m->cell - 1 - half_width(m), true);
	if (m->half && isfinite(s->half))
		cop_str_addf(&text, " ±%*.2f", m->half, 100 * s->half);
	else
		cop_text_pad(&text, "", half_width(m), false);
	cop_str_add(&text, best ? "*" : " ");
	if (s->n)
		add_painted(b, m->colours, cop_palette(cop_grid_scale(m->g, s->mean)), text.s);
	else
		cop_str_add(b, text.s);
	cop_str_release(&text);
}

static void print_line(FILE *out, struct cop_str *line)
{
	while (line->len > 0 && line->s[line->len - 1] == ' ')
		line->s[--line->len] = '\0';
	fprintf(out, "%s\n", line->s);
	cop_str_release(line);
}

static void print_header(const struct map *m, FILE *out)
{
	struct cop_str line = {0};
	cop_text_pad(&line, "quantile  left %", LABEL_WIDTH, false);
	for (size_t k = m->from; k < m->to; k++) {
		char *name = cop_text_clean(m->g->reset[k].name);
		struct cop_str text = {0};
		cop_text_pad(&text, name, m->cell - 1 - half_width(m), true);
		cop_text_pad(&line, text.s, m->cell, false);
		cop_str_release(&text);
		free(name);
	}
	print_line(out, &line);
}

static void print_dense(const struct map *m, FILE *out)
{
	struct cop_str line = {0};
	cop_str_addf(&line, "%8s  %6.*f  ", "dense", m->digits, 100.0);
	add_place(&line, m, &m->g->dense, false);
	print_line(out, &line);
}

static void print_quantile(const struct map *m, size_t q, FILE *out)
{
	struct cop_str line = {0};
	cop_str_addf(&line, "%8.6g  %6.*f  ", m->g->quantile[q], m->digits, 100 * m->g->left[q]);
	for (size_t k = m->from; k < m->to; k++)
		add_place(&line, m, cop_grid_at(m->g, q, k), q * m->g->nr + k == m->g->best);
	print_line(out, &line);
}

static void print_legend(const struct map *m, FILE *out)
{
	const struct cop_grid *g = m->g;
	struct cop_str line = {0};
	bool missing = false, any = false;
	for (size_t i = 0; i < g->variants.n * g->nq * g->nr; i++) {
		bool there = g->table[i / (g->nq * g->nr)].top1[i % (g->nq * g->nr)].n > 0;
		missing |= !there;
		any |= there;
	}
	if (m->colours != COP_COLOURS_NONE && isfinite(g->low)) {
		cop_str_addf(&line, "%.2f ", 100 * g->low);
		for (int i = 0; i < STRIP_WIDTH; i++)
			add_painted(&line, m->colours, cop_palette(i / (STRIP_WIDTH - 1.0)), " ");
		cop_str_addf(&line, " %.2f   ", 100 * g->high);
	}
	if (!any)
		cop_str_add(&line, "no cell is finished");
	else
		cop_str_addf(&line, "* the best cell%s%s", g->variants.n > 1 ? " of each" : "",
			     missing ? ", - not finished" : "");
	print_line(out, &line);
}

static size_t longest_reset(const struct cop_grid *g)
{
	size_t longest = 0;
	for (size_t k = 0; k < g->nr; k++) {
		size_t w = cop_text_width(g->reset[k].name);
		longest = w > longest ? w : longest;
	}
	return longest;
}

static void print_heading(const struct cop_grid *g, const char *name, FILE *out)
{
	char *clean = cop_text_clean(name);
	fprintf(out, "%s: test top-1 in percent by quantile (down) and reset point (across)", clean);
	if (g->replicates > 1)
		fprintf(out, ",\nmean of %zu replicates ± half the width of its 95%% interval", g->replicates);
	fprintf(out, "\n\n");
	free(clean);
}

/* Of the widest number behind ±; 0: there is none. */
static int widest_half(const struct cop_grid *g)
{
	char text[COP_NUMBER_TEXT];
	double most = isfinite(g->dense.half) ? g->dense.half : -1;
	for (size_t i = 0; i < g->nq * g->nr; i++)
		most = g->top1[i].half > most ? g->top1[i].half : most;
	return most < 0 ? 0 : snprintf(text, sizeof(text), "%.2f", 100 * most);
}

/* The grid's widest label and number, so that the maps of all variants have the same columns. */
static void find_widths(struct map *m, const struct cop_grid *g)
{
	m->digits = 1;
	for (size_t v = 0; v < g->variants.n; v++) {
		struct cop_grid shown = cop_grid_show(g, v);
		int half = widest_half(&shown);
		m->half = half > m->half ? half : m->half;
		for (size_t q = 0; q < g->nq; q++)
			if (shown.left[q] < 0.1)
				m->digits = 2;
	}
	size_t longest = longest_reset(g), least = CELL_WIDTH + half_width(m);
	m->cell = longest < least ? least : longest + 1;
}

/* In blocks of as many reset points as there are in `block`. */
static void print_map(struct map *m, size_t block, FILE *out)
{
	const struct cop_grid *g = m->g;
	for (m->from = 0; m->from < g->nr; m->from = m->to) {
		m->to = m->from + block < g->nr ? m->from + block : g->nr;
		if (m->from > 0)
			fprintf(out, "\n");
		print_header(m, out);
		print_dense(m, out);
		for (size_t q = 0; q < g->nq; q++)
			print_quantile(m, q, out);
	}
}

void cop_heatmap_print(const struct cop_grid *g, const char *name, FILE *out, enum cop_colours colours, int width)
{
	struct map m = {.colours = colours};
	find_widths(&m, g);
	size_t room = width > LABEL_WIDTH ? (size_t)width - LABEL_WIDTH : 0;
	size_t block = room / m.cell ? room / m.cell : 1;
	print_heading(g, name, out);
	for (size_t v = 0; v < g->variants.n; v++) {
		struct cop_grid shown = cop_grid_show(g, v);
		char *variant = cop_text_clean(cop_grid_name(&shown));
		m.g = &shown;
		if (*variant)
			fprintf(out, "%s%s:\n", v ? "\n" : "", variant);
		print_map(&m, block, out);
		free(variant);
	}
	m.g = g;
	fprintf(out, "\n");
	print_legend(&m, out);
}
