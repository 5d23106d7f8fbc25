/* Variants; see variants.h. */
#include "report/variants.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What files that do not say it have, and the name of the variant that goes without one. */
static const char usual_criterion[] = "magnitude", usual_retrain[] = "rewind";

static const char *or_usual(const char *word, const char *usual)
{
	return word && *word ? word : usual;
}

static size_t find(const struct cop_variants *v, const char *criterion, const char *retrain)
{
	size_t i = 0;
	while (i < v->n && (strncmp(v->v[i].criterion, criterion, COP_TEXT - 1) != 0 ||
			    strncmp(v->v[i].retrain, retrain, COP_TEXT - 1) != 0))
		i++;
	return i;
}

size_t cop_variants_find(const struct cop_variants *v, const struct cop_row *row)
{
	return find(v, or_usual(row->criterion, usual_criterion), or_usual(row->retrain, usual_retrain));
}

static void add(struct cop_variants *v, const char *criterion, const char *retrain, bool control)
{
	criterion = or_usual(criterion, usual_criterion);
	retrain = or_usual(retrain, usual_retrain);
	if (v->n == COP_VARIANTS_MAX || find(v, criterion, retrain) < v->n)
		return;
	v->v = cop_grow(v->v, &v->cap, v->n + 1, sizeof(*v->v));
	struct cop_variant *new = &v->v[v->n++];
	*new = (struct cop_variant){.control = control};
	snprintf(new->criterion, COP_TEXT, "%.*s", COP_TEXT - 1, criterion);
	snprintf(new->retrain, COP_TEXT, "%.*s", COP_TEXT - 1, retrain);
}

/* Word i of a key that holds one or a list of them; `usual` for the first where the key is not there; NULL: no more. */
static const char *word_of(const cJSON *sweep, const char *key, int i, const char *usual)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(sweep, key);
	if (cJSON_IsArray(item))
		return cJSON_GetStringValue(cJSON_GetArrayItem(item, i));
	return i > 0 ? NULL : item ? cJSON_GetStringValue(item) : usual;
}

static void add_planned(struct cop_variants *v, const cJSON *sweep)
{
	const char *criterion, *word;
	for (int c = 0; (criterion = word_of(sweep, "criterion", c, usual_criterion)); c++) {
		for (int k = 0; (word = word_of(sweep, "retrain", k, usual_retrain)); k++)
			add(v, criterion, word, false);
		for (int k = 0; (word = word_of(sweep, "controls", k, NULL)); k++)
			add(v, criterion, word, true);
	}
}

static void name_all(struct cop_variants *v)
{
	bool criteria = false, retrains = false;
	for (size_t i = 1; i < v->n; i++) {
		criteria |= strcmp(v->v[i].criterion, v->v[0].criterion) != 0;
		retrains |= strcmp(v->v[i].retrain, v->v[0].retrain) != 0;
	}
	if (v->n == 1)
		criteria = retrains = strcmp(v->v[0].criterion, usual_criterion) != 0 ||
				      strcmp(v->v[0].retrain, usual_retrain) != 0;
	for (size_t i = 0; i < v->n; i++)
		snprintf(v->v[i].name, COP_VARIANT_NAME, "%s%s%s", criteria ? v->v[i].criterion : "",
			 criteria && retrains ? ", " : "", retrains ? v->v[i].retrain : "");
}

void cop_variants_init(struct cop_variants *v, const struct cop_results *r, const cJSON *sweep)
{
	*v = (struct cop_variants){0};
	if (sweep)
		add_planned(v, sweep);
	for (size_t i = 0; i < r->ncells; i++)
		add(v, r->cell[i].row.criterion, r->cell[i].row.retrain, false);
	if (!v->n)
		add(v, usual_criterion, usual_retrain, false);
	name_all(v);
}

void cop_variants_release(struct cop_variants *v)
{
	free(v->v);
	*v = (struct cop_variants){0};
}
