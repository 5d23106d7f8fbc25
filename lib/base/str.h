/* Strings: a growing buffer, parsing of numbers that accepts all of its input or nothing, and the nearest word. */
#ifndef COP_BASE_STR_H
#define COP_BASE_STR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Starts as {0}; `s` is always terminated once something was added. */
struct cop_str {
	char *s;
	size_t len, cap;
};

void cop_str_add(struct cop_str *b, const char *s);
void cop_str_addn(struct cop_str *b, const char *s, size_t n);
void cop_str_addf(struct cop_str *b, const char *fmt, ...) COP_PRINTF(2, 3);
void cop_str_release(struct cop_str *b);
char *cop_str_take(struct cop_str *b); /* the caller frees; "" where nothing was added */

/* The whole of `s` must be one number; returns whether it was. NaN and infinities are refused. */
bool cop_parse_f64(const char *s, double *v);
bool cop_parse_i64(const char *s, int64_t *v);

bool cop_str_ends(const char *s, const char *tail);

/* Levenshtein distance: insertions, deletions and replacements of single bytes. */
size_t cop_str_distance(const char *a, const char *b);

/* The word of `words` (n of them) nearest to `word`, or NULL where none is near enough to be meant. */
const char *cop_str_nearest(const char *word, const char *const *words, size_t n);

#endif
