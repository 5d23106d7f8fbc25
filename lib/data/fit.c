/*
 * Fitting images to one size by averaging areas; see image.h. The two directions are averaged one after the other:
 * first down, over whole rows side by side, then across. All sums are whole numbers that their types hold exactly, so
 * neither the order nor the width of the registers matters: down at most 65535 * 255 < 2^24 in float32, across at most
 * 2^26 * 255 < 2^53 in float64.
 */
#include "base/clones.h"
#include "base/mem.h"
#include "data/image.h"

#include <stdlib.h>

/*
 * One output pixel in one direction. In units of 1/to of a pixel of the file, output i covers [i*from, (i+1)*from) and
 * what is held at place j covers [j*cell*to, (j+1)*cell*to), but no more than there is: the overlaps are whole numbers
 * that add up to `from`, and so fit into 16 bits.
 */
struct span {
	int64_t first, last;        /* places, inclusive */
	uint16_t head, tail, whole; /* weights of the first, the last, and those between */
};

/* One direction: `from` pixels of the file become `to`, of which `size` are wanted after the first `skip`. */
struct axis {
	int64_t from, to, skip, cell;
};

static struct span cover(const struct axis *a, int64_t i)
{
	int64_t begin = (a->skip + i) * a->from, end = begin + a->from, each = a->cell * a->to;
	struct span s = {.first = begin / each, .last = (end - 1) / each};
	s.head = (uint16_t)(s.first == s.last ? a->from : (s.first + 1) * each - begin);
	s.tail = (uint16_t)(end - s.last * each);
	/* where nothing lies between, it is not used, and may be too long for its type */
	s.whole = (uint16_t)each;
	return s;
}

static float weight(const struct span *s, int64_t j)
{
	return j == s->first ? s->head : j == s->last ? s->tail : s->whole;
}

/* sum (n) += w * row (n), or starts with it. */
COP_CLONES static void add_row(float *restrict sum, const uint8_t *restrict row, size_t n, float w, bool first)
{
	if (first)
		for (size_t i = 0; i < n; i++)
			sum[i] = w * (float)row[i];
	else
		for (size_t i = 0; i < n; i++)
			sum[i] += w * (float)row[i];
}

/* One pixel of the output, from the sums over rows, which begin at place `origin`. */
static inline __attribute__((always_inline)) void add_columns(const struct span *s, int channels, const float *v,
							      double *out)
{
	for (int c = 0; c < channels; c++)
		out[c] = (double)s->head * (double)v[c];
	for (int64_t j = s->first + 1; j <= s->last; j++) {
		double w = j == s->last ? s->tail : s->whole;
		v += channels;
		for (int c = 0; c < channels; c++)
			out[c] += w * (double)v[c];
	}
}

static void add_line(const struct span *across, int size, int channels, int64_t origin, const float *sum, double *out)
{
	for (int x = 0; x < size; x++) {
		const float *v = sum + (across[x].first - origin) * channels;
		if (channels == 3)
			add_columns(&across[x], 3, v, out + (ptrdiff_t)3 * x);
		else
			add_columns(&across[x], 1, v, out + x);
	}
}

/* round(sum / area), half up; a quotient that is off by one is seen by its rest, and mended. */
COP_CLONES static void divide(const double *restrict sum, size_t n, double area, uint8_t *restrict out)
{
	double once = 1 / area, half = area / 2;
	for (size_t i = 0; i < n; i++) {
		double q = (double)(int32_t)((sum[i] + half) * once);
		double rest = sum[i] + half - q * area;
		q += (rest >= area ? 1.0 : 0.0) - (rest < 0 ? 1.0 : 0.0);
		out[i] = (uint8_t)(int32_t)q;
	}
}

struct fitting {
	int size, channels;
	struct span *across; /* (size) */
	float *sum;          /* (columns that are used, channels) */
	double *line;        /* (size, channels) */
};

static void fit(const struct cop_image *im, struct fitting *f, const struct axis *down, uint8_t *out)
{
	size_t channels = (size_t)f->channels, columns = ((size_t)im->width + (size_t)im->cell - 1) / (size_t)im->cell;
	size_t origin = (size_t)f->across[0].first, n = ((size_t)f->across[f->size - 1].last + 1 - origin) * channels;
	size_t each = (size_t)f->size * channels;
	for (int y = 0; y < f->size; y++) {
		struct span s = cover(down, y);
		for (int64_t j = s.first; j <= s.last; j++)
			add_row(f->sum, im->pixel + ((size_t)j * columns + origin) * channels, n, weight(&s, j),
				j == s.first);
		add_line(f->across, f->size, f->channels, (int64_t)origin, f->sum, f->line);
		divide(f->line, each, (double)im->width * (double)im->height, out + (size_t)y * each);
	}
}

static void axes(const struct cop_image *im, int size, enum cop_resize resize, struct axis *across, struct axis *down)
{
	int64_t w = im->width, h = im->height, least = w < h ? w : h;
	bool crop = resize == COP_RESIZE_CROP;
	*across = (struct axis){.from = w, .to = crop ? (w * size + least / 2) / least : size, .cell = im->cell};
	*down = (struct axis){.from = h, .to = crop ? (h * size + least / 2) / least : size, .cell = im->cell};
	across->skip = (across->to - size) / 2;
	down->skip = (down->to - size) / 2;
}

int cop_image_fit(const struct cop_image *im, int size, enum cop_resize resize, uint8_t *out, struct cop_err *err)
{
	struct fitting f = {.size = size, .channels = im->channels};
	struct axis across, down;
	axes(im, size, resize, &across, &down);
	size_t each = (size_t)im->channels, columns = 0;
	int rc = cop_alloc(&f.across, (size_t)size, sizeof(*f.across), "fitting an image", err);
	for (int x = 0; !rc && x < size; x++)
		f.across[x] = cover(&across, x);
	if (!rc) {
		columns = (size_t)(f.across[size - 1].last + 1 - f.across[0].first);
		rc = cop_alloc(&f.sum, columns * each, sizeof(*f.sum), "fitting an image", err);
	}
	if (!rc)
		rc = cop_alloc(&f.line, (size_t)size * each, sizeof(*f.line), "fitting an image", err);
	if (!rc)
		fit(im, &f, &down, out);
	free(f.across);
	free(f.sum);
	free(f.line);
	return rc;
}
