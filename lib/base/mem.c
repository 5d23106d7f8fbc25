/* Memory; see mem.h. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *or_die(void *p, size_t bytes)
{
	if (!p) {
		fprintf(stderr, "coppice: out of memory (%zu bytes wanted)\n", bytes);
		exit(1);
	}
	return p;
}

void *cop_xmalloc(size_t bytes)
{
	return or_die(malloc(bytes ? bytes : 1), bytes);
}

void *cop_xcalloc(size_t n, size_t size)
{
	return or_die(calloc(n ? n : 1, size ? size : 1), n * size);
}

void *cop_xrealloc(void *p, size_t n, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes))
		or_die(NULL, SIZE_MAX);
	return or_die(realloc(p, bytes ? bytes : 1), bytes);
}

char *cop_xstrdup(const char *s)
{
	return or_die(strdup(s), strlen(s) + 1);
}

char *cop_xvasprintf(const char *fmt, va_list ap)
{
	char *s = NULL;
	int n = vasprintf(&s, fmt, ap);
	return or_die(n < 0 ? NULL : s, strlen(fmt));
}

char *cop_xasprintf(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *s = cop_xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

enum { LARGE_PAGE = 2 << 20, LARGE_FROM = 32 << 20 };

int cop_alloc(void *p, size_t n, size_t size, const char *what, struct cop_err *err)
{
	size_t bytes, padded;
	if (__builtin_mul_overflow(n, size, &bytes) || __builtin_add_overflow(bytes, (size_t)127, &padded))
		return cop_fail(err, COP_EFAILED, "the size of %s overflows", what);
	/* large ones in large pages, where the system gives them on request: strided loops miss fewer translations */
	size_t alignment = padded >= LARGE_FROM ? LARGE_PAGE : 64;
	padded = padded / alignment * alignment;
	padded += padded < bytes ? alignment : 0;
	void *got = aligned_alloc(alignment, padded);
	if (!got)
		return cop_fail(err, COP_EFAILED, "out of memory: %zu bytes wanted for %s", bytes, what);
	if (alignment == LARGE_PAGE)
		(void)madvise(got, padded, MADV_HUGEPAGE);
	memset(got, 0, padded);
	memcpy(p, &got, sizeof(got));
	return 0;
}

void *cop_grow(void *array, size_t *cap, size_t need, size_t size)
{
	if (need <= *cap)
		return array;
	size_t wanted = *cap ? *cap * 2 : 8;
	*cap = wanted < need ? need : wanted;
	return cop_xrealloc(array, *cap, size);
}
