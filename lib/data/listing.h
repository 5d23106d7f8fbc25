/* What is in a folder. */
#ifndef COP_DATA_LISTING_H
#define COP_DATA_LISTING_H

#include "base/err.h"

#include <stddef.h>

/* Starts as {0}. */
struct cop_listing {
	char **name;
	size_t n, cap;
};

/* The names in `folder`, those with a dot in front left out, in the order of their bytes. COP_EINPUT. */
int cop_listing_read(const char *folder, struct cop_listing *l, struct cop_err *err) COP_CHECKED;
/* For qsort and bsearch over names. */
int cop_listing_compare(const void *a, const void *b);

void cop_listing_release(struct cop_listing *l);

#endif
