/* Strings; see str.h. */
#include "base/str.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cop_str_addn(struct cop_str *b, const char *s, size_t n)
{
	b->s = cop_grow(b->s, &b->cap, b->len + n + 1, 1);
	memcpy(b->s + b->len, s, n);
	b->len += n;
	b->s[b->len] = '\0';
}

void cop_str_add(struct cop_str *b, const char *s)
{
	cop_str_addn(b, s, strlen(s));
}

void cop_str_addf(struct cop_str *b, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n > 0) {
		b->s = cop_grow(b->s, &b->cap, b->len + (size_t)n + 1, 1);
		vsnprintf(b->s + b->len, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void cop_str_release(struct cop_str *b)
{
	free(b->s);
	*b = (struct cop_str){0};
}

char *cop_str_take(struct cop_str *b)
{
	char *s = b->s ? b->s : cop_xstrdup("");
	*b = (struct cop_str){0};
	return s;
}

bool cop_parse_f64(const char *s, double *v)
{
	char *end;
	if (!*s || strspn(s, "0123456789+-.eE") != strlen(s))
		return false;
	double got = strtod(s, &end);
	if (*end || !isfinite(got))
		return false;
	*v = got;
	return true;
}

bool cop_parse_i64(const char *s, int64_t *v)
{
	char *end;
	if (!*s || strspn(s, "0123456789+-") != strlen(s))
		return false;
	errno = 0;
	long long got = strtoll(s, &end, 10);
	if (*end || errno)
		return false;
	*v = got;
	return true;
}

bool cop_str_ends(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);
	return n >= m && strcmp(s + n - m, tail) == 0;
}

static size_t min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

size_t cop_str_distance(const char *a, const char *b)
{
	size_t m = strlen(b);
	size_t *row = cop_xcalloc(m + 1, sizeof(*row));
	for (size_t j = 0; j <= m; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= m; j++) {
			size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
			diagonal = row[j];
			row[j] = min3(row[j] + 1, row[j - 1] + 1, replaced);
		}
	}
	size_t d = row[m];
	free(row);
	return d;
}

const char *cop_str_nearest(const char *word, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t least = strlen(word) / 2 + 2;
	for (size_t i = 0; i < n; i++) {
		size_t d = cop_str_distance(word, words[i]);
		if (d < least) {
			least = d;
			best = words[i];
		}
	}
	return best;
}
