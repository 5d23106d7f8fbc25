/* What is in a folder; see listing.h. */
#include "data/listing.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int cop_listing_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int cop_listing_read(const char *folder, struct cop_listing *l, struct cop_err *err)
{
	DIR *d = opendir(folder);
	if (!d)
		return cop_fail_errno(err, COP_EINPUT, "cannot open '%s'", folder);
	int rc = 0;
	struct dirent *e;
	while (errno = 0, (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		l->name = cop_grow(l->name, &l->cap, l->n + 1, sizeof(*l->name));
		l->name[l->n++] = cop_xstrdup(e->d_name);
	}
	if (errno)
		rc = cop_fail_errno(err, COP_EINPUT, "cannot read folder '%s'", folder);
	closedir(d);
	if (l->n)
		qsort(l->name, l->n, sizeof(*l->name), cop_listing_compare);
	return rc;
}

void cop_listing_release(struct cop_listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->name[i]);
	free(l->name);
	*l = (struct cop_listing){0};
}
