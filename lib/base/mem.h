/*
 * Memory. Small host objects come from cop_x*, which end the program with a message when there is none. What is sized
 * by a file or a network comes from cop_alloc, which returns an error.
 */
#ifndef COP_BASE_MEM_H
#define COP_BASE_MEM_H

#include "base/err.h"

#include <stdarg.h>
#include <stddef.h>

void *cop_xmalloc(size_t bytes);
void *cop_xcalloc(size_t n, size_t size);
void *cop_xrealloc(void *p, size_t n, size_t size); /* n * size is checked */
char *cop_xstrdup(const char *s);
char *cop_xasprintf(const char *fmt, ...) COP_PRINTF(1, 2);
char *cop_xvasprintf(const char *fmt, va_list ap) COP_PRINTF(1, 0);

/*
 * *p becomes n * size zeroed bytes aligned to 64, to be freed with free(). `what` names them in the message. A zero
 * size gives a valid pointer. COP_EFAILED where the product overflows or there is no memory.
 */
int cop_alloc(void *p, size_t n, size_t size, const char *what, struct cop_err *err) COP_CHECKED;

/* Grows `array` (elements of `size`) so that it holds `need`; *cap is its capacity. Returns the array. */
void *cop_grow(void *array, size_t *cap, size_t need, size_t size);

#endif
