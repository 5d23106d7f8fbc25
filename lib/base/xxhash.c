/* XXH64; see xxhash.h. */
#include "base/xxhash.h"

#include <endian.h>
#include <string.h>

static const uint64_t prime[] = {UINT64_C(0x9e3779b185ebca87), UINT64_C(0xc2b2ae3d27d4eb4f),
				 UINT64_C(0x165667b19e3779f9), UINT64_C(0x85ebca77c2b2ae63),
				 UINT64_C(0x27d4eb2f165667c5)};

static uint64_t rotate(uint64_t v, int bits)
{
	return v << bits | v >> (64 - bits);
}

/* Little-endian, whatever the machine is. */
static uint64_t word8(const unsigned char *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint64_t word4(const unsigned char *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t mix(uint64_t lane, uint64_t input)
{
	return rotate(lane + input * prime[1], 31) * prime[0];
}

static const unsigned char *stripes(struct cop_xxh *h, const unsigned char *p, size_t n)
{
	uint64_t a = h->lane[0], b = h->lane[1], c = h->lane[2], d = h->lane[3];
	for (; n; n--, p += COP_XXH_STRIPE) {
		a = mix(a, word8(p));
		b = mix(b, word8(p + 8));
		c = mix(c, word8(p + 16));
		d = mix(d, word8(p + 24));
	}
	h->lane[0] = a, h->lane[1] = b, h->lane[2] = c, h->lane[3] = d;
	return p;
}

void cop_xxh_begin(struct cop_xxh *h)
{
	*h = (struct cop_xxh){.lane = {prime[0] + prime[1], prime[1], 0, -prime[0]}};
}

void cop_xxh_add(struct cop_xxh *h, const void *data, size_t n)
{
	const unsigned char *p = data;
	size_t held = h->total % COP_XXH_STRIPE;
	if (n == 0)
		return;
	h->total += n;
	if (held) {
		size_t wanted = COP_XXH_STRIPE - held, taken = n < wanted ? n : wanted;
		memcpy(h->rest + held, p, taken);
		p += taken;
		n -= taken;
		if (taken < wanted)
			return;
		stripes(h, h->rest, 1);
	}
	p = stripes(h, p, n / COP_XXH_STRIPE);
	memcpy(h->rest, p, n % COP_XXH_STRIPE);
}

/* The four lanes as one; an input shorter than a stripe never used them. */
static uint64_t join(const struct cop_xxh *h)
{
	if (h->total < COP_XXH_STRIPE)
		return prime[4];
	static const int turn[] = {1, 7, 12, 18};
	uint64_t v = 0;
	for (int i = 0; i < 4; i++)
		v += rotate(h->lane[i], turn[i]);
	for (int i = 0; i < 4; i++)
		v = (v ^ mix(0, h->lane[i])) * prime[0] + prime[3];
	return v;
}

uint64_t cop_xxh_end(const struct cop_xxh *h)
{
	uint64_t v = join(h) + h->total;
	const unsigned char *p = h->rest;
	size_t n = h->total % COP_XXH_STRIPE;
	for (; n >= 8; n -= 8, p += 8)
		v = rotate(v ^ mix(0, word8(p)), 27) * prime[0] + prime[3];
	if (n >= 4) {
		v = rotate(v ^ word4(p) * prime[0], 23) * prime[1] + prime[2];
		n -= 4, p += 4;
	}
	for (; n; n--, p++)
		v = rotate(v ^ *p * prime[4], 11) * prime[0];
	v = (v ^ v >> 33) * prime[1];
	v = (v ^ v >> 29) * prime[2];
	return v ^ v >> 32;
}
