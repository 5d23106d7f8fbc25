/* Digests; see digest.h. */
#include "store/digest.h"

#include "base/xxhash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_TEXT = 17 };

int cop_digest_store(struct cop_h5 *f, const char *object, uint64_t digest, struct cop_err *err)
{
	char text[DIGEST_TEXT];
	snprintf(text, sizeof(text), "%016" PRIx64, digest);
	return cop_h5_put_str(f, object, "digest", text, err);
}

int cop_digest_check(struct cop_h5 *f, const char *object, uint64_t digest, struct cop_err *err)
{
	char text[DIGEST_TEXT], *stored = NULL;
	int rc = cop_h5_get_str(f, object, "digest", &stored, err);
	snprintf(text, sizeof(text), "%016" PRIx64, digest);
	if (!rc && strcmp(text, stored) != 0)
		rc = cop_fail(err, COP_EINPUT, "'%s' is damaged: what %s holds is not what its digest was made of",
			      cop_h5_path(f), strcmp(object, "/") == 0 ? "it" : object);
	free(stored);
	return rc;
}

bool cop_digest_wanted(struct cop_h5 *f)
{
	return cop_h5_has_attr(f, "/", "coppice");
}

uint64_t cop_digest_tensors(const struct cop_layout *l, const float *arena)
{
	struct cop_xxh h;
	cop_xxh_begin(&h);
	for (size_t i = 0; i < l->n; i++) {
		const struct cop_tensor *t = &l->tensor[i];
		const int64_t prunable = t->prunable, rank = t->rank;
		cop_xxh_add(&h, t->name, strlen(t->name) + 1);
		cop_xxh_add(&h, &prunable, sizeof(prunable));
		cop_xxh_add(&h, &rank, sizeof(rank));
		cop_xxh_add(&h, t->dim, (size_t)t->rank * sizeof(*t->dim));
		cop_xxh_add(&h, arena + t->offset, t->count * sizeof(*arena));
	}
	return cop_xxh_end(&h);
}
