/* Counting keys; see tally.h. */
#include "prune/tally.h"

#include <string.h>

/* The loops that vectorise, for each generation of the processor; the choice is made when the program starts. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_UNDEFINED__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif

#define KEY uint32_t
#define REAL float
#define BITS 31
#define NAME(f) f##32
#include "prune/tally.inc"
#undef KEY
#undef REAL
#undef BITS
#undef NAME

#define KEY uint64_t
#define REAL double
#define BITS 63
#define NAME(f) f##64
#include "prune/tally.inc"

/* float16's exponent and mantissa, moved to float32's places, are 2^112 too small; that holds for denormals too. */
CLONES static void widen_half(const void *in, uint32_t *key, size_t n)
{
	uint16_t half[COP_RUN];
	memcpy(half, in, n * sizeof(*half));
	for (size_t i = 0; i < n; i++) {
		uint32_t bits = (uint32_t)(half[i] & 0x7fff) << 13;
		float f;
		memcpy(&f, &bits, sizeof(f));
		f *= 0x1p112f;
		memcpy(&bits, &f, sizeof(f));
		/* infinity and NaN became 2^16 and more */
		key[i] = bits | ((half[i] & 0x7c00) == 0x7c00 ? 0x7f800000u : 0);
	}
}

CLONES static void widen_float(const uint32_t *from, uint64_t *key, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		float f;
		memcpy(&f, &from[i], sizeof(f));
		double d = (double)f;
		memcpy(&key[i], &d, sizeof(d));
	}
}

CLONES static void load32(const void *in, enum cop_float type, void *keys, size_t n)
{
	uint32_t *key = keys;
	if (type == COP_FLOAT16) {
		widen_half(in, key, n);
		return;
	}
	memcpy(key, in, n * sizeof(*key));
	for (size_t i = 0; i < n; i++)
		key[i] &= UINT32_MAX >> 1;
}

CLONES static void load64(const void *in, enum cop_float type, void *keys, size_t n)
{
	uint64_t *key = keys;
	if (type != COP_FLOAT64) {
		uint32_t narrow[COP_RUN];
		load32(in, type, narrow, n);
		widen_float(narrow, key, n);
		return;
	}
	memcpy(key, in, n * sizeof(*key));
	for (size_t i = 0; i < n; i++)
		key[i] &= UINT64_MAX >> 1;
}

const struct cop_kernels *cop_kernels_for(enum cop_float type)
{
	static const struct cop_kernels narrow = {
		.bits = 31,
		.width = sizeof(uint32_t),
		.largest = UINT64_C(0x7f800000),
		.value = value32,
		.load = load32,
		.survey = survey32,
		.count_top = count_top32,
		.count_level = count_level32,
	};
	static const struct cop_kernels wide = {
		.bits = 63,
		.width = sizeof(uint64_t),
		.largest = UINT64_C(0x7ff0000000000000),
		.value = value64,
		.load = load64,
		.survey = survey64,
		.count_top = count_top64,
		.count_level = count_level64,
	};
	return type == COP_FLOAT64 ? &wide : &narrow;
}
