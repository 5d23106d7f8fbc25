/* Random numbers; see rng.h. */
#include "base/rng.h"

#include <math.h>

static void round_once(uint32_t x[4], const uint32_t k[2])
{
	uint64_t a = (uint64_t)0xD2511F53u * x[0];
	uint64_t b = (uint64_t)0xCD9E8D57u * x[2];
	uint32_t y1 = x[1], y3 = x[3];
	x[0] = (uint32_t)(b >> 32) ^ y1 ^ k[0];
	x[1] = (uint32_t)b;
	x[2] = (uint32_t)(a >> 32) ^ y3 ^ k[1];
	x[3] = (uint32_t)a;
}

void cop_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
	uint32_t x[4] = {counter[0], counter[1], counter[2], counter[3]};
	uint32_t k[2] = {key[0], key[1]};
	for (int r = 0; r < 10; r++) {
		round_once(x, k);
		k[0] += 0x9E3779B9u;
		k[1] += 0xBB67AE85u;
	}
	for (int i = 0; i < 4; i++)
		out[i] = x[i];
}

void cop_stream_init(struct cop_stream *s, uint64_t seed, enum cop_purpose purpose, uint32_t epoch, uint32_t item)
{
	*s = (struct cop_stream){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
				 .counter = {0, item, epoch, (uint32_t)purpose}};
}

uint32_t cop_stream_u32(struct cop_stream *s)
{
	if (s->left == 0) {
		cop_philox4x32(s->counter, s->key, s->block);
		s->counter[0]++;
		s->left = 4;
	}
	return s->block[4 - s->left--];
}

uint32_t cop_stream_below(struct cop_stream *s, uint32_t n)
{
	uint64_t m = (uint64_t)cop_stream_u32(s) * n;
	if ((uint32_t)m < n) {
		uint32_t floor = (0u - n) % n;
		while ((uint32_t)m < floor)
			m = (uint64_t)cop_stream_u32(s) * n;
	}
	return (uint32_t)(m >> 32);
}

double cop_stream_uniform(struct cop_stream *s)
{
	uint64_t high = cop_stream_u32(s) >> 5, low = cop_stream_u32(s) >> 6;
	return (double)(high * 67108864u + low) * 0x1p-53;
}

double cop_stream_normal(struct cop_stream *s)
{
	double u = 1.0 - cop_stream_uniform(s), v = cop_stream_uniform(s);
	return sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v);
}

void cop_permutation(uint32_t *perm, size_t n, uint64_t seed, enum cop_purpose purpose, uint32_t epoch)
{
	struct cop_stream s;
	cop_stream_init(&s, seed, purpose, epoch, 0);
	for (size_t i = 0; i < n; i++)
		perm[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		uint32_t j = cop_stream_below(&s, (uint32_t)i);
		uint32_t t = perm[i - 1];
		perm[i - 1] = perm[j];
		perm[j] = t;
	}
}
