/* Layers with rates of their own; see allocation.h. */
#include "base/json.h"
#include "base/mem.h"
#include "prune/allocation.h"

#include <stdlib.h>

int cop_rates_parse(struct cop_rates *r, const char *json, struct cop_err *err)
{
	cJSON *root;
	const cJSON *item;
	*r = (struct cop_rates){0};
	int rc = cop_json_parse(json, "rates", &root, err);
	if (rc)
		return rc;
	if (!cJSON_IsObject(root))
		rc = cop_fail(err, COP_EINPUT, "rates want an object of layers and factors, such as {\"fc3\": 0.5}");
	else
		r->rate = cop_xcalloc((size_t)cJSON_GetArraySize(root), sizeof(*r->rate));
	cJSON_ArrayForEach (item, root) {
		if (rc)
			break;
		r->rate[r->n++] = (struct cop_rate){cop_xstrdup(item->string), item->valuedouble};
		if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 1e300)
			rc = cop_fail(err, COP_EINPUT, "the rate of '%s' must be a number of 0 or more", item->string);
	}
	cJSON_Delete(root);
	if (rc)
		cop_rates_release(r);
	return rc;
}

void cop_rates_release(struct cop_rates *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->rate[i].pattern);
	free(r->rate);
	*r = (struct cop_rates){0};
}
