/* Images become a network's input; see gather.h. */
#include "compute/gather.h"

#include "base/clones.h"

#include <stddef.h>
#include <string.h>

/* Longer rows are done in segments of so many pixels, so that what is in work fits the first cache. */
enum { LANES = COP_GATHER, SEGMENT = 64, LINE = SEGMENT * COP_GATHER_CHANNELS };

typedef uint8_t bytes16 __attribute__((vector_size(LANES)));
typedef float floats16 __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t ints16 __attribute__((vector_size(LANES * sizeof(int32_t))));
/* the same in memory that may lie anywhere */
typedef float loose16 __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

#ifdef __clang__
#define LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define LOW(a, b) __builtin_shuffle(a, b, (bytes16){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23})
#define HIGH(a, b) __builtin_shuffle(a, b, (bytes16){8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31})
#endif

/* What is done to every value: scale and shift by channel, written out so that any run of 16 features can be had from
   its first one's channel; and which lanes hold an image. */
struct finish {
	float scale[LANES + COP_GATHER_CHANNELS], shift[LANES + COP_GATHER_CHANNELS];
	int channels;
	ints16 live; /* all bits, or none */
};

static void set_finish(struct finish *to, const struct cop_image_source *s, int n)
{
	to->channels = s->channels;
	for (int k = 0; k < LANES + COP_GATHER_CHANNELS; k++) {
		to->scale[k] = s->scale[k % s->channels];
		to->shift[k] = s->shift[k % s->channels];
	}
	for (int i = 0; i < LANES; i++)
		to->live[i] = i < n ? -1 : 0;
}

/* Each round turns the eight bits of (row, column) by one, so four of them change rows for columns. */
static inline __attribute__((always_inline)) void transpose(bytes16 v[LANES])
{
	for (int round = 0; round < 4; round++) {
		bytes16 w[LANES];
		for (int i = 0; i < LANES / 2; i++) {
			w[2 * i] = LOW(v[i], v[i + LANES / 2]);
			w[2 * i + 1] = HIGH(v[i], v[i + LANES / 2]);
		}
		memcpy(v, w, sizeof(w));
	}
}

/* n features from sixteen lines of bytes, the first of channel 0. Lines are read up to n rounded up to 16. */
COP_CLONES static void lines_out(const uint8_t *const *line, size_t n, const struct finish *to, int ld, float *x)
{
	int channel = 0;
	for (size_t f = 0; f < n; f += LANES) {
		bytes16 v[LANES];
		for (int i = 0; i < LANES; i++)
			memcpy(&v[i], line[i] + f, sizeof(v[i]));
		transpose(v);
		int rows = n - f < LANES ? (int)(n - f) : LANES;
		const float *scale = to->scale + channel, *shift = to->shift + channel;
		for (int k = 0; k < rows; k++, x += ld) {
			floats16 value = __builtin_convertvector(v[k], floats16) * scale[k] + shift[k];
			*(loose16 *)x = (floats16)((ints16)value & to->live);
		}
		channel = (channel + LANES) % to->channels;
	}
}

static size_t features_of(const struct cop_image_source *s)
{
	return (size_t)s->height * (size_t)s->width * (size_t)s->channels;
}

static const uint8_t *image_of(const struct cop_image_source *s, const struct cop_pick *p)
{
	return s->images + (size_t)p->index * features_of(s);
}

static bool stands(const struct cop_pick *p)
{
	return !p->dy && !p->dx && !p->flip && !p->box.height;
}

/* Images that stand as they are: each is one long line already, whose last part is put where more can be read. */
static void gather_plain(const struct cop_image_source *s, const struct cop_pick *pick, int n, const struct finish *to,
			 int ld, float *x)
{
	size_t features = features_of(s), whole = features / LANES * LANES, left = features - whole;
	const uint8_t *line[LANES];
	uint8_t end[LANES][LANES] = {{0}};
	for (int i = 0; i < LANES; i++)
		line[i] = image_of(s, &pick[i < n ? i : 0]);
	lines_out(line, whole, to, ld, x);
	if (!left)
		return;
	struct finish rest = *to;
	for (size_t k = 0; k < left; k++) {
		rest.scale[k] = s->scale[(whole + k) % (size_t)s->channels];
		rest.shift[k] = s->shift[(whole + k) % (size_t)s->channels];
	}
	for (int i = 0; i < LANES; i++) {
		memcpy(end[i], line[i] + whole, left);
		line[i] = end[i];
	}
	lines_out(line, left, &rest, ld, x + whole * (size_t)ld);
}

static void mirrored(const uint8_t *from, int n, int channels, uint8_t *out)
{
	if (channels == 1) {
		for (int k = 0; k < n; k++)
			out[k] = from[-k];
	} else if (channels == 3) {
		for (int k = 0; k < n; k++, out += 3, from -= 3) {
			out[0] = from[0];
			out[1] = from[1];
			out[2] = from[2];
		}
	} else {
		for (int k = 0; k < n; k++, out += channels, from -= channels)
			memcpy(out, from, (size_t)channels);
	}
}

/* Pixels first..first+n-1 of row y of a moved and mirrored image. */
static void moved_line(const struct cop_image_source *s, const struct cop_pick *p, int y, int first, int n,
		       uint8_t *out)
{
	int nc = s->channels, row = y + p->dy;
	/* where the image lies in the row: pixel k is the image's k + dx, or width-1-k + dx if mirrored */
	int from = p->flip ? p->dx : -p->dx, to = from + s->width;
	from = from < first ? first : from;
	to = to > first + n ? first + n : to;
	if (row < 0 || row >= s->height || from >= to) {
		memset(out, 0, (size_t)(n * nc));
		return;
	}
	const uint8_t *pixels = image_of(s, p) + (size_t)row * (size_t)(s->width * nc);
	memset(out, 0, (size_t)((from - first) * nc));
	memset(out + (to - first) * nc, 0, (size_t)((first + n - to) * nc));
	out += (from - first) * nc;
	if (p->flip)
		mirrored(pixels + (s->width - 1 - from + p->dx) * nc, to - from, nc, out);
	else
		memcpy(out, pixels + (from + p->dx) * nc, (size_t)((to - from) * nc));
}

static void gather_moved(const struct cop_image_source *s, const struct cop_pick *pick, int n, const struct finish *to,
			 int ld, float *x)
{
	uint8_t buffer[LANES][LINE] = {{0}};
	const uint8_t *line[LANES];
	for (int i = 0; i < LANES; i++)
		line[i] = buffer[i];
	for (int y = 0; y < s->height; y++)
		for (int first = 0; first < s->width; first += SEGMENT) {
			int pixels = s->width - first < SEGMENT ? s->width - first : SEGMENT;
			for (int i = 0; i < n; i++)
				moved_line(s, &pick[i], y, first, pixels, buffer[i]);
			lines_out(line, (size_t)(pixels * s->channels), to, ld, x);
			x += (size_t)(pixels * s->channels) * (size_t)ld;
		}
}

/*
 * Boxes. Every row of a box is stretched to the image's width once, into one of two slots by its number being even or
 * odd; a row of the output is then a mean of the two slots, for sixteen images at a time.
 */
struct lane {
	const struct cop_pick *pick;
	const uint8_t *corner; /* first pixel of the box; NULL: a moved image */
	int rows, held[2];     /* the box's height, and which of its rows lie in the slots (-1: none) */
	uint32_t at[SEGMENT],
		next[SEGMENT]; /* the two pixels, as offsets in the row, that an output pixel is made of */
	float weight[SEGMENT]; /* of `next` */
};

struct slots {
	float row[2][LINE][LANES];
	float weight[2][LANES]; /* of the slots in the row under way */
};

/* Where output pixel k of `to` lies among `from`: between *at and *at + 1, which does not pass the edge. */
static float place(int k, int from, int to, int *at)
{
	double source = (k + 0.5) * from / to - 0.5;
	if (source < 0)
		source = 0;
	*at = (int)source;
	return *at >= from - 1 ? 0.0f : (float)(source - *at);
}

static void set_lane(struct lane *l, const struct cop_image_source *s, const struct cop_pick *p, int first, int n)
{
	const struct cop_box *b = &p->box;
	l->pick = p;
	l->held[0] = l->held[1] = -1;
	l->rows = b->height ? b->height : s->height;
	l->corner = b->height ? image_of(s, p) + ((size_t)b->top * (size_t)s->width + b->left) * (size_t)s->channels
			      : NULL;
	for (int k = 0; k < n && l->corner; k++) {
		int at;
		l->weight[k] = place(p->flip ? s->width - 1 - (first + k) : first + k, b->width, s->width, &at);
		l->at[k] = (uint32_t)(at * s->channels);
		l->next[k] = (uint32_t)((at + (l->weight[k] > 0.0f)) * s->channels);
	}
}

/* A row of the box, stretched, into lane i of its slot. */
static void fetch_row(const struct cop_image_source *s, struct lane *l, int row, int first, int n, int i,
		      struct slots *slots)
{
	int nc = s->channels;
	float(*out)[LANES] = slots->row[row & 1];
	if (l->held[row & 1] == row)
		return;
	l->held[row & 1] = row;
	if (!l->corner) {
		uint8_t line[LINE];
		moved_line(s, l->pick, row, first, n, line);
		for (int f = 0; f < n * nc; f++)
			out[f][i] = line[f];
		return;
	}
	const uint8_t *pixels = l->corner + (size_t)row * (size_t)(s->width * nc);
	for (int k = 0; k < n; k++) {
		const uint8_t *a = pixels + l->at[k], *b = pixels + l->next[k];
		for (int c = 0; c < nc; c++, out++)
			(*out)[i] = (float)a[c] + l->weight[k] * (float)(b[c] - a[c]);
	}
}

COP_CLONES static void slots_out(const struct slots *slots, int n, const struct finish *to, int ld, float *x)
{
	floats16 even = *(const floats16 *)(const void *)slots->weight[0],
		 odd = *(const floats16 *)(const void *)slots->weight[1];
	for (int f = 0, channel = 0; f < n; f++, x += ld) {
		floats16 a = *(const floats16 *)(const void *)slots->row[0][f],
			 b = *(const floats16 *)(const void *)slots->row[1][f];
		floats16 value = (a * even + b * odd) * to->scale[channel] + to->shift[channel];
		*(loose16 *)x = (floats16)((ints16)value & to->live);
		channel = channel + 1 == to->channels ? 0 : channel + 1;
	}
}

static void gather_boxes(const struct cop_image_source *s, const struct cop_pick *pick, int n, const struct finish *to,
			 int ld, float *x)
{
	struct lane lane[LANES];
	_Alignas(64) struct slots slots;
	memset(&slots, 0, sizeof(slots));
	for (int first = 0; first < s->width; first += SEGMENT) {
		int pixels = s->width - first < SEGMENT ? s->width - first : SEGMENT;
		for (int i = 0; i < n; i++)
			set_lane(&lane[i], s, &pick[i], first, pixels);
		for (int y = 0; y < s->height; y++) {
			for (int i = 0; i < n; i++) {
				int row;
				float weight = place(y, lane[i].rows, s->height, &row);
				fetch_row(s, &lane[i], row, first, pixels, i, &slots);
				if (weight > 0.0f)
					fetch_row(s, &lane[i], row + 1, first, pixels, i, &slots);
				slots.weight[row & 1][i] = 1.0f - weight;
				slots.weight[(row + 1) & 1][i] = weight;
			}
			size_t feature = ((size_t)y * (size_t)s->width + (size_t)first) * (size_t)s->channels;
			slots_out(&slots, pixels * s->channels, to, ld, x + feature * (size_t)ld);
		}
	}
}

void cop_gather16(const struct cop_image_source *s, const struct cop_pick *pick, int n, int ld, float *x)
{
	int boxes = 0, still = 0;
	for (int i = 0; i < n; i++) {
		boxes += pick[i].box.height != 0;
		still += stands(&pick[i]);
	}
	struct finish to;
	set_finish(&to, s, n);
	if (boxes)
		gather_boxes(s, pick, n, &to, ld, x);
	else if (n > 0 && still == n)
		gather_plain(s, pick, n, &to, ld, x);
	else
		gather_moved(s, pick, n, &to, ld, x);
}
