/*
 * Baseline JPEGs into means of cells; see jpeg_scan.h.
 *
 * The inverse cosine transform is linear. The mean of cell (i,j) of a block is the sum over its 64 coefficients F(u,v)
 * of F(u,v) * quantizer(u,v) * a(u,i) * a(v,j), where a(u,i) is the mean over the cell's pixels x of c(u)/2 *
 * cos((2x+1)u*pi/16), c(0) = 1/sqrt(2), c(u) = 1. The products are put into a table once an image. Sums are float32,
 * added in the order of the file, so they have the same bits everywhere.
 *
 * A component with fewer samples than the image gets smaller cells instead, so that all have the same number of means
 * and none is scaled up.
 */
#include "data/jpeg_scan.h"

#include "base/clones.h"
#include "data/jpeg_huffman.h"

#include <stdlib.h>

enum { COMPONENTS = 3, PLACES = 64 };

/* The order in which coefficients are stored, as v * 8 + u. */
static const uint8_t zigzag[PLACES] = {
	0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,  12, 19, 26, 33, 40, 48,
	41, 34, 27, 20, 13, 6,  7,  14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23,
	30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

struct component {
	int across, down; /* blocks in a unit (T.81's MCU) */
	int wide, high;   /* means in a block */
	const struct cop_huffman *dc, *ac;
	int predicted; /* the last block's first coefficient */
	float *effect; /* (64, high, wide): of a coefficient of 1 on each mean */
	float *line;   /* (rows of a line of units, stride): means */
};

struct scan {
	struct cop_huffman huffman[COMPONENTS][2]; /* dc, ac */
	float effect[COMPONENTS][PLACES * PLACES];
	struct component component[COMPONENTS]; /* in the order of the scan */
	int place[COMPONENTS];                  /* by component of the image: its place in the scan */
	int n;                                  /* components */
	int cell, units_across, units_down;
	int rows;      /* of means in a line of units */
	size_t stride; /* means in a row of `line` */
	unsigned interval;
	struct cop_bits bits;
	const uint8_t *in, *in_end; /* of the file */
	uint8_t *clean;             /* what stands between two markers, without the zeros behind 0xFF */
	size_t clean_len;
	int next_restart;
};

static double effect_1d(int u, int i, int n)
{
	/* cos(k * pi / 16) */
	static const double cosine[9] = {1,
					 0.98078528040323044913,
					 0.92387953251128675613,
					 0.83146961230254523708,
					 0.70710678118654752440,
					 0.55557023301960222474,
					 0.38268343236508977173,
					 0.19509032201612826785,
					 0};
	int each = 8 / n;
	double sum = 0;
	for (int x = i * each; x < (i + 1) * each; x++) {
		int k = (2 * x + 1) * u % 32;
		k = k > 16 ? 32 - k : k;
		sum += k > 8 ? -cosine[16 - k] : cosine[k];
	}
	return sum / each * (u ? 0.5 : 0.5 * cosine[4]);
}

static void find_effects(struct component *c, const JQUANT_TBL *quantizer)
{
	double down[8][8], across[8][8];
	for (int u = 0; u < 8; u++) {
		for (int i = 0; i < c->high; i++)
			down[u][i] = effect_1d(u, i, c->high);
		for (int i = 0; i < c->wide; i++)
			across[u][i] = effect_1d(u, i, c->wide);
	}
	float *to = c->effect;
	for (int k = 0; k < PLACES; k++) {
		int u = zigzag[k] % 8, v = zigzag[k] / 8;
		double q = quantizer->quantval[zigzag[k]];
		for (int j = 0; j < c->high; j++)
			for (int i = 0; i < c->wide; i++)
				*to++ = (float)(q * down[v][j] * across[u][i]);
	}
}

static bool is_baseline(const struct jpeg_decompress_struct *j)
{
	return j->data_precision == 8 && !j->progressive_mode && !j->arith_code && j->Ss == 0 && j->Se == 63 &&
	       j->Ah == 0 && j->Al == 0 && j->comps_in_scan == j->num_components &&
	       ((j->num_components == 3 && j->jpeg_color_space == JCS_YCbCr) ||
		(j->num_components == 1 && j->jpeg_color_space == JCS_GRAYSCALE));
}

static bool set_tables(struct scan *s, const struct jpeg_decompress_struct *j, int at)
{
	const jpeg_component_info *from = j->cur_comp_info[at];
	struct component *c = &s->component[at];
	if (from->dc_tbl_no < 0 || from->dc_tbl_no >= NUM_HUFF_TBLS || from->ac_tbl_no < 0 ||
	    from->ac_tbl_no >= NUM_HUFF_TBLS)
		return false;
	const JHUFF_TBL *dc = j->dc_huff_tbl_ptrs[from->dc_tbl_no], *ac = j->ac_huff_tbl_ptrs[from->ac_tbl_no];
	c->dc = &s->huffman[at][0];
	c->ac = &s->huffman[at][1];
	return dc && ac && cop_huffman_build(&s->huffman[at][0], dc->bits, dc->huffval, true) &&
	       cop_huffman_build(&s->huffman[at][1], ac->bits, ac->huffval, false);
}

static bool set_component(struct scan *s, const struct jpeg_decompress_struct *j, int at)
{
	const jpeg_component_info *from = j->cur_comp_info[at];
	struct component *c = &s->component[at];
	bool alone = s->n == 1;
	int most_across = alone ? 1 : j->max_h_samp_factor, most_down = alone ? 1 : j->max_v_samp_factor;
	c->across = alone ? 1 : from->h_samp_factor;
	c->down = alone ? 1 : from->v_samp_factor;
	if (from->component_index < 0 || from->component_index >= s->n || most_across % c->across ||
	    most_down % c->down)
		return false;
	c->wide = 8 / s->cell * (most_across / c->across);
	c->high = 8 / s->cell * (most_down / c->down);
	c->effect = s->effect[at];
	s->place[from->component_index] = at;
	const JQUANT_TBL *quantizer = from->quant_tbl_no >= 0 && from->quant_tbl_no < NUM_QUANT_TBLS
					      ? j->quant_tbl_ptrs[from->quant_tbl_no]
					      : NULL;
	if (c->wide > 8 || c->high > 8 || (c->wide & (c->wide - 1)) || (c->high & (c->high - 1)) || !quantizer)
		return false;
	find_effects(c, quantizer);
	return true;
}

static bool set_up(struct scan *s, const struct jpeg_decompress_struct *j, int cell)
{
	s->n = j->num_components;
	s->cell = cell;
	s->interval = j->restart_interval;
	s->in = j->src->next_input_byte;
	s->in_end = s->in + j->src->bytes_in_buffer;
	int blocks = 0;
	for (int i = 0; i < s->n; i++) {
		if (!set_component(s, j, i))
			return false;
		blocks += s->component[i].across * s->component[i].down;
	}
	if (blocks > D_MAX_BLOCKS_IN_MCU)
		return false;
	for (int i = 0; i < s->n; i++)
		if (!set_tables(s, j, i))
			return false;
	unsigned wide = 8u * (unsigned)(s->n == 1 ? 1 : j->max_h_samp_factor);
	unsigned high = 8u * (unsigned)(s->n == 1 ? 1 : j->max_v_samp_factor);
	s->units_across = (int)((j->image_width + wide - 1) / wide);
	s->units_down = (int)((j->image_height + high - 1) / high);
	s->rows = (int)high / cell;
	s->stride = (size_t)s->units_across * (wide / (unsigned)cell);
	return true;
}

static bool set_room(struct scan *s)
{
	s->clean = malloc((size_t)(s->in_end - s->in) + COP_HUFFMAN_BEYOND);
	for (int i = 0; i < s->n; i++)
		s->component[i].line = malloc((size_t)s->rows * s->stride * sizeof(float));
	for (int i = 0; i < s->n; i++)
		if (!s->component[i].line)
			return false;
	return s->clean != NULL;
}

/* What stands up to the next marker, into `clean`. Returns the marker, or 0 where the file ends or is odd. */
static int clean_segment(struct scan *s)
{
	uint8_t *to = s->clean;
	for (;;) {
		const uint8_t *mark = memchr(s->in, 0xFF, (size_t)(s->in_end - s->in));
		if (!mark || s->in_end - mark < 2)
			return 0;
		size_t n = (size_t)(mark - s->in);
		memcpy(to, s->in, n);
		to += n;
		s->in = mark + 2;
		if (mark[1] != 0) {
			s->clean_len = (size_t)(to - s->clean);
			memset(to, 0, COP_HUFFMAN_BEYOND);
			return mark[1];
		}
		*to++ = 0xFF;
	}
}

/* The bits of a segment must have been used up, but for what fills the last byte. */
static bool at_end(const struct scan *s)
{
	const struct cop_bits *b = &s->bits;
	ptrdiff_t used = (b->at - s->clean) * 8 - (ptrdiff_t)b->held, all = (ptrdiff_t)s->clean_len * 8;
	return used <= all && all - used < 8;
}

static bool begin_segment(struct scan *s, bool last)
{
	int marker = clean_segment(s), wanted = last ? 0xD9 : 0xD0 + s->next_restart;
	s->next_restart = (s->next_restart + 1) & 7;
	s->bits = (struct cop_bits){.at = s->clean};
	for (int i = 0; i < s->n; i++)
		s->component[i].predicted = 0;
	return marker == wanted;
}

/* One block, from the bits into sums of N means. False where there is no such code, or a coefficient beyond the last.
 */
#define READ_BLOCK(N)                                                                                        \
	typedef float means_##N __attribute__((vector_size(4 * (N)), aligned(4), may_alias));                \
	static inline __attribute__((always_inline)) bool read_block_##N(                                    \
		struct cop_bits *b, const struct cop_huffman *ac, const float *effect, float dc, float *out) \
	{                                                                                                    \
		const means_##N *e = (const means_##N *)effect;                                              \
		means_##N sum = dc * e[0];                                                                   \
		unsigned k = 0;                                                                              \
		int value;                                                                                   \
		do {                                                                                         \
			cop_bits_fill(b);                                                                    \
			unsigned step = cop_huffman_next(ac, b, &value);                                     \
			k += step;                                                                           \
			if (k >= PLACES) {                                                                   \
				*(means_##N *)out = sum;                                                     \
				return step == COP_HUFFMAN_END;                                              \
			}                                                                                    \
			sum += (float)value * e[k];                                                          \
			if (k == PLACES - 1)                                                                 \
				break;                                                                       \
			step = cop_huffman_next(ac, b, &value);                                              \
			k += step;                                                                           \
			if (k >= PLACES) {                                                                   \
				*(means_##N *)out = sum;                                                     \
				return step == COP_HUFFMAN_END;                                              \
			}                                                                                    \
			sum += (float)value * e[k];                                                          \
		} while (k < PLACES - 1);                                                                    \
		*(means_##N *)out = sum;                                                                     \
		return true;                                                                                 \
	}

READ_BLOCK(2)
READ_BLOCK(4)
READ_BLOCK(8)
READ_BLOCK(16)
READ_BLOCK(32)
READ_BLOCK(64)

/* The first coefficient alone: the others do not change the mean of the whole block. */
static inline __attribute__((always_inline)) bool read_block_1(struct cop_bits *b, const struct cop_huffman *ac,
							       const float *effect, float dc, float *out)
{
	int value;
	*out = dc * effect[0];
	for (unsigned k = 0; k < PLACES - 1;) {
		cop_bits_fill(b);
		unsigned step = cop_huffman_next(ac, b, &value);
		k += step;
		if (k >= PLACES)
			return step == COP_HUFFMAN_END;
	}
	return true;
}

static inline __attribute__((always_inline)) bool read_block(struct scan *s, struct cop_bits *b, struct component *c,
							     float *out)
{
	const struct cop_huffman *ac = c->ac;
	cop_bits_fill(b);
	int change;
	if (cop_huffman_next(c->dc, b, &change) == COP_HUFFMAN_BAD || b->at > s->clean + s->clean_len + 8)
		return false;
	c->predicted += change;
	float dc = (float)c->predicted;
	switch (c->wide * c->high) {
	case 1:
		return read_block_1(b, ac, c->effect, dc, out);
	case 2:
		return read_block_2(b, ac, c->effect, dc, out);
	case 4:
		return read_block_4(b, ac, c->effect, dc, out);
	case 8:
		return read_block_8(b, ac, c->effect, dc, out);
	case 16:
		return read_block_16(b, ac, c->effect, dc, out);
	case 32:
		return read_block_32(b, ac, c->effect, dc, out);
	default:
		return read_block_64(b, ac, c->effect, dc, out);
	}
}

/* `n` is 1, 2, 4 or 8; a call for so few bytes would cost more than the copying. */
static inline __attribute__((always_inline)) void copy_row(float *to, const float *from, size_t n)
{
	if (n == 8)
		memcpy(to, from, 8 * sizeof(*to));
	else if (n == 4)
		memcpy(to, from, 4 * sizeof(*to));
	else if (n == 2)
		memcpy(to, from, 2 * sizeof(*to));
	else
		*to = *from;
}

/* One unit: the blocks of each component, into its place in their lines. */
static inline __attribute__((always_inline)) bool read_unit(struct scan *s, struct cop_bits *b, int unit)
{
	float out[PLACES];
	for (int i = 0; i < s->n; i++) {
		struct component *c = &s->component[i];
		size_t wide = (size_t)c->wide;
		for (int block = 0; block < c->across * c->down; block++) {
			size_t x = (size_t)(unit * c->across + block % c->across) * wide;
			int y = block / c->across * c->high;
			if (!read_block(s, b, c, out))
				return false;
			for (int row = 0; row < c->high; row++)
				copy_row(c->line + (size_t)(y + row) * s->stride + x, out + (size_t)row * wide, wide);
		}
	}
	return true;
}

/* Units `from` to `to` of a line. */
COP_CLONES static bool read_units(struct scan *s, int from, int to)
{
	struct cop_bits b = s->bits;
	for (int unit = from; unit < to; unit++)
		if (!read_unit(s, &b, unit))
			return false;
	s->bits = b;
	return true;
}

static inline uint8_t to_byte(float v)
{
	v = v > 0 ? v : 0;
	v = v < 255 ? v : 255;
	return (uint8_t)(int32_t)(v + 0.5f);
}

/* JFIF's colours (ITU-R 601, the full range). */
COP_CLONES static void to_rgb(const float *restrict y, const float *restrict cb, const float *restrict cr, size_t n,
			      uint8_t *restrict out)
{
	for (size_t i = 0; i < n; i++) {
		float light = y[i] + 128;
		out[3 * i] = to_byte(light + 1.402f * cr[i]);
		out[3 * i + 1] = to_byte(light - 0.344136f * cb[i] - 0.714136f * cr[i]);
		out[3 * i + 2] = to_byte(light + 1.772f * cb[i]);
	}
}

COP_CLONES static void to_grey(const float *restrict y, size_t n, uint8_t *restrict out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = to_byte(y[i] + 128);
}

static void put_line(const struct scan *s, int line, struct cop_image *im)
{
	int rows = (im->height + s->cell - 1) / s->cell;
	size_t columns = ((size_t)im->width + (size_t)s->cell - 1) / (size_t)s->cell;
	for (int i = 0; i < s->rows && line * s->rows + i < rows; i++) {
		uint8_t *out = im->pixel + (size_t)(line * s->rows + i) * columns * (size_t)im->channels;
		const float *v[COMPONENTS];
		for (int c = 0; c < s->n; c++)
			v[c] = s->component[s->place[c]].line + (size_t)i * s->stride;
		if (s->n == 1)
			to_grey(v[0], columns, out);
		else
			to_rgb(v[0], v[1], v[2], columns, out);
	}
}

/* All units, cut into lines and restart intervals. */
static bool read_all(struct scan *s, struct cop_image *im)
{
	size_t all = (size_t)s->units_across * (size_t)s->units_down, done = 0, segment = 0;
	for (int line = 0; line < s->units_down; line++) {
		for (int unit = 0; unit < s->units_across;) {
			if (done == segment) {
				if (done && !at_end(s))
					return false;
				segment = s->interval && all - done > s->interval ? done + s->interval : all;
				if (!begin_segment(s, segment == all))
					return false;
			}
			size_t left = segment - done, here = (size_t)(s->units_across - unit);
			int n = (int)(left < here ? left : here);
			if (!read_units(s, unit, unit + n))
				return false;
			unit += n;
			done += (size_t)n;
		}
		put_line(s, line, im);
	}
	return at_end(s);
}

bool cop_jpeg_scan(const struct jpeg_decompress_struct *jpeg, struct cop_image *im)
{
	/* no zeros: it is large, and what is used of it is set */
	struct scan *s = is_baseline(jpeg) ? malloc(sizeof(*s)) : NULL;
	if (!s)
		return false;
	memset(s->component, 0, sizeof(s->component));
	s->clean = NULL;
	s->next_restart = 0;
	bool done = set_up(s, jpeg, im->cell) && set_room(s) && read_all(s, im);
	for (int i = 0; i < COMPONENTS; i++)
		free(s->component[i].line);
	free(s->clean);
	free(s);
	return done;
}
