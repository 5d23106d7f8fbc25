/* Synthetic digits; see glyphs.h. */
#include "data/glyphs.h"

#include "base/log.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

enum {
	SIDE = COP_GLYPH_SIDE,
	POINTS_MAX = 13, /* control points of a stroke */
	STROKES_MAX = 3, /* strokes of a digit */
	SPLINE_STEPS = 6 /* straight pieces between two points of a curve */
};

struct point {
	double x, y;
};

struct stroke {
	bool curve; /* a spline through the points, else straight lines */
	int n;
	struct point p[POINTS_MAX];
};

struct shape {
	int nstrokes;
	struct stroke stroke[STROKES_MAX];
};

/* A digit may be written in two ways. x is -0.6..0.6 to the right, y is -1..1 downwards. */
struct glyph {
	int nshapes;
	struct shape shape[2];
};

/* The initialisers are laid out by hand: one stroke a line. */
/* clang-format off */
static const struct glyph glyphs[COP_GLYPH_CLASSES] = {
	[0] = {1, {
		{1, {{true, 10, {{0.05, -1}, {-0.4, -0.8}, {-0.6, -0.1}, {-0.48, 0.65}, {-0.05, 1}, {0.42, 0.75}, {0.6, 0},
				 {0.45, -0.7}, {0.05, -1}, {-0.2, -0.95}}}}},
	}},
	[1] = {2, {
		{1, {{false, 3, {{-0.3, -0.6}, {0.05, -1}, {0.05, 1}}}}},
		{2, {{false, 3, {{-0.35, -0.65}, {0, -1}, {0, 1}}},
		     {false, 2, {{-0.4, 1}, {0.4, 1}}}}},
	}},
	[2] = {2, {
		{2, {{true, 7, {{-0.55, -0.55}, {-0.3, -0.92}, {0.1, -1}, {0.5, -0.75}, {0.48, -0.3}, {0.05, 0.3}, {-0.6, 1}}},
		     {false, 2, {{-0.6, 1}, {0.6, 0.95}}}}},
		{1, {{true, 12, {{-0.5, -0.7}, {-0.1, -1}, {0.4, -0.8}, {0.4, -0.25}, {0, 0.4}, {-0.4, 0.85}, {-0.58, 0.75},
				 {-0.4, 0.6}, {-0.05, 0.75}, {0.25, 0.95}, {0.5, 0.95}, {0.62, 0.8}}}}},
	}},
	[3] = {2, {
		{2, {{true, 6, {{-0.5, -0.75}, {-0.1, -1}, {0.38, -0.85}, {0.46, -0.5}, {0.25, -0.15}, {-0.15, -0.03}}},
		     {true, 6, {{-0.15, -0.03}, {0.35, 0.1}, {0.58, 0.5}, {0.38, 0.88}, {-0.08, 1}, {-0.55, 0.75}}}}},
		{2, {{false, 3, {{-0.5, -0.98}, {0.45, -0.98}, {-0.05, -0.15}}},
		     {true, 6, {{-0.05, -0.15}, {0.4, 0.02}, {0.58, 0.45}, {0.35, 0.88}, {-0.1, 1}, {-0.55, 0.78}}}}},
	}},
	[4] = {2, {
		{2, {{false, 3, {{0.25, -1}, {-0.6, 0.3}, {0.65, 0.3}}},
		     {false, 2, {{0.3, -0.35}, {0.25, 1}}}}},
		{2, {{false, 3, {{-0.45, -0.95}, {-0.52, 0.1}, {0.55, 0.08}}},
		     {false, 2, {{0.4, -0.9}, {0.35, 1}}}}},
	}},
	[5] = {2, {
		{2, {{false, 3, {{0.5, -1}, {-0.4, -0.98}, {-0.46, -0.12}}},
		     {true, 7, {{-0.46, -0.12}, {-0.08, -0.3}, {0.4, -0.15}, {0.58, 0.35}, {0.35, 0.85}, {-0.1, 1},
				{-0.55, 0.8}}}}},
		{1, {{true, 9, {{0.52, -0.95}, {-0.1, -0.95}, {-0.42, -0.7}, {-0.35, -0.25}, {0.1, -0.05}, {0.48, 0.25},
				{0.4, 0.75}, {-0.05, 1}, {-0.5, 0.85}}}}},
	}},
	[6] = {2, {
		{1, {{true, 11, {{0.4, -0.95}, {-0.1, -0.75}, {-0.48, -0.15}, {-0.56, 0.45}, {-0.3, 0.92}, {0.15, 1}, {0.5, 0.75},
				 {0.53, 0.35}, {0.25, 0.05}, {-0.2, 0.1}, {-0.52, 0.45}}}}},
		{1, {{true, 8, {{-0.15, -1}, {-0.45, -0.2}, {-0.48, 0.55}, {-0.1, 1}, {0.4, 0.8}, {0.42, 0.35}, {0.05, 0.15},
				{-0.42, 0.4}}}}},
	}},
	[7] = {2, {
		{1, {{false, 3, {{-0.55, -0.95}, {0.55, -0.98}, {-0.1, 1}}}}},
		{2, {{true, 5, {{-0.55, -0.85}, {-0.1, -0.95}, {0.5, -0.92}, {0.15, 0}, {-0.1, 1}}},
		     {false, 2, {{-0.3, 0}, {0.42, -0.02}}}}},
	}},
	[8] = {1, {
		{1, {{true, 13, {{0.42, -0.75}, {0.05, -1}, {-0.38, -0.8}, {-0.35, -0.38}, {0.02, -0.05}, {0.48, 0.3}, {0.45, 0.8},
				 {-0.02, 1}, {-0.48, 0.78}, {-0.46, 0.32}, {0, -0.05}, {0.4, -0.4}, {0.4, -0.75}}}}},
	}},
	[9] = {2, {
		{1, {{true, 11, {{0.5, -0.4}, {0.2, -0.05}, {-0.25, -0.05}, {-0.52, -0.4}, {-0.42, -0.8}, {-0.02, -1},
				 {0.36, -0.86}, {0.52, -0.45}, {0.5, 0.1}, {0.28, 0.65}, {-0.15, 1}}}}},
		{2, {{true, 7, {{0.42, -0.7}, {0.05, -1}, {-0.42, -0.75}, {-0.42, -0.3}, {-0.05, -0.1}, {0.35, -0.3},
				{0.45, -0.75}}},
		     {false, 2, {{0.45, -0.85}, {0.35, 1}}}}},
	}},
};
/* clang-format on */

/* The pen and the page of one image. */
struct canvas {
	double distance[SIDE][SIDE]; /* squared, from each pixel's centre to the nearest stroke */
	double reach;                /* nothing beyond this many pixels is drawn */
};

static double between(struct cop_stream *s, double low, double high)
{
	return low + (high - low) * cop_stream_uniform(s);
}

/* About normal, mean 0, variance 1: Irwin and Hall's sum, for the library's logarithm may differ between machines. */
static double bell(struct cop_stream *s)
{
	double sum = 0;
	for (int i = 0; i < 4; i++)
		sum += cop_stream_uniform(s);
	return (sum - 2) * 1.7320508075688772;
}

static double squared_distance(struct point p, struct point a, struct point b)
{
	double dx = b.x - a.x, dy = b.y - a.y, px = p.x - a.x, py = p.y - a.y;
	double length = dx * dx + dy * dy;
	double t = length > 0 ? (px * dx + py * dy) / length : 0;
	t = t < 0 ? 0 : t > 1 ? 1 : t;
	px -= t * dx;
	py -= t * dy;
	return px * px + py * py;
}

static int clip(double v)
{
	return v < 0 ? 0 : v > SIDE - 1 ? SIDE - 1 : (int)v;
}

static void draw_line(struct canvas *c, struct point a, struct point b)
{
	int x0 = clip(fmin(a.x, b.x) - c->reach), x1 = clip(fmax(a.x, b.x) + c->reach);
	int y0 = clip(fmin(a.y, b.y) - c->reach), y1 = clip(fmax(a.y, b.y) + c->reach);
	for (int y = y0; y <= y1; y++) {
		for (int x = x0; x <= x1; x++) {
			double d = squared_distance((struct point){x + 0.5, y + 0.5}, a, b);
			if (d < c->distance[y][x])
				c->distance[y][x] = d;
		}
	}
}

/* Catmull and Rom's spline between p[1] and p[2] at t. */
static struct point spline(const struct point p[4], double t)
{
	double a = t * (t * (2 - t) - 1), b = t * t * (3 * t - 5) + 2, c = t * (t * (4 - 3 * t) + 1),
	       d = t * t * (t - 1);
	return (struct point){0.5 * (a * p[0].x + b * p[1].x + c * p[2].x + d * p[3].x),
			      0.5 * (a * p[0].y + b * p[1].y + c * p[2].y + d * p[3].y)};
}

static void draw_curve(struct canvas *c, const struct point *p, int n)
{
	for (int i = 0; i + 1 < n; i++) {
		struct point near[4] = {p[i ? i - 1 : 0], p[i], p[i + 1], p[i + 2 < n ? i + 2 : n - 1]};
		struct point from = p[i];
		for (int k = 1; k <= SPLINE_STEPS; k++) {
			struct point to = spline(near, (double)k / SPLINE_STEPS);
			draw_line(c, from, to);
			from = to;
		}
	}
}

static void draw_stroke(struct canvas *c, const struct stroke *s, const struct point *p)
{
	if (s->curve) {
		draw_curve(c, p, s->n);
		return;
	}
	for (int i = 0; i + 1 < s->n; i++)
		draw_line(c, p[i], p[i + 1]);
}

/* From the glyph's box to pixels: p -> m p + shift. */
struct affine {
	double m[2][2];
	struct point shift;
};

/* Rotation by the half-angle's tangent h, so that no sine is needed: cos = (1-h^2)/(1+h^2), sin = 2h/(1+h^2). */
static struct affine draw_affine(struct cop_stream *s)
{
	double h = 0.09 * bell(s);
	double cosine = (1 - h * h) / (1 + h * h), sine = 2 * h / (1 + h * h);
	double shear = between(s, -0.3, 0.3);
	double tall = between(s, 7.5, 10), wide = tall * between(s, 0.7, 1.2);
	struct affine a = {
		.m = {{cosine * wide, (cosine * shear - sine) * tall}, {sine * wide, (sine * shear + cosine) * tall}}};
	a.shift.x = SIDE / 2.0 + between(s, -1.5, 1.5);
	a.shift.y = SIDE / 2.0 + between(s, -1.5, 1.5);
	return a;
}

static void draw_shape(struct canvas *c, const struct shape *shape, struct cop_stream *s)
{
	struct affine a = draw_affine(s);
	for (int i = 0; i < shape->nstrokes; i++) {
		const struct stroke *stroke = &shape->stroke[i];
		struct point p[POINTS_MAX];
		for (int k = 0; k < stroke->n; k++) {
			double x = stroke->p[k].x + 0.075 * bell(s), y = stroke->p[k].y + 0.075 * bell(s);
			p[k].x = a.m[0][0] * x + a.m[0][1] * y + a.shift.x;
			p[k].y = a.m[1][0] * x + a.m[1][1] * y + a.shift.y;
		}
		draw_stroke(c, stroke, p);
	}
}

/* A short stroke that belongs to no digit. */
static void draw_stray(struct canvas *c, struct cop_stream *s)
{
	struct point a = {between(s, 0, SIDE), between(s, 0, SIDE)};
	struct point b = {a.x + between(s, -7, 7), a.y + between(s, -7, 7)};
	draw_line(c, a, b);
}

/* Four bytes of a random word add up to 510 +- 148, near enough to a bell, at a quarter of a draw a byte. */
static int noise(struct cop_stream *s, int sigma)
{
	uint32_t w = cop_stream_u32(s);
	int sum = (int)((w & 255) + (w >> 8 & 255) + (w >> 16 & 255) + (w >> 24)) - 510;
	return sum * sigma / 148;
}

static void ink(const struct canvas *c, double pen, double edge, double bright, int sigma, struct cop_stream *s,
		uint8_t *image)
{
	for (int i = 0; i < SIDE * SIDE; i++) {
		double d = sqrt(c->distance[i / SIDE][i % SIDE]);
		double cover = fmin(1, fmax(0, 0.5 + (pen - d) / edge));
		int v = (int)(bright * cover + 0.5) + noise(s, sigma);
		image[i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
	}
}

int cop_glyph_draw(uint64_t seed, enum cop_split split, uint32_t index, uint8_t *image)
{
	int label = (int)(index % COP_GLYPH_CLASSES);
	struct cop_stream s;
	cop_stream_init(&s, seed, COP_PURPOSE_GLYPHS, (uint32_t)split, index);
	double pen = between(&s, 0.8, 2), edge = between(&s, 1, 2), bright = between(&s, 160, 255);
	int sigma = 6 + (int)cop_stream_below(&s, 20);
	struct canvas c = {.reach = pen + edge + 1};
	for (int i = 0; i < SIDE * SIDE; i++)
		c.distance[i / SIDE][i % SIDE] = SIDE * SIDE;
	const struct glyph *g = &glyphs[label];
	draw_shape(&c, &g->shape[cop_stream_below(&s, (uint32_t)g->nshapes)], &s);
	if (cop_stream_uniform(&s) < 0.35)
		draw_stray(&c, &s);
	ink(&c, pen, edge, bright, sigma, &s, image);
	return label;
}

static int add_split(struct cop_dataset_writer *w, enum cop_split split, int64_t n, uint64_t seed, struct cop_err *err)
{
	uint8_t image[SIDE * SIDE];
	int rc = 0;
	for (int64_t i = 0; !rc && i < n; i++) {
		int label = cop_glyph_draw(seed, split, (uint32_t)i, image);
		rc = cop_dataset_add(w, split, image, label, err);
		if (i % 256 == 0)
			cop_progress("drawing", (double)i, (double)n, "%s", cop_split_names[split]);
	}
	cop_progress("drawing", (double)n, (double)n, "%s", cop_split_names[split]);
	return rc;
}

int cop_glyphs_pack(const char *path, const int64_t n[COP_SPLITS], uint64_t seed, struct cop_err *err)
{
	static const char *const names[COP_GLYPH_CLASSES] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
	struct cop_dataset_writer *w = NULL;
	int rc = cop_dataset_create(&w, path, SIDE, SIDE, 1, names, COP_GLYPH_CLASSES, err);
	for (int split = 0; !rc && split < COP_SPLITS; split++)
		rc = add_split(w, split, n[split], seed, err);
	if (rc) {
		cop_dataset_abandon(w);
		return rc;
	}
	return cop_dataset_commit(w, err);
}
